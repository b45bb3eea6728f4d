"""Moment retrieval: mAP over IoU thresholds, recall at one and mean IoU, as the QVHighlights evaluator counts them.

Source: moment_detr standalone_eval/eval.py (numbers equal to the printed digit); mean IoU as in UniVTG eval/eval.py.
"""

# Shapes: Q queries, M moments of a query in falling score, K true windows, T IoU thresholds. Windows are seconds.

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from spikemba.metrics.errors import NothingToScore, refuse_nan
from spikemba.metrics.ragged import pad
from spikemba.metrics.rounding import percent, threshold

QueryId = int | str
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

AP_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""IoU thresholds of MR-mAP; "average" is the mean over them."""

MAX_MOMENTS = 10
"""MR-mAP looks at the first ten moments in list order; what follows is not read."""

QVHIGHLIGHTS_RANGES: Mapping[str, tuple[float, float]] = {
    "short": (0, 10),
    "middle": (10, 30),
    "long": (30, 150),
    "full": (-np.inf, np.inf),
}
"""Range name -> (above, up to) seconds of the true window; `full` filters nothing, as in the official code."""

OPEN_ENDED_RANGES: Mapping[str, tuple[float, float]] = {**QVHIGHLIGHTS_RANGES, "long": (30, np.inf)}
"""The same for videos longer than 150 s, as UniVTG and R2-Tuning have them."""

RangeScores = TypedDict(
    "RangeScores", {"MR-mIoU": NotRequired[float], "MR-mAP": dict[str, float], "MR-R1": dict[str, float]}
)
"""Scores of one range, percent with two decimals; the inner keys are IoU thresholds and, for MR-mAP, "average"."""


def retrieval_metrics(
    predicted: Mapping[QueryId, NDArray[np.floating]],
    truth: Mapping[QueryId, NDArray[np.floating]],
    *,
    r1_thresholds: Sequence[float] = AP_THRESHOLDS,
    ranges: Mapping[str, tuple[float, float]] = QVHIGHLIGHTS_RANGES,
    with_miou: bool = False,
) -> dict[str, RangeScores]:
    """Score predicted moments against true windows, in every range of window length.

    predicted: per query (M, 3) of start_s, end_s, score, best first; the first row is the answer that MR-R1 judges.
    truth: per query (K, 2) of start_s, end_s; only windows whose length is in the range count, while the moments are
    not filtered.  Queries without a moment or without a true window are left out of the means, and so is a range that
    no such query has a window in.  Charades-STA and TACoS are reported with r1_thresholds=(0.3, 0.5, 0.7) and
    with_miou=True, which adds "MR-mIoU".
    Raises NothingToScore when no query is left, NotNumbers on NaN, ValueError when `truth` lacks a predicted query or a
    row has other columns.
    """
    if missing := [query_id for query_id in predicted if query_id not in truth]:
        raise ValueError(f"{len(missing)} predicted queries have no truth, the first is {missing[0]!r}")
    scored = [query_id for query_id in predicted if len(predicted[query_id]) and len(truth[query_id])]
    if not scored:
        raise NothingToScore("no query has both a predicted moment and a true window")

    windows, real = pad([truth[query_id] for query_id in scored], (2,))
    moments, given = pad([predicted[query_id][:MAX_MOMENTS] for query_id in scored], (3,))
    refuse_nan("predicted moments", scored, moments)
    ranked = by_score(moments, given)
    first = moments[:, 0, :2]
    overlap = pairwise_iou(ranked[..., :2], windows)
    lengths = windows[..., 1] - windows[..., 0]

    results: dict[str, RangeScores] = {}
    for name, (above, up_to) in ranges.items():
        wanted = real & (lengths > above) & (lengths <= up_to)
        rows = wanted.any(1)
        if rows.any():
            ap = average_precision(overlap[rows], wanted[rows])
            iou_at_one = best_overlap(first[rows], windows[rows], wanted[rows])
            scores: RangeScores = {"MR-mAP": _map_by_key(ap), "MR-R1": _r1_by_key(iou_at_one, r1_thresholds)}
            results[name] = {"MR-mIoU": percent(iou_at_one.mean()), **scores} if with_miou else scores
    return results


def query_scores(
    predicted: Mapping[QueryId, NDArray[np.floating]], truth: Mapping[QueryId, NDArray[np.floating]]
) -> tuple[Floats, Floats]:
    """What the means of the full range are taken over: AP per query and threshold, (Q, T), and IoU at one, (Q,).

    A query without moments gets 0 here, where retrieval_metrics leaves it out.  predicted, truth: as it takes them,
    with a true window for every query.  Raises NotNumbers on NaN.
    """
    windows, real = pad([truth[query_id] for query_id in predicted], (2,))
    moments, given = pad([of_query[:MAX_MOMENTS] for of_query in predicted.values()], (3,))
    refuse_nan("predicted moments", list(predicted), moments)
    if not moments.shape[1]:  # nobody has an answer
        return np.zeros((len(predicted), len(AP_THRESHOLDS))), np.zeros(len(predicted))
    ranked = by_score(moments, given)
    answered: Bools = np.asarray(given.any(1))
    ap = average_precision(pairwise_iou(ranked[..., :2], windows), real) * answered[:, None]
    return ap, best_overlap(moments[:, 0, :2], windows, real) * answered


def _map_by_key(ap: Floats) -> dict[str, float]:
    """Mean of (Q, T) over the queries, and over the thresholds as "average"."""
    means = ap.mean(0)
    keys = [*map(str, AP_THRESHOLDS), "average"]
    return {key: percent(mean) for key, mean in zip(keys, [*means, means.mean()], strict=True)}


def _r1_by_key(iou_at_one: Floats, thresholds: Sequence[float]) -> dict[str, float]:
    """Share of the overlaps (Q,) that reach each threshold."""
    return {str(limit): percent((iou_at_one >= limit).mean()) for limit in map(threshold, thresholds)}


def by_score(moments: Floats, real: Bools) -> Floats:
    """Moments (Q, M, 3) by falling score, ties in list order, padding last."""
    order = np.argsort(np.where(real, -moments[..., 2], np.inf), axis=1, kind="stable")
    return np.take_along_axis(moments, order[..., None], axis=1)


def pairwise_iou(moments: Floats, windows: Floats) -> Floats:
    """IoU of every moment (Q, M, 2) with every window (Q, K, 2) of its query: (Q, M, K).

    Two empty windows have overlap 0; the official code divides 0 by 0 there and counts the moment as right.
    """
    start, end = moments[:, :, None, 0], moments[:, :, None, 1]
    true_start, true_end = windows[:, None, :, 0], windows[:, None, :, 1]
    intersection = np.clip(np.minimum(end, true_end) - np.maximum(start, true_start), 0, None)
    union = (end - start) + (true_end - true_start) - intersection
    overlap: Floats = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return overlap


def average_precision(overlap: Floats, wanted: Bools, thresholds: Sequence[float] = AP_THRESHOLDS) -> Floats:
    """Average precision of each query at each IoU threshold: (Q, T) in [0, 1].

    overlap: (Q, M, K) IoU of moments in falling score, wanted: (Q, K), which windows count; at least one per query.
    Interpolation over all points as in VOC 2011: every step of recall weighs the best precision from there on.
    Padded moments need overlap 0: they stand last, hit nothing, and so lower no interpolated precision.
    """
    hits = _hits(overlap, wanted, np.asarray(thresholds)).cumsum(1)
    precision = hits / np.arange(1, overlap.shape[1] + 1)[:, None]
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / wanted.sum(1)[:, None, None]
    ap: Floats = (np.diff(recall, axis=1, prepend=0.0) * best_from_here).sum(1)
    return ap


def _hits(overlap: Floats, wanted: Bools, limits: Floats) -> Bools:
    """Greedy matching: moment by moment, take the best free window if it overlaps enough.  Returns (Q, M, T)."""
    # Of equal overlaps the official code takes the window listed last, argmax the first: hence the reversal.
    overlap = np.where(wanted[:, None], overlap, -1.0)[..., ::-1]
    return greedy_overlaps(overlap, limits) >= limits


def greedy_overlaps(overlap: Floats, limits: Floats) -> Floats:
    """Moment by moment, the IoU of the best window that is still free, which it takes where that reaches the limit.

    overlap: (Q, M, K) IoU of moments, in the order in which they choose; -1 where a moment or a window is padding. Of
    equal windows the first is taken.  limits: (T,), 0 or more.
    Returns (Q, M, T): -1 where a moment took none.
    """
    free = np.ones((len(overlap), len(limits), overlap.shape[2]), bool)
    found = np.full((*overlap.shape[:2], len(limits)), -1.0)
    for rank in range(overlap.shape[1]):
        candidates = np.where(free, overlap[:, rank, None], -1.0)
        best = candidates.argmax(2)
        value = np.take_along_axis(candidates, best[..., None], 2)[..., 0]
        query, limit = np.nonzero(value >= limits)
        found[query, rank, limit] = value[query, limit]
        free[query, limit, best[query, limit]] = False
    return found


def best_overlap(first: Floats, windows: Floats, wanted: Bools) -> Floats:
    """IoU of the first moment (Q, 2) with the wanted window (Q, K, 2) that it overlaps most: (Q,) in [0, 1].

    Once the window is chosen the official code divides by the hull of the two, which rounds differently from the
    union in the last bit and so decides moments that lie on a threshold.
    """
    best = np.where(wanted, pairwise_iou(first[:, None], windows)[:, 0], -1.0).argmax(1)
    chosen = windows[np.arange(len(windows)), best]
    intersection = np.clip(np.minimum(first[:, 1], chosen[:, 1]) - np.maximum(first[:, 0], chosen[:, 0]), 0, None)
    hull = np.maximum(first[:, 1], chosen[:, 1]) - np.minimum(first[:, 0], chosen[:, 0])
    overlap: Floats = np.divide(intersection, hull, out=np.zeros_like(intersection), where=hull > 0)
    return overlap
