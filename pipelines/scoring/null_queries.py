"""Queries that have no moment, in the scores: how many there are, and how well they are told from the others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.annotations import Annotation, PredictedRow, QueryId
from spikemba.metrics import AnsweredQueries, generalised_document
from spikemba.metrics.existence import THRESHOLDS
from spikemba.metrics.generalised import GATE, TOP_K, gated, set_overlaps

KEY = "GMR"
"""Of these scores in a document, and with a hyphen before their names in a brief."""

SHORT_OF_REJECTION = ("Rej-P", "Rej-R")
"""What our brief holds beside the official one, for each threshold."""

BESIDE = {
    "always_answer": "always answer",
    "always_reject": "always reject",
    "query_only": "control: the sentence on other videos",
    "video_only": "control: other sentences on the video",
}
"""What stands beside the predictions, in words."""

SHOWN_BESIDE = ("AUROC", "Rej-F1@0.4", "Acc@0.4", "Rej-F1@0.6", "G-mIoU@1", "G-mIoU@3", "G-mIoU@5")
"""The numbers of it that a table shows."""

Predicted = Mapping[QueryId, PredictedRow]


def n_null(annotations: Sequence[Annotation]) -> int:
    """How many queries have no moment."""
    return sum(one.is_null for one in annotations)


def null_scores(predicted: Predicted, annotations: Sequence[Annotation]) -> dict[str, Any]:
    """The document of generalised moment retrieval, of all queries whose moments are known; empty without null ones.

    The two controls are in it where the predictions carry existence scores of their own.
    """
    if not n_null(annotations):
        return {}
    asked = known_moments(annotations)
    carried = any(predicted[one.query_id].exist_score is not None for one in asked)
    sentences = {one.query_id: one.query.lower().strip(" .") for one in asked} if carried else None
    videos = {one.query_id: one.video_id for one in asked} if carried else None
    document = generalised_document(_queries(predicted, asked), sentences, videos)
    sources = Counter(_source(predicted[one.query_id]) for one in asked)
    return document | {"GMR-CLS": document["GMR-CLS"] | {"score_sources": dict(sources)}}


def null_brief(document: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers of a document of null queries, by their names in a brief.

    The AUROC is left out where all queries have a moment or none has, for then it says nothing.
    """
    if not document:
        return {}
    brief = dict(document["brief"])
    if not (document["stats"]["num_positive"] and document["stats"]["num_negative"]):
        del brief["AUROC"]
    limits = document["GMR-CLS"]["per_threshold"]
    brief |= {f"{name}@{limit}": limits[limit][name] for limit in limits for name in SHORT_OF_REJECTION}
    return {f"{KEY}-{name}": value for name, value in brief.items()}


def beside_brief(document: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Always answering and always rejecting, in words -> their numbers, by their names in a brief."""
    beside = document.get(KEY, {}).get("beside", {})
    return {
        BESIDE[name]: {f"{KEY}-{metric}": value for metric, value in beside[name].items()}
        for name in ("always_answer", "always_reject")
        if name in beside
    }


def null_samples(predicted: Predicted, annotations: Sequence[Annotation]) -> dict[str, NDArray[np.float64]]:
    """What each of these metrics that is a mean over queries gives each query whose moments are known, in [0, 1]."""
    asked = known_moments(annotations)
    queries = _queries(predicted, asked)
    scores, exists = queries.scores, queries.exists
    overlap = gated(set_overlaps(queries), scores > GATE, exists)
    found = {f"{KEY}-G-mIoU@{k}": overlap[:, i] for i, k in enumerate(TOP_K)}
    return found | {f"{KEY}-Acc@{limit}": ((scores > limit) == exists).astype(np.float64) for limit in THRESHOLDS}


def null_notes(annotations: Sequence[Annotation]) -> list[str]:
    """What to say about the null queries of annotations that are scored."""
    n = n_null(annotations)
    if not n:
        return []
    if n == len(annotations):
        said = "a split that hides its windows leaves the key relevant_windows out"
        return [f"all {n} queries are null queries, of which the video shows nothing; {said}"]
    said = f"R1, mAP, mIoU and HL leave them out; {KEY} counts them"
    return [f"{n} of {len(annotations)} queries are null queries, of which the video shows nothing: {said}"]


def known_moments(annotations: Sequence[Annotation]) -> list[Annotation]:
    """The queries that have a moment or are known to have none."""
    return [one for one in annotations if one.windows or one.is_null]


def _queries(predicted: Predicted, asked: Sequence[Annotation]) -> AnsweredQueries:
    return AnsweredQueries(
        moments={one.query_id: predicted[one.query_id].moment_array for one in asked},
        windows={one.query_id: one.window_array for one in asked},
        existence={one.query_id: predicted[one.query_id].existence for one in asked},
    )


def _source(row: PredictedRow) -> str:
    """Where an existence score comes from, in the official words."""
    if row.exist_score is not None:
        return "pred_exist_score"
    return "window_score" if row.moments else "default"
