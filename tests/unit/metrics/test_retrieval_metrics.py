"""Moment retrieval scores: closed forms, a slow transcription of the definitions, and published reference points."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikemba.metrics import (
    AP_THRESHOLDS,
    OPEN_ENDED_RANGES,
    QVHIGHLIGHTS_RANGES,
    NothingToScore,
    NotNumbers,
    grounding_document,
    ratings_matrix,
    retrieval_metrics,
)
from spikemba.metrics.retrieval import average_precision, pairwise_iou


def rows(path):
    """Rows of a jsonl file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def true_windows(annotations):
    return {row["qid"]: np.array(row["relevant_windows"], float) for row in annotations}


def as_moments(windows):
    """Windows of each query as moments of equal score."""
    return {query_id: np.column_stack([w, np.ones(len(w))]) for query_id, w in windows.items()}


def part_of_video(annotations, start, end):
    """One moment per query, given as fractions of the duration."""
    return {row["qid"]: np.array([[start * row["duration"], end * row["duration"], 1.0]]) for row in annotations}


def full(predicted, truth, **options):
    return retrieval_metrics({0: np.array(predicted, float)}, {0: np.array(truth, float)}, **options)["full"]


# Closed forms


def test_the_true_window_as_only_moment_scores_100_everywhere():
    scores = full([[20, 60, 0.3]], [[20, 60]], with_miou=True)
    assert set(scores["MR-mAP"].values()) == set(scores["MR-R1"].values()) == {100.0}
    assert scores["MR-mIoU"] == 100.0


def test_an_overlap_that_equals_the_threshold_counts():
    scores = full([[0, 10, 1]], [[0, 20]], with_miou=True)
    assert scores["MR-R1"]["0.5"] == scores["MR-mAP"]["0.5"] == 100.0
    assert scores["MR-R1"]["0.55"] == scores["MR-mAP"]["0.55"] == 0.0
    assert scores["MR-mAP"]["average"] == 10.0
    assert scores["MR-mIoU"] == 50.0


def test_recall_at_one_reads_list_order_and_map_reads_scores():
    scores = full([[100, 120, 0.1], [0, 40, 0.9]], [[0, 40]])
    assert scores["MR-R1"]["0.5"] == 0.0
    assert scores["MR-mAP"]["0.5"] == 100.0


def test_moments_of_equal_score_keep_list_order():
    scores = full([[100, 120, 0.5], [0, 40, 0.5]], [[0, 40]])
    assert scores["MR-mAP"]["0.5"] == 50.0


def test_the_eleventh_moment_is_not_read_even_with_the_best_score():
    misses = [[100, 120, 0.1]] * 10
    assert full([*misses, [0, 40, 0.9]], [[0, 40]])["MR-mAP"]["average"] == 0.0
    assert full([*misses[1:], [0, 40, 0.9]], [[0, 40]])["MR-mAP"]["average"] == 100.0


def test_a_window_is_found_once():
    scores = full([[0, 40, 0.9], [0, 40, 0.8], [60, 100, 0.7]], [[0, 40], [60, 100]])
    assert scores["MR-mAP"]["average"] == pytest.approx(100 * (1 / 2 + 1 / 2 * 2 / 3), abs=0.005)


def test_precision_is_interpolated_from_the_right():
    # hits at ranks 1, 3, 4 of four windows: precision 1, 2/3, 3/4, so the second step weighs 3/4
    moments = [[0, 10, 0.9], [100, 110, 0.8], [20, 30, 0.7], [40, 50, 0.6]]
    scores = full(moments, [[0, 10], [20, 30], [40, 50], [60, 70]])
    assert scores["MR-mAP"]["average"] == pytest.approx(100 * (1 + 3 / 4 + 3 / 4) / 4, abs=0.005)


def test_of_two_windows_overlapped_equally_the_last_listed_is_taken():
    moments = [[0, 20, 0.9], [10, 20, 0.8]]
    assert full(moments, [[0, 10], [10, 20]])["MR-mAP"]["0.5"] == 50.0  # the first moment takes what the second needs
    assert full(moments, [[10, 20], [0, 10]])["MR-mAP"]["0.5"] == 100.0


