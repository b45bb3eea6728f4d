"""How sure a score is, and whether one file of predictions is better than another on the same queries."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.answers import read_answers
from pipelines.scoring.null_queries import known_moments, n_null, null_samples
from pipelines.scoring.scores import check_queries, check_truth, clip_ratings, protocol_of, query_faults
from spikemba.datasets.annotations import Annotation, PredictedRow, QueryId, read_annotations
from spikemba.datasets.protocol import HighlightScores, ScoringProtocol
from spikemba.datasets.registry import OWN
from spikemba.metrics import NothingToScore
from spikemba.metrics.bootstrap import ENOUGH, Comparison, Interval, Sample, compare, interval
from spikemba.metrics.highlights import LEVELS, check_videos, clip_scores
from spikemba.metrics.retrieval import AP_THRESHOLDS, query_scores

SHOWN_R1 = (0.3, 0.5, 0.7)
"""IoU thresholds of MR-R1 that are compared, where the benchmark measures them."""

_ALL = "all"


def intervals(
    rows: Sequence[PredictedRow],
    annotations: Sequence[Annotation],
    protocol: ScoringProtocol,
    n: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """The main metrics with their 95 % intervals, in percent, of the queries that the metrics are about."""
    found = samples(rows, annotations, protocol)
    return {name: in_percent(interval(one, n, seed)) for name, one in found.items()}


def too_few(annotations: Sequence[Annotation]) -> list[str]:
    """What to say about intervals where there are too few videos for them."""
    n = len({one.video_id for one in annotations})
    if n >= ENOUGH or any(one.labels for one in annotations):
        return []
    none = "one video has no 95 % interval, for it says nothing about others"
    few = f"{n} videos are few for 95 % intervals and differences, which may lie further apart"
    return [f"{none if n == 1 else few}; expected {ENOUGH} or more"]


def not_annotated(rows: Sequence[PredictedRow], annotations: Sequence[Annotation]) -> list[str]:
    """What to say about predictions of queries that are not annotated, which null queries let pass."""
    annotated = {one.query_id for one in annotations}
    return query_faults({row.query_id for row in rows} | annotated, annotated)


def compare_files(
    a: Path, b: Path, annotations: Path, benchmark: str = OWN, n: int = 2000, seed: int = 0
) -> dict[str, Comparison]:
    """The main metrics of two prediction files, of any forms, in percent, with intervals of the differences.

    A query without an answer, in a file that has others, counts as 0, and so does every one of a file without any.
    Raises AnnotationError when one of the two does not hold the queries of the annotations, NothingToScore when neither
    answers a query that has a truth.
    """
    truth, protocol = read_annotations(annotations), protocol_of(benchmark)
    found = []
    for path in (a, b):
        rows = read_answers(path, truth).rows
        check_queries({row.query_id for row in rows}, truth, path)
        found.append(rows)
    check_truth(truth, protocol, str(annotations))
    wanted = _answered(found[0] + found[1])
    if not wanted.intersection(_asked(truth)):
        raise NothingToScore(f"neither {a} nor {b} answers a query that {annotations} has windows or ratings of")
    return _compared(([rows] for rows in found), truth, protocol, wanted, n, seed)


def compare_seeds(
    a: Sequence[Sequence[PredictedRow]],
    b: Sequence[Sequence[PredictedRow]],
    truth: Sequence[Annotation],
    protocol: ScoringProtocol,
    n: int = 2000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """The main metrics of b beside a, in percent: for each query, the mean over b's seeds beside that over a's.

    a, b: rows of all queries of the truth, and perhaps of others, per seed; the same number of seeds where they are to
    be paired. The intervals are those of other videos under these seeds. A query without an answer counts as 0.
    Empty when none of the rows answers what the truth has.
    """
    wanted = _answered([row for rows in (*a, *b) for row in rows])
    return _compared((a, b), truth, protocol, wanted, n, seed) if wanted.intersection(_asked(truth)) else {}


def _compared(
    both: Iterable[Sequence[Sequence[PredictedRow]]],
    truth: Sequence[Annotation],
    protocol: ScoringProtocol,
    wanted: Collection["Part"],
    n: int,
    seed: int,
) -> dict[str, Comparison]:
    first, second = (
        _mean_samples([samples(rows, truth, protocol, missing=wanted) for rows in seeds]) for seeds in both
    )
    compared = {name: compare(first[name], second[name], n, seed) for name in first}
    return {
        name: Comparison(100 * c.a, 100 * c.b, in_percent(c.difference), c.p, c.better, c.worse)
        for name, c in compared.items()
    }


def _mean_samples(seeds: Sequence[Mapping[str, Sample]]) -> dict[str, Sample]:
    """Of each item the mean over the seeds."""
    return {
        name: Sample(np.mean([of_seed[name].values for of_seed in seeds], axis=0), one.units, one.groups)
        for name, one in seeds[0].items()
    }


Part = Literal["moments", "saliency", "existence"]


def _answered(rows: Sequence[PredictedRow]) -> set[Part]:
    """What any of the rows has."""
    found: dict[Part, bool] = {
        "moments": any(row.moments for row in rows),
        "saliency": any(row.saliency for row in rows),
        "existence": bool(rows),  # an empty list says something: that there is no moment
    }
    return {part for part, there in found.items() if there}


def _asked(annotations: Sequence[Annotation]) -> set[Part]:
    """What any of the annotations has a truth for."""
    found: dict[Part, bool] = {
        "moments": any(one.windows for one in annotations),
        "saliency": any(one.ratings or one.labels for one in annotations),
        "existence": n_null(annotations) > 0,
    }
    return {part for part, there in found.items() if there}


def samples(
    rows: Sequence[PredictedRow],
    annotations: Sequence[Annotation],
    protocol: ScoringProtocol,
    *,
    missing: Collection[Part] = (),
) -> dict[str, Sample]:
    """What each main metric gives each query, by the metric's name in the document.

    missing: where a query without an answer counts as 0, so that two files are about the same queries; elsewhere it is
    left out, as in the document. TVSum has one test video per domain, so there the annotators are what is resampled.
    """
    predicted = {row.query_id: row for row in rows}
    if protocol.highlights:
        return {"mAP": _highlight_sample(predicted, annotations, protocol.highlights, "saliency" in missing)}
    found: dict[str, Sample] = {}
    parts = _answered(rows) | set(missing)
    with_windows = [one for one in annotations if one.windows]
    if "moments" not in missing:
        with_windows = [one for one in with_windows if predicted[one.query_id].moments]
    if with_windows and "moments" in parts:
        found |= _moment_samples(predicted, with_windows, protocol)
    rated = [one for one in annotations if one.ratings]
    if rated and "saliency" in parts:
        found |= _saliency_samples(predicted, rated, unanswered_are_0="saliency" in missing)
    if n_null(annotations):
        known = known_moments(annotations)
        found |= {name: _by_video(values, known) for name, values in null_samples(predicted, annotations).items()}
    return found


def _moment_samples(
    predicted: Mapping[QueryId, PredictedRow], truth: Sequence[Annotation], protocol: ScoringProtocol
) -> dict[str, Sample]:
    moments = {one.query_id: predicted[one.query_id].moment_array for one in truth}
    ap, overlap = query_scores(moments, {one.query_id: one.window_array for one in truth})
    limits = [limit for limit in SHOWN_R1 if limit in protocol.r1_thresholds]
    values = {f"MR-full-R1@{limit}": (overlap >= limit).astype(float) for limit in limits}
    if protocol.with_miou:
        values["MR-full-mIoU"] = overlap
    values["MR-full-mAP"] = ap.mean(1)
    for limit in (0.5, 0.75):
        values[f"MR-full-mAP@{limit}"] = ap[:, AP_THRESHOLDS.index(limit)]
    return {name: _by_video(of_query, truth) for name, of_query in values.items()}


def _saliency_samples(
    predicted: Mapping[QueryId, PredictedRow], truth: Sequence[Annotation], *, unanswered_are_0: bool
) -> dict[str, Sample]:
    saliency = {one.query_id: np.asarray(predicted[one.query_id].saliency) for one in truth}
    ratings = {one.query_id: clip_ratings(one) for one in truth}
    name, least = "VeryGood", LEVELS["VeryGood"]
    ap, hit = clip_scores(saliency, ratings, least)
    # the official code fills short lists with 0, which ranks nothing and yet may hit
    counted = np.array([len(of_query) > 0 or not unanswered_are_0 for of_query in saliency.values()])
    return {
        f"HL-min-{name}-mAP": _by_video(ap.mean(1) * counted, truth),
        f"HL-min-{name}-Hit1": _by_video(hit * counted.astype(float), truth),
    }


def _highlight_sample(
    predicted: Mapping[QueryId, PredictedRow],
    truth: Sequence[Annotation],
    highlights: HighlightScores,
    unanswered_are_0: bool,
) -> Sample:
    values: list[float] = []
    units: list[str] = []
    groups: list[str] = []
    saliency = {str(one.query_id): np.asarray(predicted[one.query_id].saliency) for one in truth}
    labels = {str(one.query_id): one.label_array for one in truth}
    answered = {key: of_video for key, of_video in saliency.items() if len(of_video) or not unanswered_are_0}
    if answered or not unanswered_are_0:
        check_videos(answered, labels, {str(one.query_id): one.domain or "" for one in truth})
    for one in truth:
        key = str(one.query_id)
        n_raters = labels[key].shape[1]
        ap = highlights.of_video(saliency[key], labels[key]) if key in answered else [0.0] * n_raters
        values += ap
        units += [f"{key} {rater}" for rater in range(len(ap))]
        groups += [one.domain or _ALL] * len(ap)
    return Sample(np.asarray(values), tuple(units), tuple(groups))


def _by_video(values: NDArray[np.floating], truth: Sequence[Annotation]) -> Sample:
    return Sample(np.asarray(values, float), tuple(one.video_id for one in truth), (_ALL,) * len(truth))


def in_percent(found: Interval) -> Interval:
    if found.low is None or found.high is None:
        return Interval(100 * found.mean, None, None)
    return Interval(100 * found.mean, 100 * found.low, 100 * found.high)
