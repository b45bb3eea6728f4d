"""What became of each sentence, and an evaluation in one line."""

import numpy as np
import pytest

from pipelines.scoring.evaluate_files import Evaluation
from pipelines.scoring.outcomes import found_by_chance, outcomes, share_found
from pipelines.scoring.scores import score
from pipelines.scoring.verdict import verdict
from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.moments import Moment, Window


def asked(number, *windows, video=None):
    return Annotation(
        number, f"sentence {number}", video or f"v{number}", 100.0, tuple(Window(*one) for one in windows)
    )


def answered(number, *windows, exists=None):
    moments = tuple(Moment(*one, 0.9 - 0.1 * rank) for rank, one in enumerate(windows))
    return PredictedRow(number, f"v{number}", f"sentence {number}", moments, (), exists)


TRUTH = [
    asked(1, (0, 10)),
    asked(2, (0, 10)),
    asked(3, (0, 10)),
    asked(4, (0, 10)),
    asked(5, (0, 10)),
    asked(6),
    asked(7),
]
ROWS = [
    answered(1, (0, 20)),  # IoU 0.5, the limit itself
    answered(2, (0, 30)),  # a third
    answered(3, (50, 60), (0, 12)),  # the second is right
    answered(4, (50, 60)),
    answered(5),
    answered(6, (0, 5), exists=0.3),
    answered(7, (0, 5), exists=0.41),
]


def test_each_sentence_has_the_fate_that_its_definition_says():
    found = outcomes(ROWS, TRUTH)
    assert [one.fate for one in found] == ["found", "near", "near", "missed", "unanswered", "rejected", "taken"]
    assert [one.right_rank for one in found[:4]] == [1, None, 2, None]
    assert [one.overlap for one in found[:4]] == pytest.approx([0.5, 1 / 3, 0, 0])
    assert [one.fate for one in outcomes(ROWS, TRUTH, min_exists=0.3)][5] == "taken"  # the limit itself is enough


def test_the_share_is_that_of_the_metric_which_leaves_out_who_has_no_answer():
    share = share_found(outcomes(ROWS, TRUTH))
    assert 100 * share.mean == score(ROWS, TRUTH)["brief"]["MR-full-R1@0.5"] == 25.0
    assert share.low is None  # four videos


def test_answers_that_are_the_same_for_all_are_found_as_often_by_chance():
    truth = [asked(i, (20, 30)) for i in range(8)]
    same = outcomes([answered(i, (20, 30)) for i in range(8)], truth)
    assert found_by_chance(same) == 1.0
    apart = [asked(i, (10 * i, 10 * i + 10)) for i in range(8)]
    own = outcomes([answered(i, (10 * i, 10 * i + 10)) for i in range(8)], apart)
    assert found_by_chance(own) == 0.0
    one_video = outcomes([answered(i, (0, 1)) for i in range(3)], [asked(i, (0, 1), video="v") for i in range(3)])
    assert found_by_chance(one_video) is None


def test_chance_is_near_the_mean_over_all_pairs_of_videos():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 60, 40)
    truth = [asked(i, (at, at + 30)) for i, at in enumerate(starts)]
    found = outcomes([answered(i, (at, at + 30)) for i, at in enumerate(starts)], truth)
    shift = np.abs(starts[:, None] - starts)
    right = ((30 - shift) / (30 + shift) >= 0.5)[~np.eye(40, dtype=bool)]
    assert found_by_chance(found) == pytest.approx(right.mean(), abs=0.03)


def test_a_verdict_counts_what_was_found_and_what_was_refused_rightly():
    document = score(ROWS, TRUTH)
    said = verdict(Evaluation("qvhighlights", document, document["brief"], rows=ROWS, truth=TRUTH))
    assert said.startswith("found 1 of 4 sentences at IoU 0.5 (25.0 %); the same answers dealt out to other sentences")
    assert "1 without an answer left out" in said
    assert "told 1 of 2 that the video does not show (50.0 %, at probability 0.4)" in said


def test_other_kinds_have_verdicts_of_their_own_numbers():
    classes = {"a": {"videos": 3, "top1": 66.67}, "b": {"videos": 1, "top1": 100.0}}
    document = {"brief": {"top1": 75.0}, "videos": 4, "per_class": classes}
    said = verdict(Evaluation("recognition", document, document["brief"]))
    assert said == "named 3 of 4 videos rightly (75.0 %); the commonest class alone would be right in 75.0 %"
    brief = {"mAP": 70.0, "mAP-BK": 60.0, "mAP-VT": 80.0}
    said = verdict(Evaluation("tvsum", {"mAP": 70.0, "domains": {}}, brief))
    assert said == "mAP 70.0 over 2 domains, from 60.0 (BK) to 80.0 (VT)"
    brief = {"VCMR-R1@0.5": 10.0, "VCMR-R10@0.5": 30.0, "VR-R1": 20.0}
    said = verdict(Evaluation("corpus", {"VCMR": {}}, brief))
    assert said.startswith("a right moment of all videos stands first for 10.0 % of the sentences; among the first ten")
    assert verdict(Evaluation("qvhighlights", {}, {})) == ""
