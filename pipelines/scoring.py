"""Predictions against annotations: the official document of metrics. Needs no torch, so it starts at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikemba.datasets.annotations import Annotation, PredictedRow, read_annotations, read_predictions
from spikemba.errors import AnnotationError
from spikemba.metrics import grounding_document, ratings_matrix

LABEL_CLIP_S = 2.0
"""Seconds that one rated clip lasts in the QVHighlights form."""


def score_files(predictions: Path, annotations: Path) -> dict[str, Any]:
    """Score a predictions file against an annotations file, both jsonl. Raises AnnotationError."""
    return score(read_predictions(predictions), read_annotations(annotations), str(predictions))


def score(
    rows: Sequence[PredictedRow], annotations: Sequence[Annotation], source: str = "predictions"
) -> dict[str, Any]:
    """The official evaluator's document. Moments are scored where the truth has windows, saliency where it has ratings.

    Raises AnnotationError when the two do not hold the same queries, or when the annotations hold no truth.
    """
    truth = {annotation.query_id: annotation for annotation in annotations}
    predicted = {row.query_id: row for row in rows}
    _check_queries(set(predicted), set(truth), source)
    with_windows = [i for i, annotation in truth.items() if annotation.windows]
    rated = [i for i, annotation in truth.items() if annotation.ratings]
    moments = {i: np.asarray(predicted[i].moments).reshape(-1, 3) for i in with_windows}
    saliency = {i: np.asarray(predicted[i].saliency) for i in rated}
    if not with_windows and not rated:
        raise AnnotationError(source, ["the annotations hold neither windows nor ratings; nothing can be scored"])
    has_moments = any(len(of_query) for of_query in moments.values())
    has_saliency = any(len(of_query) for of_query in saliency.values())
    return grounding_document(
        predicted=moments if has_moments else None,
        truth={i: truth[i].window_array for i in with_windows},
        saliency=saliency if has_saliency else None,
        ratings={i: _ratings(truth[i]) for i in rated},
    )


def _ratings(annotation: Annotation) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(L, A) ratings of every clip, zero where nobody rated."""
    n_clips = int(annotation.duration_s / LABEL_CLIP_S)
    n_clips = max(n_clips, max(annotation.relevant_clips, default=-1) + 1)
    return np.asarray(ratings_matrix(n_clips, annotation.relevant_clips, annotation.ratings), np.float64)


def _check_queries(predicted: set[Any], annotated: set[Any], source: str) -> None:
    missing, extra = annotated - predicted, predicted - annotated
    faults = []
    if missing:
        faults.append(f"{len(missing)} annotated queries have no prediction, as qid {min(missing, key=str)!r}")
    if extra:
        faults.append(f"{len(extra)} predicted queries are not annotated, as qid {min(extra, key=str)!r}")
    if faults:
        raise AnnotationError(source, faults)


def brief_value(document: Mapping[str, Any], key: str) -> float | None:
    """A number of the document's brief, or None where it was not measured."""
    value = document["brief"].get(key)
    return None if value is None else float(value)
