"""Predictions against annotations, as each benchmark scores them. Needs no torch, so it starts at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.annotations import Annotation, PredictedRow, read_annotations, read_predictions
from spikemba.datasets.clip_lengths import whole_clips
from spikemba.datasets.protocol import HighlightScores, ScoringProtocol
from spikemba.datasets.registry import OWN, find_benchmark
from spikemba.errors import AnnotationError
from spikemba.metrics import grounding_document, ratings_matrix


def protocol_of(benchmark: str) -> ScoringProtocol:
    """How a benchmark is scored. Raises UnknownName with the list of names."""
    return find_benchmark(benchmark).protocol


def score_files(predictions: Path, annotations: Path, benchmark: str = OWN) -> dict[str, Any]:
    """Score a predictions file against an annotations file, both jsonl. Raises AnnotationError, UnknownName."""
    protocol = protocol_of(benchmark)
    return score(read_predictions(predictions), read_annotations(annotations), str(predictions), protocol)


def score(
    rows: Sequence[PredictedRow],
    annotations: Sequence[Annotation],
    source: str = "predictions",
    protocol: ScoringProtocol | None = None,
) -> dict[str, Any]:
    """The official evaluator's document, or {"mAP": ..., "domains": {...}} for a highlight set.

    protocol: by default that of OWN.
    Moments are scored where the truth has windows, saliency where it has ratings or labels.
    Raises AnnotationError when the two do not hold the same queries, or when the annotations hold no truth.
    """
    truth = {annotation.query_id: annotation for annotation in annotations}
    predicted = {row.query_id: row for row in rows}
    _check_queries(set(predicted), set(truth), source)
    protocol = protocol or protocol_of(OWN)
    if protocol.highlights:
        return _by_domain(predicted, truth, source, protocol.highlights)
    with_windows = [i for i, annotation in truth.items() if annotation.windows]
    rated = [i for i, annotation in truth.items() if annotation.ratings]
    moments = {i: predicted[i].moment_array for i in with_windows}
    saliency = {i: np.asarray(predicted[i].saliency) for i in rated}
    if not with_windows and not rated:
        raise AnnotationError(source, ["the annotations hold neither windows nor ratings; nothing can be scored"])
    has_moments = any(len(of_query) for of_query in moments.values())
    has_saliency = any(len(of_query) for of_query in saliency.values())
    return grounding_document(
        predicted=moments if has_moments else None,
        truth={i: truth[i].window_array for i in with_windows},
        saliency=saliency if has_saliency else None,
        ratings={i: clip_ratings(truth[i]) for i in rated},
        r1_thresholds=protocol.r1_thresholds,
        ranges=protocol.ranges,
        with_miou=protocol.with_miou,
    )


def _by_domain(
    predicted: Mapping[Any, PredictedRow], truth: Mapping[Any, Annotation], source: str, highlights: HighlightScores
) -> dict[str, Any]:
    unlabelled = [i for i, annotation in truth.items() if not annotation.labels or annotation.domain is None]
    if unlabelled:
        raise AnnotationError(
            source, [f"{len(unlabelled)} annotations have no label or no domain, as qid {unlabelled[0]!r}"]
        )
    scores = highlights.by_domain(
        {str(i): np.asarray(predicted[i].saliency) for i in truth},
        {str(i): annotation.label_array for i, annotation in truth.items()},
        {str(i): str(annotation.domain) for i, annotation in truth.items()},
    )
    return dict(scores)


def clip_ratings(annotation: Annotation) -> NDArray[np.float64]:
    """(L, A) ratings of every clip of the length that was rated, zero where nobody rated."""
    n_clips = whole_clips(annotation.duration_s, annotation.rating_clip_s)
    n_clips = max(n_clips, max(annotation.relevant_clips, default=-1) + 1)
    return np.asarray(ratings_matrix(n_clips, annotation.relevant_clips, annotation.ratings), np.float64)


def _check_queries(predicted: set[Any], annotated: set[Any], source: str) -> None:
    if faults := query_faults(predicted, annotated):
        raise AnnotationError(source, faults)


def query_faults(predicted: set[Any], annotated: set[Any]) -> list[str]:
    """Queries that only one side holds, one fault per side."""
    missing, extra = annotated - predicted, predicted - annotated
    faults = []
    if missing:
        faults.append(f"{len(missing)} annotated queries have no prediction, as qid {min(missing, key=str)!r}")
    if extra:
        faults.append(f"{len(extra)} predicted queries are not annotated, as qid {min(extra, key=str)!r}")
    return faults


def brief(document: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers that stand for a document: its own brief, or the mean and each domain of a highlight set."""
    if "domains" in document:
        return {"mAP": document["mAP"], **{f"mAP-{name}": value for name, value in document["domains"].items()}}
    return dict(document["brief"])


MAIN = (
    *("MR-full-mAP", "MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mIoU", "HL-min-VeryGood-mAP", "HL-min-VeryGood-Hit1"),
    *("mAP", "top1", "top5"),
)
"""Numbers of a brief that stand for the others."""


def main_metrics(found: Mapping[str, float], *, first: str | None = None, at_most: int = 5) -> list[str]:
    """Names of the numbers that fit a line, the one that chooses the epoch first."""
    names = [name for name in ((first,) if first else ()) if name in found]
    names += [name for name in MAIN if name in found and name not in names]
    return (names or list(found))[:at_most]


def short_name(metric: str) -> str:
    """A metric's name for a narrow column."""
    return metric.replace("MR-full-", "").replace("HL-min-VeryGood-", "HL-")
