"""What became of each sentence: found, nearly, missed; or, of what the video does not show, said so or not.

Found means one thing everywhere: the first moment overlaps a true one by half, IoU >= 0.5, as in MR-R1@0.5. Needs no
torch.
"""

# Shapes: Q queries, K true windows.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.metrics.bootstrap import ENOUGH, Interval, Sample, interval
from spikemba.metrics.existence import THRESHOLDS
from spikemba.metrics.retrieval import query_scores
from spikemba.moments import iou

FOUND_IOU = 0.5
"""Overlap of the first moment with a true one from which a sentence is found."""
NEAR_IOU = 0.25
"""Overlap from which a first moment that is not right is nearly so."""
NEXT = 4
"""Moments behind the first among which a right one makes a near miss."""
DEALS = 100
"""Times that the answers are dealt out to other sentences."""
RESAMPLES = 1000

Fate = Literal["found", "near", "missed", "unanswered", "rejected", "taken"]
"""Of a sentence with a true moment: found; near, if the first moment overlaps by a quarter or one of the next four is
right; missed; unanswered. Of a null query: rejected, rightly, or taken for true.
"""
RIGHT: tuple[Fate, ...] = ("found", "rejected")


@dataclass(frozen=True)
class Outcome:
    """A query, what was answered, and what that was worth."""

    truth: Annotation
    row: PredictedRow
    fate: Fate
    overlap: float = 0.0
    """IoU of the first moment with the true one that it fits best."""
    right_rank: int | None = None
    """Of the first moments which is right, from 1; None: none of them."""

    @property
    def is_right(self) -> bool:
        """Whether it is a tick."""
        return self.fate in RIGHT


def outcomes(
    rows: Sequence[PredictedRow], truth: Sequence[Annotation], min_exists: float | None = None
) -> list[Outcome]:
    """Of every query whose moments are known, in the order of the truth.

    min_exists: below it an answer says that there is no such moment; None: the field's limit, at or below which a null
    query counts as rejected.
    """
    predicted = {row.query_id: row for row in rows}
    asked = [one for one in truth if one.query_id in predicted and (one.windows or one.is_null)]
    with_windows = [one for one in asked if one.windows]
    moments = {one.query_id: predicted[one.query_id].moment_array for one in with_windows}
    overlaps = query_scores(moments, {one.query_id: one.window_array for one in with_windows})[1] if moments else ()
    first = dict(zip(moments, map(float, overlaps), strict=True))
    found = []
    for one in asked:
        row = predicted[one.query_id]
        if one.is_null:
            found.append(Outcome(one, row, "rejected" if is_rejected(row, min_exists) else "taken"))
        else:
            found.append(_outcome(one, row, first[one.query_id]))
    return found


def is_rejected(row: PredictedRow, min_exists: float | None) -> bool:
    """Whether an answer says that there is no such moment."""
    return row.existence <= THRESHOLDS[0] if min_exists is None else row.existence < min_exists


def _outcome(one: Annotation, row: PredictedRow, overlap: float) -> Outcome:
    if not row.moments:
        return Outcome(one, row, "unanswered")
    if overlap >= FOUND_IOU:
        return Outcome(one, row, "found", overlap, 1)
    others = iou(row.moment_array[1 : 1 + NEXT, :2], one.window_array).max(1)
    right = next((rank for rank, value in enumerate(others, start=2) if value >= FOUND_IOU), None)
    near = right is not None or overlap >= NEAR_IOU
    return Outcome(one, row, "near" if near else "missed", overlap, right)


def share_found(found: Sequence[Outcome]) -> Interval | None:
    """The share of answered sentences that were found, with its 95 % interval over resampled videos; None of none."""
    answered = with_answer(found)
    if not answered:
        return None
    values = np.array([one.fate == "found" for one in answered], np.float64)
    videos = tuple(one.truth.video_id for one in answered)
    if len(set(videos)) < ENOUGH:
        return Interval(float(values.mean()), None, None)
    return interval(Sample(values, videos, ("all",) * len(videos)), RESAMPLES)


def with_answer(found: Sequence[Outcome]) -> list[Outcome]:
    """Those that MR-R1 counts: with a true moment and an answer."""
    return [one for one in found if one.fate in ("found", "near", "missed")]


def found_by_chance(found: Sequence[Outcome], seed: int = 0) -> float | None:
    """The share of sentences that the same first moments find, dealt out to sentences of other videos, in [0, 1].

    Each keeps its place as a share of the video, so that what is left is what can be known without looking: where
    moments lie, and how long they are. None where there is one video.
    """
    answered = with_answer(found)
    videos = np.unique([one.truth.video_id for one in answered], return_inverse=True)[1] if answered else np.zeros(0)
    if len(set(videos.tolist())) < 2:
        return None
    lengths = np.array([one.truth.duration_s for one in answered])
    first = np.array([one.row.moments[0][:2] for one in answered]) / lengths[:, None]
    windows = _padded([one.truth.window_array for one in answered])
    rng, hits, n = np.random.default_rng(seed), 0, 0
    for _ in range(DEALS):
        dealt = rng.permutation(len(answered))
        other = videos != videos[dealt]
        hits += int((_overlap(first[dealt] * lengths[:, None], windows)[other] >= FOUND_IOU).sum())
        n += int(other.sum())
    return hits / n if n else None


def _padded(windows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(Q, K, 2); what is not there is NaN."""
    padded = np.full((len(windows), max(map(len, windows)), 2), np.nan)
    for row, own in zip(padded, windows, strict=True):
        row[: len(own)] = own
    return padded


def _overlap(moments: NDArray[np.float64], windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Q, 2) beside (Q, K, 2) -> (Q,): IoU with the window that fits best."""
    start, end = moments[:, None, 0], moments[:, None, 1]
    shared = np.clip(np.minimum(end, windows[..., 1]) - np.maximum(start, windows[..., 0]), 0, None)
    union = (end - start) + (windows[..., 1] - windows[..., 0]) - shared
    best: NDArray[np.float64] = np.nan_to_num(shared / np.where(union > 0, union, np.nan)).max(1)
    return best
