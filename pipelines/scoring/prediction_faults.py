"""What is wrong with a file of predictions, beyond what its reader refuses: every fault named, the worst first."""

import re
from collections.abc import Mapping, Sequence

from pipelines.scoring.scores import query_faults
from spikemba.datasets.annotations import Annotation, PredictedRow, QueryId
from spikemba.datasets.clip_lengths import whole_clips
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.metrics.existence import THRESHOLDS
from spikemba.reading.printable import counted

SLACK_S = 0.01
"""A window may end this much past its video: durations are stored with two decimals."""

MAX_MOMENTS = 10

MOST_SALIENCY = 1.25
"""Scores by clips beyond which they are of clips of another length."""


def prediction_faults(
    rows: Sequence[PredictedRow], annotations: Sequence[Annotation], protocol: ScoringProtocol
) -> list[str]:
    """One line per kind of fault: what it does to the score, how many queries have it, and the first of them.

    Missing and unknown queries, short or absent saliency, existence that is no probability, and, where moments are
    scored, empty lists, windows that end before they start or past the video, lists out of order or longer than the ten
    that are read.
    """
    truth = {annotation.query_id: annotation for annotation in annotations}
    faults = query_faults({row.query_id for row in rows}, set(truth))
    pairs = [(row, truth[row.query_id]) for row in rows if row.query_id in truth]
    faults += _saliency_faults(pairs) + _existence_faults({row.query_id: row.exist_score for row, _ in pairs})
    if not protocol.highlights:
        faults += _moment_faults(pairs)
    return faults


def n_labelled_clips(annotation: Annotation) -> int:
    """Clips that saliency is scored on; 0 where it is not."""
    if annotation.labels:
        return len(annotation.labels)
    return whole_clips(annotation.duration_s, annotation.rating_clip_s) if annotation.ratings else 0


Pairs = Sequence[tuple[PredictedRow, Annotation]]


def _saliency_faults(pairs: Pairs) -> list[str]:
    short = {
        row.query_id: f"{len(row.saliency)} of {n_labelled_clips(truth)}"
        for row, truth in pairs
        if len(row.saliency) < n_labelled_clips(truth)
    }
    long = {
        row.query_id: f"{len(row.saliency)} for {n}"
        for row, truth in pairs
        if (n := n_labelled_clips(truth)) and len(row.saliency) > max(n + 1, MOST_SALIENCY * n)
    }
    return [
        *query_fault(short, "have fewer saliency scores than clips; a missing score counts as 0, above negative ones"),
        *query_fault(
            long,
            "have far more saliency scores than clips were rated; the rest is not read: is a score as long as"
            " a rated clip?",
        ),
    ]


def _existence_faults(scores: Mapping[QueryId, float | None]) -> list[str]:
    """A line where existence scores are no probabilities: they rank, and thresholds mean nothing to them."""
    outside = {one: f"{score:g}" for one, score in scores.items() if score is not None and not 0 <= score <= 1}
    limits = " and ".join(f"{limit:g}" for limit in THRESHOLDS)
    return query_fault(
        outside,
        f"have a pred_exist_score that is no probability from 0 to 1; AUROC ranks by it, the thresholds {limits}"
        " take it for one",
    )


def _moment_faults(pairs: Pairs) -> list[str]:
    empty, backward, past, unsorted_, long = (dict[QueryId, str]() for _ in range(5))
    for row, truth in pairs:
        if truth.windows and not row.moments:
            empty[row.query_id] = "no window"
        for moment in row.moments:
            shown = f"[{moment.start_s:g}, {moment.end_s:g}]"
            if moment.end_s <= moment.start_s or moment.start_s < 0:
                backward.setdefault(row.query_id, shown)
            if moment.end_s > truth.duration_s + SLACK_S:
                past.setdefault(row.query_id, f"{shown} in {truth.duration_s:g} s")
        if any(b.score > a.score for a, b in zip(row.moments, row.moments[1:], strict=False)):
            unsorted_[row.query_id] = "a better one stands behind"
        if len(row.moments) > MAX_MOMENTS:
            long[row.query_id] = f"{len(row.moments)} windows"
    return [
        *query_fault(empty, "have no windows; they are left out of the mean and not counted as 0"),
        *query_fault(backward, "have windows that begin before 0 or do not end after they begin"),
        *query_fault(past, "have windows that end past the video"),
        *query_fault(unsorted_, "are not sorted by score; MR-R1 takes the first of the list, not the best"),
        *query_fault(long, f"have more than {MAX_MOMENTS} windows; mAP reads the first {MAX_MOMENTS}"),
    ]


def query_fault(queries: dict[QueryId, str], what: str) -> list[str]:
    """One line about queries with a fault, none without. queries: id -> what was seen; what: begins with a verb."""
    if not queries:
        return []
    query_id, shown = next(iter(queries.items()))
    if len(queries) == 1:
        what = re.sub("^(have|are)", lambda verb: {"have": "has", "are": "is"}[verb[0]], what)
    return [f"{counted(len(queries), 'query', 'queries')} {what}, as qid {query_id!r}: {shown}"]
