"""Predictions against annotations, as each benchmark scores them. Needs no torch, so it starts at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.scoring.null_queries import KEY, n_null, null_brief, null_scores
from spikemba.datasets.annotations import Annotation, PredictedRow, read_annotations, read_predictions
from spikemba.datasets.clip_lengths import whole_clips
from spikemba.datasets.protocol import HighlightScores, ScoringProtocol
from spikemba.datasets.registry import OWN, benchmark_names, find_benchmark
from spikemba.errors import AnnotationError
from spikemba.metrics import NothingToScore, grounding_document, ratings_matrix
from spikemba.reading.printable import counted


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
    Moments are scored where the truth has windows, saliency where it has ratings or labels. Queries without an answer
    are left out, as the official evaluator does; "left_out" then says how many, {"MR": n}. So are null queries, which
    have no moment ({"null_queries": n}); where there are any, "GMR" holds the document of the evaluator that counts
    them, and the brief its numbers.
    Raises AnnotationError when the two do not hold the same queries (beside null queries, predictions of others are
    left out), when the annotations hold no truth or that of another benchmark, NothingToScore when nothing that has a
    truth is predicted.
    """
    truth = {annotation.query_id: annotation for annotation in annotations}
    predicted = {row.query_id: row for row in rows}
    check_queries(set(predicted), annotations, source)
    protocol = protocol or protocol_of(OWN)
    check_truth(annotations, protocol, source)
    if protocol.highlights:
        return _by_domain(predicted, truth, protocol.highlights)
    null = null_scores(predicted, annotations)
    with_windows = [i for i, annotation in truth.items() if annotation.windows]
    rated = [i for i, annotation in truth.items() if annotation.ratings]
    moments = {i: predicted[i].moment_array for i in with_windows}
    saliency = {i: np.asarray(predicted[i].saliency) for i in rated}
    has_moments = any(len(of_query) for of_query in moments.values())
    has_saliency = any(len(of_query) for of_query in saliency.values())
    if not has_moments and not has_saliency and not null:
        raise NothingToScore(f"{source} has no window and no saliency score for a query that has a truth")
    document = grounding_document(
        predicted=moments if has_moments else None,
        truth={i: truth[i].window_array for i in with_windows},
        saliency=saliency if has_saliency else None,
        ratings={i: clip_ratings(truth[i]) for i in rated},
        r1_thresholds=protocol.r1_thresholds,
        ranges=protocol.ranges,
        with_miou=protocol.with_miou,
    )
    unanswered = sum(not len(of_query) for of_query in moments.values()) if has_moments else 0
    return _with_null(document, null) | _left_out({"MR": unanswered, "null_queries": n_null(annotations)})


def _with_null(document: dict[str, Any], null: dict[str, Any]) -> dict[str, Any]:
    return {**document, "brief": document["brief"] | null_brief(null), KEY: null} if null else document


def _left_out(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    known = {name: n for name, n in counts.items() if n}
    return {"left_out": known} if known else {}


def left_out_faults(document: Mapping[str, Any]) -> list[str]:
    """What to say about the queries that a document leaves out."""
    n = document.get("left_out", {}).get("MR", 0)
    queries = counted(n, "query has", "queries have")
    return [f"{queries} no windows; they are left out of the mean and not counted as 0"] if n else []


def has_truth(annotations: Sequence[Annotation]) -> bool:
    """Whether there is anything to score against; test splits often hide it."""
    return any(one.windows or one.is_null or one.ratings or one.labels for one in annotations)


def check_truth(annotations: Sequence[Annotation], protocol: ScoringProtocol, source: str) -> None:
    """Raise AnnotationError when the annotations hold nothing that the protocol scores."""
    if protocol.highlights:
        unlabelled = [one.query_id for one in annotations if not one.labels or one.domain is None]
        if unlabelled:
            some = counted(len(unlabelled), "annotation has", "annotations have")
            raise AnnotationError(source, [f"{some} no label or no domain, as qid {unlabelled[0]!r}"])
    elif not any(one.windows or one.is_null or one.ratings for one in annotations):
        problem = "the annotations hold neither windows nor ratings; nothing can be scored"
        if any(one.labels for one in annotations):
            sets = " or ".join(f"--dataset {name}" for name in benchmark_names() if protocol_of(name).highlights)
            problem = f"the annotations hold the labels of a highlight set; give {sets}"
        raise AnnotationError(source, [problem])


def _by_domain(
    predicted: Mapping[Any, PredictedRow], truth: Mapping[Any, Annotation], highlights: HighlightScores
) -> dict[str, Any]:
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


def check_queries(predicted: set[Any], annotations: Sequence[Annotation], source: str | Path) -> None:
    """Raise AnnotationError for queries that only one side holds; beside null queries more may be predicted."""
    annotated = {one.query_id for one in annotations}
    if faults := query_faults(predicted & annotated if n_null(annotations) else predicted, annotated):
        if predicted - annotated:
            faults[-1] += "; queries that were asked beside these, as null queries, belong in the same annotations"
        raise AnnotationError(source, faults)


def query_faults(predicted: set[Any], annotated: set[Any]) -> list[str]:
    """Queries that only one side holds, one fault per side."""
    missing, extra = annotated - predicted, predicted - annotated
    faults = []
    if missing:
        asked = counted(len(missing), "annotated query has", "annotated queries have")
        faults.append(f"{asked} no prediction, as qid {min(missing, key=str)!r}")
    if extra:
        answered = counted(len(extra), "predicted query is", "predicted queries are")
        faults.append(f"{answered} not annotated, as qid {min(extra, key=str)!r}")
    return faults


def brief(document: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers that stand for a document: its own brief, or the mean and each domain of a highlight set."""
    if "domains" in document:
        return {"mAP": document["mAP"], **{f"mAP-{name}": value for name, value in document["domains"].items()}}
    return dict(document["brief"])


MAIN = (
    *("MR-full-mAP", "MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mIoU", "HL-min-VeryGood-mAP", "HL-min-VeryGood-Hit1"),
    *("mAP", "top1", "top5", "GMR-AUROC", "GMR-Rej-F1@0.4", "GMR-G-mIoU@1"),
    *("VCMR-R1@0.5", "VCMR-R10@0.5", "VCMR-R1@0.7", "VR-R1", "NDCG10@0.5"),
)
"""Numbers of a brief that stand for the others."""


def main_metrics(found: Mapping[str, float], *, first: str | None = None, at_most: int = 5) -> list[str]:
    """Names of the numbers that fit a line, the one that chooses the epoch first."""
    names = [name for name in ((first,) if first else ()) if name in found]
    names += [name for name in MAIN if name in found and name not in names]
    return (names or list(found))[:at_most]


def short_name(metric: str) -> str:
    """A metric's name for a narrow column; only GMR-mAP keeps its whole name, for the other mAP stands beside it."""
    if metric.startswith(f"{KEY}-") and metric != f"{KEY}-mAP":
        return metric.removeprefix(f"{KEY}-")
    return metric.replace("MR-full-", "").replace("HL-min-VeryGood-", "HL-")
