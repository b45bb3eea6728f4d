"""Highlight scores: closed forms, a slow transcription of the definitions, and published reference points."""

import json
from statistics import mean, median_low

import numpy as np
import pytest

from spikemba.errors import ShapeError, SpikeMbaError
from spikemba.metrics import (
    NothingToScore,
    NotNumbers,
    SaliencyTooShort,
    highlight_metrics,
    ratings_matrix,
    tvsum_metrics,
    tvsum_top5_map,
    youtube_ap,
    youtube_metrics,
)
from spikemba.metrics.rounding import percent_of_five_decimals


def rows(path):
    """Rows of a jsonl file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def very_good(saliency, ratings):
    """Scores of one query at the level that tables print."""
    return highlight_metrics({0: np.array(saliency, float)}, {0: np.array(ratings, float)})["HL-min-VeryGood"]


def raters(*columns):
    """Ratings (L, 3) from three columns of 0 and 1, 1 for very good."""
    return 4 * np.column_stack(columns)


# QVHighlights, closed forms


def test_the_ratings_themselves_score_100_where_the_raters_agree():
    agreed = raters([0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0])
    assert very_good(agreed[:, 0], agreed) == {"HL-mAP": 100.0, "HL-Hit1": 100.0}


def test_a_rater_who_saw_nothing_very_good_counts_as_zero():
    scores = very_good([3, 2, 1], raters([1, 0, 0], [0, 0, 0], [1, 1, 1]))
    assert scores["HL-mAP"] == pytest.approx(100 * (1 + 0 + 1) / 3, abs=0.005)


def test_clips_of_equal_saliency_are_one_point_of_the_curve():
    # two runs of two clips, one positive in each: precision 1/2 at both
    assert very_good([2, 2, 1, 1], raters([1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]))["HL-mAP"] == 50.0


def test_a_run_counts_once_however_many_positives_it_adds():
    # runs {+}, {+, +, -}: precision 1 and 3/4, the mean is over runs and not over positives
    assert very_good([2, 1, 1, 1], raters(*[[1, 1, 1, 0]] * 3))["HL-mAP"] == 87.5


def test_precision_is_the_best_from_there_on():
    # positives at ranks 1, 3, 4: precision 1, 2/3, 3/4
    expected = 100 * (1 + 3 / 4 + 3 / 4) / 3
    assert very_good([5, 4, 3, 2, 1], raters(*[[1, 0, 1, 1, 0]] * 3))["HL-mAP"] == pytest.approx(expected, abs=0.005)


def test_one_rater_is_enough_for_a_hit_and_the_first_maximum_decides():
    assert very_good([1, 7, 7], raters([0, 0, 1], [0, 1, 0], [0, 0, 0]))["HL-Hit1"] == 100.0
    assert very_good([7, 7, 1], raters([0, 1, 1], [0, 1, 0], [0, 0, 0]))["HL-Hit1"] == 0.0


def test_levels_ask_for_ratings_of_two_three_and_four():
    scores = highlight_metrics({0: np.array([1.0])}, {0: np.array([[2, 3, 3]])})
    assert {name: of_level["HL-Hit1"] for name, of_level in scores.items()} == {
        "HL-min-Fair": 100.0,
        "HL-min-Good": 100.0,
        "HL-min-VeryGood": 0.0,
    }


def test_a_longer_list_is_cut_for_map_and_its_maximum_past_the_end_misses():
    truth = raters(*[[1, 0]] * 3)
    assert very_good([2, 1, 9], truth) == {"HL-mAP": 100.0, "HL-Hit1": 0.0}
    assert very_good([2, 1, 0], truth) == {"HL-mAP": 100.0, "HL-Hit1": 100.0}


def test_a_shorter_list_is_filled_with_zeros_that_outrank_negative_saliency():
    truth = raters(*[[1, 0]] * 3)
    assert very_good([-1], truth) == {"HL-mAP": 50.0, "HL-Hit1": 100.0}
    assert very_good([], truth) == {"HL-mAP": 50.0, "HL-Hit1": 0.0}
    beside = highlight_metrics({1: np.array([]), 2: np.array([2.0, 1.0])}, {1: truth, 2: truth})
    assert beside["HL-min-VeryGood"] == {"HL-mAP": 75.0, "HL-Hit1": 50.0}


# QVHighlights, against the definitions written slowly


def slow_ap(positive, saliency):
    """Lowest threshold first; the running best precision wherever the next threshold loses a positive clip."""
    precision, found = [], []
    for threshold in sorted(set(saliency)):
        chosen = [label for label, value in zip(positive, saliency, strict=True) if value >= threshold]
        precision.append(sum(chosen) / len(chosen))
        found.append(sum(chosen))
    losing = [i for i, n in enumerate(found) if n != [*found, 0][i + 1]]
    return mean(max(precision[: i + 1]) for i in losing) if losing else 0.0


def slow_scores(saliency, ratings, least):
    aps, hits = [], []
    for query_id, scores in saliency.items():
        n_clips = len(ratings[query_id])
        fitted = [*scores[:n_clips], *[0.0] * (n_clips - len(scores))]
        aps += [slow_ap(ratings[query_id][:, rater] >= least, fitted) for rater in range(3)]
        top = list(scores).index(max(scores))
        hits.append(top < n_clips and ratings[query_id][top].max() >= least)
    return {"HL-mAP": 100 * mean(aps), "HL-Hit1": 100 * np.mean(hits)}


@pytest.mark.parametrize("seed", range(12))
def test_random_queries_score_as_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    ratings, saliency = {}, {}
    for query_id in map(str, range(25)):
        n_clips = rng.integers(1, 20)
        ratings[query_id] = rng.integers(0, 5, (n_clips, 3)) * (rng.random((n_clips, 1)) < 0.7)
        n = max(1, n_clips + rng.integers(-2, 3))
        saliency[query_id] = rng.integers(-6, 6, n) / 4 if rng.random() < 0.7 else rng.normal(size=n)
    scores = highlight_metrics(saliency, ratings)
    for name, least in {"Fair": 2, "Good": 3, "VeryGood": 4}.items():
        expected = slow_scores(saliency, ratings, least)
        assert scores[f"HL-min-{name}"] == pytest.approx(expected, abs=0.005 + 1e-9)


# QVHighlights, real data


def real_ratings(shared, name):
    return {
        row["qid"]: ratings_matrix(int(row["duration"] / 2), row["relevant_clip_ids"], row["saliency_scores"])
        for row in rows(shared / "annotations" / f"{name}.jsonl")
    }


@pytest.mark.parametrize(
    ("name", "tied", "untied", "hit"),
    [("highlight_val_release", 60.81, 63.61, 95.68), ("highlight_test_with_gt", 60.60, 63.55, 96.43)],
)
def test_the_mean_of_the_raters_reaches_the_known_ceiling(shared, name, tied, untied, hit):
    ratings = real_ratings(shared, name)
    oracle = {query_id: of_query.mean(1) for query_id, of_query in ratings.items()}
    assert highlight_metrics(oracle, ratings)["HL-min-VeryGood"] == {"HL-mAP": tied, "HL-Hit1": hit}
    # the published ceiling ranks the earlier of two equal clips first
    earlier_first = {query_id: scores - 1e-6 * np.arange(len(scores)) for query_id, scores in oracle.items()}
    assert highlight_metrics(earlier_first, ratings)["HL-min-VeryGood"] == {"HL-mAP": untied, "HL-Hit1": hit}


# Ratings of a row


def test_ratings_stand_at_their_clips_and_the_rest_is_zero():
    matrix = ratings_matrix(4, [1, 3], [[2, 3, 4], [0, 1, 2]])
    np.testing.assert_array_equal(matrix, [[0, 0, 0], [2, 3, 4], [0, 0, 0], [0, 1, 2]])
    np.testing.assert_array_equal(ratings_matrix(2, [], []), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("clips", "scores", "message"),
    [
        ([0, 4], [[1, 1, 1]] * 2, "holds 4; a video of 4 clips has ids 0 to 3"),
        ([-1, 0], [[1, 1, 1]] * 2, "holds -1; a video of 4 clips"),
        ([0, 1], [[1, 1, 1]], r"saliency_scores is \(1, 3\) for 2 clip ids; expected \(2, 3\)"),
    ],
)
def test_ratings_that_do_not_fit_the_video_are_refused(clips, scores, message):
    with pytest.raises(ShapeError, match=message):
        ratings_matrix(4, clips, scores)


# TVSum and YouTube Highlights


def test_the_area_is_that_of_the_trapezoids():
    # ranked labels 1 0 1: recall steps of 1/2 between precisions 1, 1 and 1/2, 2/3
    expected = 1 / 2 * (1 + 1) / 2 + 1 / 2 * (1 / 2 + 2 / 3) / 2
    assert youtube_ap(np.array([3.0, 2.0, 1.0]), np.array([[1], [0], [1]])) == pytest.approx(expected)


def test_the_borderline_and_negative_matches_are_not_highlights():
    assert youtube_ap(np.array([3, 2, 1]), np.array([1, 0, -1])) == 1.0
    assert youtube_ap(np.array([3, 2, 1]), np.array([0, 0, -1])) == 0.0


def test_recall_is_relative_to_the_five_best_clips():
    labels = np.array([5, 5, 5, 1, 1, 1, 1, 1])[:, None]
    assert tvsum_top5_map(np.array([9, 8, 0, 7, 6, 5, 1, 1]), labels) == pytest.approx(1.0)


def test_clips_at_the_median_are_not_positive():
    labels = np.array([1, 2, 2, 4])[:, None]
    assert tvsum_top5_map(np.array([1, 4, 3, 2]), labels) == pytest.approx(slow_trapezoid([0, 0, 1, 0]))


def slow_trapezoid(ranked):
    area, recall, precision, hits = 0.0, 0.0, 1.0, 0
    for rank, label in enumerate(ranked, start=1):
        hits += label
        next_recall, next_precision = hits / max(sum(ranked), 1), hits / rank
        area += (next_recall - recall) * (precision + next_precision) / 2
        recall, precision = next_recall, next_precision
    return area


@pytest.mark.parametrize("seed", range(12))
def test_random_videos_score_as_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    n_clips = rng.integers(1, 15)
    saliency, labels = rng.integers(0, 6, n_clips + 2), rng.integers(1, 6, (n_clips, 20))
    falling = sorted(range(n_clips), key=lambda clip: -saliency[clip])
    columns = labels.T.tolist()
    expected = [slow_trapezoid([int(c[i] > median_low(c)) for i in falling[:5]]) for c in columns]
    np.testing.assert_allclose(tvsum_top5_map(saliency, labels), expected, rtol=1e-12)
    assert youtube_ap(saliency, columns[0] - np.int64(3)) == pytest.approx(
        slow_trapezoid([int(columns[0][i] > 3) for i in falling])
    )


def video_labels(shared, name):
    annotations = rows(shared / "annotations" / f"{name}_val_release.jsonl")
    labels = {row["vid"]: np.array(row["label"]) for row in annotations}
    return labels, {row["vid"]: row["domain"] for row in annotations}


def in_clip_order(labels, sign):
    return {video: sign * np.arange(len(of_video)) for video, of_video in labels.items()}


def assert_as_printed(scores, domains, average):
    """Equal to reference points of two decimals."""
    assert scores["domains"] == pytest.approx(domains, abs=0.005 + 1e-9)
    assert scores["mAP"] == pytest.approx(average, abs=0.005 + 1e-9)


TVSUM_DOMAINS = ["BK", "BT", "DS", "FM", "GA", "MS", "PK", "PR", "VT", "VU"]
TVSUM_ORACLE = [91.02, 84.33, 77.64, 74.68, 92.42, 77.85, 86.56, 82.39, 85.44, 91.13]
TVSUM_FORWARD = [29.08, 37.53, 22.94, 46.88, 77.49, 9.35, 34.92, 12.57, 15.19, 75.19]
YOUTUBE_FORWARD = {
    "dog": 39.95,
    "gymnastics": 63.71,
    "parkour": 63.33,
    "skating": 33.48,
    "skiing": 66.05,
    "surfing": 46.76,
}


def test_known_orders_on_tvsum(shared):
    labels, domain = video_labels(shared, "tvsum")
    oracle = tvsum_metrics({video: of_video.mean(1) for video, of_video in labels.items()}, labels, domain)
    assert_as_printed(oracle, dict(zip(TVSUM_DOMAINS, TVSUM_ORACLE, strict=True)), 84.35)
    forward = tvsum_metrics(in_clip_order(labels, -1), labels, domain)
    assert_as_printed(forward, dict(zip(TVSUM_DOMAINS, TVSUM_FORWARD, strict=True)), 36.11)
    assert tvsum_metrics(in_clip_order(labels, 1), labels, domain)["mAP"] == pytest.approx(26.44, abs=0.005)


def test_known_orders_on_youtube_highlights(shared):
    labels, domain = video_labels(shared, "youtube_highlight")
    assert_as_printed(youtube_metrics(in_clip_order(labels, -1), labels, domain), YOUTUBE_FORWARD, 52.21)
    assert youtube_metrics(in_clip_order(labels, 1), labels, domain)["mAP"] == pytest.approx(54.11, abs=0.005)


def test_a_domain_keeps_five_decimals_of_the_fraction():
    labels = np.array([1, 0, 0, 0, 0, 0, 1])  # 1/2 + 1/2 (1/6 + 2/7) / 2 = 103/168
    scores = youtube_metrics({"v": -np.arange(7)}, {"v": labels}, {"v": "dog"})
    assert scores == {"mAP": 61.31, "domains": {"dog": 61.31}}
    assert percent_of_five_decimals(103 / 168 + 2e-5) == 61.312


def test_the_average_is_over_domains_and_not_over_videos():
    labels = {video: np.array([1, 0]) for video in "abc"}
    saliency = {"a": np.array([2, 1]), "b": np.array([2, 1]), "c": np.array([1, 2])}
    scores = youtube_metrics(saliency, labels, {"a": "dog", "b": "dog", "c": "cat"})
    assert scores == {"mAP": 62.5, "domains": {"cat": 25.0, "dog": 100.0}}


# Errors

LABELS, DOMAIN = {"v1": np.ones((3, 20))}, {"v1": "BK"}


@pytest.mark.parametrize("metrics", [tvsum_metrics, youtube_metrics])
def test_too_few_saliency_values_are_refused_by_video(metrics):
    labels = {"v1": LABELS["v1"][:, :1]}
    with pytest.raises(SaliencyTooShort, match="video 'v1' has 2 saliency values for 3 labelled clips; predict one"):
        metrics({"v1": np.ones(2)}, labels, DOMAIN)
    assert issubclass(SaliencyTooShort, SpikeMbaError)


@pytest.mark.parametrize(
    "score",
    [
        lambda saliency: tvsum_metrics(saliency, LABELS, DOMAIN),
        lambda saliency: highlight_metrics(saliency, {"v1": np.zeros((3, 3))}),
    ],
)
def test_saliency_must_be_there_and_be_numbers(score):
    with pytest.raises(NothingToScore, match="nothing to score"):
        score({})
    with pytest.raises(NotNumbers, match="saliency of 'v1' holds NaN"):
        score({"v1": np.array([1, np.nan, 2])})
    with pytest.raises(ValueError, match="the first is 'v2'"):
        score({"v2": np.ones(3)})


def test_misuse_is_a_value_error():
    with pytest.raises(ValueError, match="1 saliency values for 2 labelled clips"):
        tvsum_top5_map(np.ones(1), np.ones((2, 20)))
    with pytest.raises(ValueError, match="expected"):
        highlight_metrics({1: np.ones(2)}, {1: np.ones((2, 2))})