def test_a_moment_whose_best_window_is_taken_may_have_the_next_best():
    scores = full([[0, 20, 0.9], [0, 20, 0.8]], [[0, 20], [0, 16]])
    assert scores["MR-mAP"]["0.8"] == 100.0
    assert scores["MR-mAP"]["0.85"] == 50.0


def test_queries_without_a_moment_are_left_out_of_the_mean():
    moments = {"a": np.array([[0, 40, 1.0]]), "b": np.empty((0, 3))}
    truth = {"a": np.array([[0, 40]]), "b": np.array([[0, 40]]), "not predicted": np.array([[0, 40]])}
    assert retrieval_metrics(moments, truth)["full"]["MR-R1"]["0.95"] == 100.0


def test_a_range_filters_the_windows_and_not_the_moments():
    windows = {7: np.array([[0, 10], [20, 50], [60, 150]])}
    scores = retrieval_metrics(as_moments(windows), windows)
    assert scores["full"]["MR-mAP"]["average"] == 100.0
    assert scores["short"]["MR-mAP"]["average"] == 100.0
    assert scores["middle"]["MR-mAP"]["average"] == 50.0
    assert scores["long"]["MR-mAP"]["average"] == 33.33
    assert scores["middle"]["MR-R1"]["0.5"] == 0.0


def test_a_range_without_windows_is_left_out():
    windows = {7: np.array([[0.0, 200.0]])}
    assert list(retrieval_metrics(as_moments(windows), windows)) == ["full"]
    assert list(retrieval_metrics(as_moments(windows), windows, ranges=OPEN_ENDED_RANGES)) == ["long", "full"]


def test_two_empty_windows_do_not_overlap():
    assert full([[5, 5, 1]], [[5, 5]], with_miou=True)["MR-mIoU"] == 0.0


def test_thresholds_from_linspace_get_the_keys_of_the_official_file():
    keys = list(full([[0, 1, 1]], [[0, 1]], r1_thresholds=np.linspace(0.3, 0.95, 14))["MR-R1"])
    assert keys[:3] == ["0.3", "0.35", "0.4"]
    assert keys[-1] == "0.95"


# Against the definitions, written slowly


def slow_iou(a, b):
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return shared / union if union > 0 else 0.0


def slow_average_precision(moments, windows, limit):
    free, hits = set(range(len(windows))), []
    for moment in sorted(list(moments)[:10], key=lambda m: -m[2]):
        overlaps = [slow_iou(moment, window) for window in windows]
        # by falling overlap; of equal ones the last listed first
        wish = [k for k in sorted(range(len(windows)), key=lambda k: (-overlaps[k], -k)) if overlaps[k] >= limit]
        found = next((k for k in wish if k in free), None)
        free.discard(found)
        hits.append(found is not None)
    precision = [sum(hits[: rank + 1]) / (rank + 1) for rank in range(len(hits))]
    return sum(max(precision[rank:]) / len(windows) for rank, hit in enumerate(hits) if hit)


def slow_range(predicted, truth, above, up_to):
    truth = {q: [w for w in truth[q] if above < w[1] - w[0] <= up_to] for q in predicted}
    queries = [q for q in predicted if len(predicted[q]) and truth[q]]
    if not queries:
        return None
    means = {
        f"MR-mAP {t}": np.mean([slow_average_precision(predicted[q], truth[q], t) for q in queries])
        for t in AP_THRESHOLDS
    }
    best = np.array([max(slow_iou(predicted[q][0], w) for w in truth[q]) for q in queries])
    means["MR-mAP average"] = np.mean(list(means.values()))
    means |= {f"MR-R1 {t}": np.mean(best >= t) for t in AP_THRESHOLDS} | {"MR-mIoU": best.mean()}
    return {key: 100 * value for key, value in means.items()}


def flat(scores):
    flat_scores = {"MR-mIoU": scores["MR-mIoU"]}
    for metric in ("MR-mAP", "MR-R1"):
        flat_scores |= {f"{metric} {key}": value for key, value in scores[metric].items()}
    return flat_scores


