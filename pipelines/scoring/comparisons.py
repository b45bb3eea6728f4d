"""How sure a score is, and whether one file of predictions is better than another on the same queries."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.scores import clip_ratings, protocol_of, query_faults
from spikemba.datasets.annotations import Annotation, PredictedRow, QueryId, read_annotations, read_predictions
from spikemba.datasets.protocol import HighlightScores, ScoringProtocol
from spikemba.datasets.registry import OWN
from spikemba.errors import AnnotationError
from spikemba.metrics.bootstrap import Comparison, Interval, Sample, compare, interval
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
    """The main metrics with their 95 % intervals, in percent."""
    return {name: _percent(interval(one, n, seed)) for name, one in samples(rows, annotations, protocol).items()}


def compare_files(
    a: Path, b: Path, annotations: Path, benchmark: str = OWN, n: int = 2000, seed: int = 0
) -> dict[str, Comparison]:
    """The main metrics of two prediction files, in percent, with intervals of the differences.

    Raises AnnotationError when one of the two does not hold the queries of the annotations.
    """
    truth, protocol = read_annotations(annotations), protocol_of(benchmark)
    found = []
    for path in (a, b):
        rows = read_predictions(path)
        if faults := query_faults({row.query_id for row in rows}, {one.query_id for one in truth}):
            raise AnnotationError(path, faults)
        found.append(samples(rows, truth, protocol))
    first, second = found
    compared = {name: compare(first[name], second[name], n, seed) for name in first if name in second}
    return {
        name: Comparison(100 * c.a, 100 * c.b, _percent(c.difference), c.p, c.better, c.worse)
        for name, c in compared.items()
    }


def samples(
    rows: Sequence[PredictedRow], annotations: Sequence[Annotation], protocol: ScoringProtocol
) -> dict[str, Sample]:
    """What each main metric gives each query, by the metric's name in the document.

    An empty list of moments counts as 0 here, so that two files are about the same queries. TVSum has one test video
    per domain, so there the annotators are what is resampled.
    """
    predicted = {row.query_id: row for row in rows}
    if protocol.highlights:
        return {"mAP": _highlight_sample(predicted, annotations, protocol.highlights)}
    found: dict[str, Sample] = {}
    with_windows = [one for one in annotations if one.windows]
    if with_windows and any(row.moments for row in rows):
        found |= _moment_samples(predicted, with_windows, protocol)
    rated = [one for one in annotations if one.ratings]
    if rated and any(row.saliency for row in rows):
        found |= _saliency_samples(predicted, rated)
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


def _saliency_samples(predicted: Mapping[QueryId, PredictedRow], truth: Sequence[Annotation]) -> dict[str, Sample]:
    saliency = {one.query_id: np.asarray(predicted[one.query_id].saliency) for one in truth}
    ratings = {one.query_id: clip_ratings(one) for one in truth}
    name, least = "VeryGood", LEVELS["VeryGood"]
    ap, hit = clip_scores(saliency, ratings, least)
    return {
        f"HL-min-{name}-mAP": _by_video(ap.mean(1), truth),
        f"HL-min-{name}-Hit1": _by_video(hit.astype(float), truth),
    }


def _highlight_sample(
    predicted: Mapping[QueryId, PredictedRow], truth: Sequence[Annotation], highlights: HighlightScores
) -> Sample:
    values: list[float] = []
    units: list[str] = []
    groups: list[str] = []
    saliency = {str(one.query_id): np.asarray(predicted[one.query_id].saliency) for one in truth}
    labels = {str(one.query_id): one.label_array for one in truth}
    check_videos(saliency, labels, {str(one.query_id): one.domain or "" for one in truth})
    for one in truth:
        key = str(one.query_id)
        ap = highlights.of_video(saliency[key], labels[key])
        values += ap
        units += [f"{key} {rater}" for rater in range(len(ap))]
        groups += [one.domain or _ALL] * len(ap)
    return Sample(np.asarray(values), tuple(units), tuple(groups))


def _by_video(values: NDArray[np.floating], truth: Sequence[Annotation]) -> Sample:
    return Sample(np.asarray(values, float), tuple(one.video_id for one in truth), (_ALL,) * len(truth))


def _percent(found: Interval) -> Interval:
    return Interval(100 * found.mean, 100 * found.low, 100 * found.high)
