"""Generalised moment retrieval: hand-computed sets of moments, and greedy matching against the plain loop."""

import json

import numpy as np
import pytest

from spikemba.metrics import AnsweredQueries, NothingToScore, NotNumbers, generalised_document
from spikemba.metrics.generalised import TOP_K, gated, set_overlaps
from spikemba.metrics.retrieval import greedy_overlaps

WINDOW = [10.0, 20.0]


def queries(*rows):
    """rows: moments, windows, existence score."""
    return AnsweredQueries(
        {i: np.reshape(np.asarray(row[0], float), (-1, 3)) for i, row in enumerate(rows)},
        {i: np.reshape(np.asarray(row[1], float), (-1, 2)) for i, row in enumerate(rows)},
        {i: row[2] for i, row in enumerate(rows)},
    )


def moment(start, end, score=0.5):
    return [start, end, score]


def one(moments, windows):
    """Overlap of the sets of one query, for each k."""
    return set_overlaps(queries((moments, windows, 1.0)))[0].tolist()


def test_two_empty_sets_are_equal_and_one_alone_is_not():
    assert one([], []) == [1, 1, 1]
    assert one([moment(*WINDOW)], []) == [0, 0, 0]
    assert one([], [WINDOW]) == [0, 0, 0]


def test_moments_too_many_cost_and_windows_that_are_missed_too():
    exact, wrong = moment(*WINDOW), moment(50, 60)
    assert one([exact], [WINDOW]) == [1, 1, 1]
    assert one([exact, wrong], [WINDOW]) == [1, 0.5, 0.5]  # 1 pair; 2 moments, 1 window
    assert one([exact], [WINDOW, [50, 60]]) == [0.5, 0.5, 0.5]
    assert one([exact, wrong], [WINDOW, [50, 60]]) == [0.5, 1, 1]
    assert one([moment(10, 15)], [WINDOW]) == [0.5] * 3


def test_a_moment_that_overlaps_nothing_takes_a_window_all_the_same():
    # it comes first, so it takes the only window, at IoU 0, and the exact one finds none
    assert one([moment(50, 60), moment(*WINDOW)], [WINDOW]) == [0, 0, 0]


def test_moments_that_do_not_end_after_they_begin_are_left_out_before_the_first_are_counted():
    assert one([moment(5, 5), moment(9, 8), moment(*WINDOW)], [WINDOW]) == [1, 1, 1]


def test_what_is_rejected_is_right_for_null_queries_alone():
    overlap = np.array([[0.7], [0.0]])
    exists, no = np.array([True, False]), np.zeros(2, bool)
    assert gated(overlap, no, exists).tolist() == [[0], [1]]
    assert gated(overlap, ~no, exists).tolist() == overlap.tolist()


def test_numbers_of_the_queries_with_a_moment_look_at_no_existence_score():
    two = [[0, 10], [20, 30]]
    found = generalised_document(queries(([moment(0, 10), moment(20, 25)], two, 0.0), ([], [], 0.0)))
    brief = found["brief"]
    assert (brief["mIoU@1"], brief["mIoU@3"]) == (100, 75)
    assert (brief["mIoU+@1"], brief["mIoU+@3"]) == (0, 50)
    assert brief["mR@1"] == 50
    assert found["mR_detail"]["mR@3_per_IoU"] == {f"{limit:.2f}": 100 if limit == 0.5 else 50 for limit in LIMITS}
    assert brief["mR+@3"] == 10  # at one of ten thresholds the second window is found
    assert brief["G-mIoU@3"] == 50  # both are rejected, and one of them rightly


LIMITS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


def test_always_answering_and_always_rejecting_stand_beside():
    found = generalised_document(queries(([moment(*WINDOW)], [WINDOW], 0.9), ([moment(0, 1)], [], 0.1), ([], [], 0.9)))
    assert found["beside"]["always_answer"]["G-mIoU@1"] == 66.67  # the last has no moment to answer with
    assert found["beside"]["always_reject"]["G-mIoU@1"] == 66.67
    assert found["beside"]["always_reject"]["Rej-F1@0.4"] == 80
    assert found["brief"]["G-mIoU@1"] == 100
    assert set(found["beside"]) == {"always_answer", "always_reject"}


