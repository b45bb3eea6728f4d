"""Our metrics of synthetic predictions are what the official evaluators print for them; see tests/golden/HOW.md."""

import json

import pytest
from golden import today
from golden.files import EVALUATORS, Tolerance, differences, read

OFFICIAL = read(EVALUATORS / "official.json")
PARTS = {"whole": None, "windows only": "pred_saliency_scores", "saliency only": "pred_relevant_windows"}
"""What is scored -> the key that its predictions lack."""


def scored(name, dataset, predictions=None):
    """The document that `evaluate` prints for the synthetic predictions `name`."""
    given = "--predictions", predictions or EVALUATORS / f"{name}_predictions.jsonl"
    truth = "--annotations", EVALUATORS / f"{name}_annotations.jsonl"
    return json.loads(today.spikemba("evaluate", *given, *truth, "--dataset", dataset, "--json"))


@pytest.mark.parametrize("part", PARTS)
def test_qvhighlights_is_scored_as_its_evaluator_scores_it(tmp_path, part):
    rows = [json.loads(line) for line in (EVALUATORS / "qvhighlights_predictions.jsonl").read_text().splitlines()]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps({k: v for k, v in row.items() if k != PARTS[part]}) + "\n" for row in rows))
    assert scored("qvhighlights", "qvhighlights", path) == OFFICIAL["qvhighlights"][part]


def test_one_window_of_any_length_is_scored_as_the_peers_score_charades_sta():
    found, official = scored("charades", "charades_sta"), OFFICIAL["charades_sta"]["whole"]
    assert differences(official["brief"] | plain_names(official["brief"]), found["brief"]) == []
    for name in ("full", "long", "middle", "short"):
        assert differences(official[name], found[name]) == []
    assert set(found) == {"brief", "full", "long", "middle", "short"}
    assert {"MR-full-R1@0.3", "MR-full-mIoU", "MR-full-mAP"} <= set(found["brief"])


def plain_names(brief):
    """The evaluator marks the numbers that choose its epoch with `-key`."""
    return {name.removesuffix("-key"): value for name, value in brief.items()}


@pytest.mark.parametrize(("name", "dataset"), [("tvsum", "tvsum"), ("youtube", "youtube_highlights")])
def test_highlight_sets_are_scored_domain_by_domain_as_their_evaluator_does(name, dataset):
    found, official = scored(name, dataset), OFFICIAL[dataset]
    rounding = Tolerance(absolute=1e-9)  # a fraction of five decimals as percent
    assert differences(found["domains"], {domain: 100 * value for domain, value in official.items()}, rounding) == []
    mean = 100 * sum(official.values()) / len(official)
    assert found["mAP"] == pytest.approx(mean, abs=1e-3)