def random_windows(rng, most, step=5):
    """Windows on a coarse grid of 150 s, so that overlaps, scores and thresholds meet exactly."""
    edges = step * np.sort(rng.integers(0, 150 // step + 1, (rng.integers(0, most + 1), 2)), axis=1)
    return edges.astype(float)


@pytest.mark.parametrize("seed", range(12))
def test_random_queries_score_as_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    truth = {q: random_windows(rng, most=6) for q in range(30)}
    predicted = {}
    for query_id, windows in truth.items():
        moments = random_windows(rng, most=14)
        copies = min(len(moments), len(windows))
        moments[:copies] = np.where(rng.random((copies, 1)) < 0.6, windows[:copies], moments[:copies])
        predicted[query_id] = np.column_stack([moments, rng.integers(0, 4, len(moments)) / 4])

    scores = retrieval_metrics(predicted, truth, with_miou=True)
    for name, (above, up_to) in QVHIGHLIGHTS_RANGES.items():
        if (expected := slow_range(predicted, truth, above, up_to)) is None:
            assert name not in scores
        else:
            assert flat(scores[name]) == pytest.approx(expected, abs=0.005 + 1e-9)


def test_a_query_scores_the_same_alone_and_beside_longer_ones():
    rng = np.random.default_rng(0)
    moments, windows = rng.random((1, 3, 3)).cumsum(2), rng.random((1, 2, 2)).cumsum(2)
    alone = average_precision(pairwise_iou(moments, windows), np.ones((1, 2), bool))
    overlap = np.zeros((2, 10, 7))
    overlap[0, :3, :2] = pairwise_iou(moments, windows)
    overlap[1] = rng.random((10, 7))
    wanted = np.arange(7) < np.array([[2], [7]])
    np.testing.assert_allclose(average_precision(overlap, wanted)[0], alone[0], rtol=1e-12)


# Real data


def test_stored_predictions_give_the_document_of_the_official_evaluator(shared):
    annotations = rows(shared / "annotations" / "highlight_val_release.jsonl")
    predictions = rows(shared / "predictions" / "qvhighlights_val_sample_preds.jsonl")
    document = grounding_document(
        {row["qid"]: np.array(row["pred_relevant_windows"]) for row in predictions},
        true_windows(annotations),
        {row["qid"]: np.array(row["pred_saliency_scores"]) for row in predictions},
        {
            row["qid"]: ratings_matrix(int(row["duration"] / 2), row["relevant_clip_ids"], row["saliency_scores"])
            for row in annotations
        },
    )
    official = json.loads((shared / "predictions" / "qvhighlights_val_sample_preds_metrics.json").read_text())
    assert json.dumps(document, indent=4) == json.dumps(official, indent=4)


def test_true_windows_as_moments_score_below_100_in_the_ranges_of_qvhighlights(shared):
    windows = true_windows(rows(shared / "annotations" / "highlight_val_release.jsonl"))
    scores = retrieval_metrics(as_moments(windows), windows)
    averages = {name: of_range["MR-mAP"]["average"] for name, of_range in scores.items()}
    assert averages == {"short": 79.75, "middle": 89.8, "long": 92.73, "full": 99.76}


@pytest.mark.parametrize(
    ("name", "r1", "average"),
    [("highlight_val_release", 9.03, 5.58), ("highlight_test_with_gt", 9.99, 5.63)],
)
def test_the_whole_video_as_answer_on_qvhighlights(shared, name, r1, average):
    annotations = rows(shared / "annotations" / f"{name}.jsonl")
    scores = retrieval_metrics(part_of_video(annotations, 0, 1), true_windows(annotations))["full"]
    assert (scores["MR-R1"]["0.5"], scores["MR-mAP"]["average"]) == (r1, average)


@pytest.mark.parametrize(
    ("name", "start", "end", "r1", "miou"),
    [
        ("charades", 0, 1, [35.00, 0.43, 0.00], 27.13),
        ("charades", 1 / 3, 2 / 3, [26.80, 14.57, 5.11], 19.11),
        ("tacos", 0, 1, [5.90, 1.55, 0.77], 8.76),
        ("tacos", 1 / 3, 2 / 3, [9.32, 4.60, 0.45], 7.71),
    ],
)
def test_a_fixed_part_of_the_video_on_charades_and_tacos(shared, name, start, end, r1, miou):
    annotations = rows(shared / "annotations" / f"{name}_test_release.jsonl")
    scores = retrieval_metrics(
        part_of_video(annotations, start, end),
        true_windows(annotations),
        r1_thresholds=(0.3, 0.5, 0.7),
        with_miou=True,
    )["full"]
    assert scores["MR-R1"] == dict(zip(["0.3", "0.5", "0.7"], r1, strict=True))
    assert scores["MR-mIoU"] == miou


@pytest.mark.parametrize(("name", "step", "r1", "miou"), [("charades", 1, 99.81, 93.77), ("tacos", 2, 93.80, 90.17)])
def test_rounding_the_true_windows_costs_what_is_known(shared, name, step, r1, miou):
    windows = true_windows(rows(shared / "annotations" / f"{name}_test_release.jsonl"))
    rounded = as_moments({query_id: step * np.round(w / step) for query_id, w in windows.items()})
    scores = retrieval_metrics(rounded, windows, with_miou=True)["full"]
    assert (scores["MR-R1"]["0.7"], scores["MR-mIoU"]) == (r1, miou)


# The document and the errors

MOMENTS, TRUTH = {1: np.array([[0, 8, 0.9]])}, {1: np.array([[0, 8], [20, 40], [60, 100]])}
SALIENCY, RATINGS = {1: np.array([0.5, 0.1])}, {1: np.array([[4, 4, 4], [0, 0, 0]])}


def test_the_document_has_the_official_order_of_keys():
    document = grounding_document(MOMENTS, TRUTH, SALIENCY, RATINGS)
    levels = ["HL-min-Fair", "HL-min-Good", "HL-min-VeryGood"]
    assert list(document) == ["brief", *levels, "full", "long", "middle", "short"]
    assert list(document["full"]) == ["MR-mAP", "MR-R1"]
    moments = ["full-R1@0.5", "full-R1@0.7", "full-mAP", "full-mAP@0.5", "full-mAP@0.75"]
    assert list(document["brief"]) == [
        *(f"MR-{key}" for key in [*moments, "long-mAP", "middle-mAP", "short-mAP"]),
        *(f"{level}-{key}" for level in levels for key in ("mAP", "Hit1")),
    ]


def test_a_part_without_its_two_sides_is_left_out():
    assert "full" not in grounding_document(saliency=SALIENCY, ratings=RATINGS)
    only_moments = grounding_document(MOMENTS, TRUTH, SALIENCY, None)
    assert list(only_moments) == ["brief", "full", "long", "middle", "short"]
    assert grounding_document() == {"brief": {}}


def test_the_brief_of_single_window_sets_names_the_third_threshold_and_the_mean_overlap():
    brief = grounding_document(MOMENTS, TRUTH, r1_thresholds=(0.3, 0.5, 0.7), with_miou=True)["brief"]
    assert [brief[key] for key in ("MR-full-R1@0.3", "MR-full-mIoU")] == [100.0, 100.0]


def test_without_any_moment_there_is_nothing_to_score():
    with pytest.raises(NothingToScore, match="nothing to score: no query has both a predicted moment and a true"):
        retrieval_metrics({1: np.empty((0, 3))}, TRUTH)


def test_a_moment_that_is_not_a_number_is_refused_by_query():
    with pytest.raises(NotNumbers, match="predicted moments of 'q2' holds NaN"):
        retrieval_metrics({"q1": MOMENTS[1], "q2": np.array([[0, np.nan, 1]])}, {"q1": TRUTH[1], "q2": TRUTH[1]})


def test_misuse_is_a_value_error():
    with pytest.raises(ValueError, match="1 predicted queries have no truth, the first is 1"):
        retrieval_metrics(MOMENTS, {})
    with pytest.raises(ValueError, match=r"a row has shape \(3, 2\); expected \(n, 3\)"):
        retrieval_metrics({1: TRUTH[1]}, TRUTH)


def test_the_metrics_load_without_torch():
    code = "import sys, spikemba.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