def test_controls_are_of_the_queries_that_have_others():
    rows = [([], [], 0.2), ([], [WINDOW], 0.8), ([], [], 0.4)]
    asked, shown = {0: "a", 1: "a", 2: "b"}, {0: "v", 1: "w", 2: "v"}
    beside = generalised_document(queries(*rows), asked, shown)["beside"]
    assert (beside["query_only"]["n_queries"], beside["query_only"]["AUROC"]) == (2, 0)  # each has the other's score
    assert beside["query_only"]["predictions_AUROC"] == 100
    assert beside["video_only"]["n_queries"] == 2
    alone = generalised_document(queries(*rows), dict(enumerate("abc")), dict(enumerate("uvw")))["beside"]
    assert set(alone) == {"always_answer", "always_reject"}


def test_the_first_moment_is_calibrated_against_half_an_overlap():
    right, wrong = ([moment(10, 18, 1.0)], [WINDOW], 0.9), ([moment(0, 1, 0.0)], [], 0.1)
    found = generalised_document(queries(right, wrong, ([], [WINDOW], 0.2)))["calibration"]["top1_IoU@0.5"]
    assert found == {"ECE": 0, "n_queries": 2}  # who gives no moment is not asked
    assert generalised_document(queries(([moment(*WINDOW, 7.0)], [WINDOW], 7.0)))["calibration"] == {
        "existence": {"ECE": None, "n_queries": 1},
        "top1_IoU@0.5": {"ECE": None, "n_queries": 1},
    }


def test_only_null_queries_have_no_numbers_of_moments():
    found = generalised_document(queries(([], [], 0.1), ([moment(0, 1)], [], 0.9)))
    assert found["brief"]["AUROC"] == 50
    assert found["brief"]["G-mIoU@1"] == 50
    assert "mAP" not in found["brief"]


def test_nobody_answers_and_every_number_is_there():
    brief = generalised_document(queries(([], [WINDOW], 0.0), ([], [], 0.0)))["brief"]
    assert (brief["mAP"], brief["mR@5"], brief["mIoU@5"]) == (0, 0, 0)


def test_nothing_and_no_number_are_refused():
    with pytest.raises(NothingToScore, match="no query is both predicted and annotated"):
        generalised_document(queries())
    with pytest.raises(NotNumbers, match="existence score of 0"):
        generalised_document(queries(([], [], float("nan"))))


@pytest.mark.parametrize("seed", range(4))
def test_greedy_matching_is_the_plain_loop(seed):
    rng = np.random.default_rng(seed)
    overlap, limits = rng.integers(0, 5, (6, 5, 4)) / 4, np.array([0.0, 0.5, 0.75])
    found = greedy_overlaps(overlap, limits)
    for q, t in np.ndindex(6, 3):
        free = set(range(4))
        for m in range(5):
            best = max(sorted(free), key=lambda w: overlap[q, m, w], default=None)
            taken = best is not None and overlap[q, m, best] >= limits[t]
            assert found[q, m, t] == (overlap[q, m, best] if taken else -1)
            free -= {best} if taken else set()


def test_the_sample_of_the_official_tool_has_its_numbers(shared):
    def rows(name):
        return {row["qid"]: row for row in map(json.loads, (shared / name).read_text().splitlines())}

    truth, predicted = rows("annotations/soccer_gmr_test.jsonl"), rows("predictions/soccer_gmr_sample_preds.jsonl")
    official = json.loads((shared / "predictions" / "soccer_gmr_sample_preds_metrics.json").read_text())
    both = [i for i in truth if i in predicted]
    found = generalised_document(
        AnsweredQueries(
            {i: np.asarray(predicted[i]["pred_relevant_windows"]) for i in both},
            {i: np.asarray(truth[i]["relevant_windows"]).reshape(-1, 2) for i in both},
            {i: predicted[i]["pred_exist_score"] for i in both},
        )
    )
    del official["GMR-CLS"]["score_sources"]  # known to who has read the rows
    assert {name: found[name] for name in official} == official
    assert len(TOP_K) == 3
