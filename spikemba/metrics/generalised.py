"""Generalised moment retrieval: a query has one moment, several or none, and saying "none" is an answer.

Source: the evaluator of arXiv 2605.02623, whose keys these are, equal to the printed digit.
"""

# Shapes: Q queries, P of them with a moment, M moments in the order given, K true windows, T IoU thresholds, n ks.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.metrics.errors import NothingToScore, refuse_nan
from spikemba.metrics.existence import THRESHOLDS, auroc, calibration_error, mean_of_others, rejection
from spikemba.metrics.ragged import pad
from spikemba.metrics.retrieval import (
    AP_THRESHOLDS,
    MAX_MOMENTS,
    QueryId,
    average_precision,
    best_overlap,
    by_score,
    greedy_overlaps,
    pairwise_iou,
)
from spikemba.metrics.rounding import percent

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOP_K = (1, 3, 5)
"""How many of the first moments are looked at."""

GATE = 0.4
"""Existence score above which G-mIoU takes the moments; at or below it the answer is "none"."""

RIGHT_IOU = 0.5
"""IoU from which on the first moment counts as right, for its calibration."""


@dataclass(frozen=True)
class AnsweredQueries:
    """Predictions beside the truth, of the queries that both hold."""

    moments: Mapping[QueryId, NDArray[np.floating]]
    """By query (M, 3): start_s, end_s, score, in the order given."""
    windows: Mapping[QueryId, NDArray[np.floating]]
    """By query (K, 2): start_s, end_s; K = 0 for a null query."""
    existence: Mapping[QueryId, float]
    """By query, the higher the likelier there is a moment."""

    @property
    def scores(self) -> Floats:
        """(Q,) existence scores."""
        return np.array([self.existence[query_id] for query_id in self.moments], np.float64)

    @property
    def exists(self) -> Bools:
        """(Q,) whether there is a moment."""
        return np.array([len(self.windows[query_id]) > 0 for query_id in self.moments], np.bool_)


def generalised_document(
    queries: AnsweredQueries,
    sentences: Mapping[QueryId, str] | None = None,
    videos: Mapping[QueryId, str] | None = None,
) -> dict[str, Any]:
    """The official document, percent with two decimals; behind it `calibration` and `beside`.

    calibration: the expected error (see existence.py) of the existence scores, and of the first moment's score against
    whether its IoU with a true window is 0.5 or more, over all queries with a moment in the answer; the first moment of
    a null query is wrong. None where scores are no probabilities.
    beside: what the numbers that rejection decides are for always answering and for always rejecting, and, where
    sentences and videos are given, for two controls: `query_only`, whose existence score is the mean of those of the
    same sentence on other videos, and `video_only`, that of other sentences on the same video. Each is of the
    `n_queries` that have such others, and `predictions_AUROC` is that of the predictions on these.
    Raises NothingToScore without queries, NotNumbers on NaN.
    """
    if not queries.moments:
        raise NothingToScore("no query is both predicted and annotated")
    refuse_nan("existence score", list(queries.moments), queries.scores)
    exists, scores = queries.exists, queries.scores
    ungated = set_overlaps(queries)
    found: dict[str, Any] = {
        "GMR-CLS": {
            "AUROC": percent(auroc(scores, exists)),
            "per_threshold": {str(limit): rejection(scores, exists, limit) for limit in THRESHOLDS},
        },
        "G-mIoU_detail": _mean_set_overlaps(ungated, scores, exists),
        **_localisation(queries),
        "stats": _stats(queries),
    }
    found["brief"] = _brief(found)
    found["calibration"] = _calibration(queries)
    found["beside"] = _beside(queries, ungated, sentences, videos)
    return found


def set_overlaps(queries: AnsweredQueries) -> Floats:
    """(Q, n): for each k of TOP_K the overlap of the first k moments with the true windows, both as sets; in [0, 1].

    The sum of the IoUs of matched pairs by how many moments and windows there are, a pair counted once; matching is
    greedy in the order given, and any IoU will do. Two empty sets are equal: 1; one alone is empty: 0. Moments that do
    not end after they begin are left out. No existence score is asked: see `gated`.
    """
    rows = [np.asarray(of_query, np.float64).reshape(-1, 3) for of_query in queries.moments.values()]
    moments, given = pad([row[row[:, 1] > row[:, 0]][: max(TOP_K)] for row in rows], (3,))
    windows, real = pad([queries.windows[query_id] for query_id in queries.moments], (2,))
    n_true = real.sum(1)
    found = np.empty((len(rows), len(TOP_K)))
    taken = _greedy(moments, given, windows, real, (0.0,))[..., 0]
    for column, k in enumerate(TOP_K):
        pairs = taken[:, :k]
        n_given, n_pairs = given[:, :k].sum(1), (pairs >= 0).sum(1)
        union = n_given + n_true - n_pairs
        found[:, column] = np.where(union > 0, pairs.clip(0).sum(1) / union.clip(1), 1.0)
    return found


def gated(ungated: Floats, answered: Bools, exists: Bools) -> Floats:
    """(Q, n) overlaps where what is not answered is the empty set, which is right for null queries alone."""
    rejected: Floats = np.where(exists, 0.0, 1.0)[:, None]
    return np.where(answered[:, None], ungated, rejected)


def _mean_set_overlaps(ungated: Floats, scores: Floats, exists: Bools) -> dict[str, float]:
    means = gated(ungated, scores > GATE, exists).mean(0)
    return {f"G-mIoU@{k}": percent(mean) for k, mean in zip(TOP_K, means, strict=True)}


def _greedy(moments: Floats, given: Bools, windows: Floats, real: Bools, limits: Sequence[float]) -> Floats:
    """(Q, M, T) IoU of the window that each moment takes, -1 for none; of equal windows the first listed."""
    if not windows.shape[1] or not moments.shape[1]:
        return np.full((*moments.shape[:2], len(limits)), -1.0)
    overlap = np.where(given[..., None] & real[:, None], pairwise_iou(moments[..., :2], windows), -1.0)
    return greedy_overlaps(overlap, np.asarray(limits))


def _localisation(queries: AnsweredQueries) -> dict[str, Any]:
    """Metrics of the queries with a moment, whatever their existence scores."""
    positive = [query_id for query_id in queries.moments if len(queries.windows[query_id])]
    if not positive:
        return {}
    windows, real = pad([queries.windows[query_id] for query_id in positive], (2,))
    blank = np.zeros((1, 3))  # a moment of no length, so that there is one where nobody answers
    rows = [np.asarray(queries.moments[query_id])[:MAX_MOMENTS] for query_id in positive]
    moments, given = pad([*rows, blank], (3,))
    moments, given = moments[:-1], given[:-1]
    refuse_nan("predicted moments", positive, moments)
    ap = average_precision(pairwise_iou(by_score(moments, given)[..., :2], windows), real)
    first = slice(max(TOP_K))
    taken = _greedy(moments[:, first], given[:, first], windows, real, (*AP_THRESHOLDS, 0.0))
    n_true = real.sum(1)
    several = n_true > 1
    details: dict[str, dict[str, Any]] = {
        "mAP_detail": {"mAP": percent(ap.mean()), "AP@IoU": _per_iou(ap)},
        "mR_detail": {},
        "mR+_detail": {"num_multi_moment_queries": int(several.sum())},
        "mIoU_detail": {},
        "mIoU+_detail": {},
    }
    for k in TOP_K:
        n_pairs = (taken[:, :k, :-1] >= 0).sum(1)  # (P, T)
        recall = n_pairs / n_true[:, None]
        beyond_first = (n_pairs[several] - 1).clip(0) / (n_true[several] - 1)[:, None]
        for name, values in {"mR": recall, "mR+": beyond_first}.items():
            details[f"{name}_detail"] |= {f"{name}@{k}": _mean(values), f"{name}@{k}_per_IoU": _per_iou(values)}
        free = taken[:, :k, -1]
        n_free, total = (free >= 0).sum(1), free.clip(0).sum(1)
        details["mIoU_detail"][f"mIoU@{k}"] = _mean(total / n_free.clip(1))
        others = (total - free.max(1).clip(0)) / (n_free - 1).clip(1)
        details["mIoU+_detail"][f"mIoU+@{k}"] = _mean(np.where(n_free > 1, others, 0.0)[several])
    return details


def _mean(values: Floats) -> float:
    return percent(values.mean()) if values.size else 0.0


def _per_iou(values: Floats) -> dict[str, float]:
    """Means of (P, T) over the queries, by threshold."""
    return {f"{limit:.2f}": _mean(values[:, i]) for i, limit in enumerate(AP_THRESHOLDS)}


def _brief(found: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers that stand for a document, in the official order."""
    existence = found["GMR-CLS"]
    brief: dict[str, float] = {"AUROC": existence["AUROC"]}
    for limit, of_limit in existence["per_threshold"].items():
        brief |= {f"{name}@{limit}": of_limit[name] for name in ("Rej-F1", "Acc")}
    brief |= found["G-mIoU_detail"]
    if "mAP_detail" in found:
        brief["mAP"] = found["mAP_detail"]["mAP"]
        for name in ("mR", "mR+", "mIoU", "mIoU+"):
            brief |= {f"{name}@{k}": found[f"{name}_detail"][f"{name}@{k}"] for k in TOP_K}
    return brief


def _stats(queries: AnsweredQueries) -> dict[str, Any]:
    n_true = np.array([len(queries.windows[query_id]) for query_id in queries.moments])
    return {
        "num_total": len(n_true),
        "num_positive": int((n_true > 0).sum()),
        "num_negative": int((n_true == 0).sum()),
        "num_multi_instance": int((n_true > 1).sum()),
        "num_single_instance": int((n_true == 1).sum()),
        "k_list": list(TOP_K),
        "cls_thresholds": list(THRESHOLDS),
        "gmiou_cls_threshold": GATE,
    }


def _calibration(queries: AnsweredQueries) -> dict[str, dict[str, float | None]]:
    answered = [query_id for query_id, of_query in queries.moments.items() if len(of_query)]
    first = np.array([np.asarray(queries.moments[query_id])[0] for query_id in answered]).reshape(-1, 3)
    windows, real = pad([queries.windows[query_id] for query_id in answered], (2,))
    right = np.zeros(len(answered), np.bool_)
    shown = np.flatnonzero(np.asarray(real.any(1)))
    if len(shown):
        right[shown] = best_overlap(first[shown, :2], windows[shown], real[shown]) >= RIGHT_IOU
    pairs = {"existence": (queries.scores, queries.exists), f"top1_IoU@{RIGHT_IOU}": (first[:, 2], right)}
    found: dict[str, dict[str, float | None]] = {}
    for name, (scores, truth) in pairs.items():
        error = calibration_error(scores, truth)
        found[name] = {"ECE": None if error is None else percent(error), "n_queries": len(scores)}
    return found


def _beside(
    queries: AnsweredQueries,
    ungated: Floats,
    sentences: Mapping[QueryId, str] | None,
    videos: Mapping[QueryId, str] | None,
) -> dict[str, dict[str, float]]:
    own, exists = queries.scores, queries.exists
    scores = {"always_answer": np.ones(len(own)), "always_reject": np.zeros(len(own))}
    if sentences is not None and videos is not None:
        asked, shown = ([names[query_id] for query_id in queries.moments] for names in (sentences, videos))
        scores["query_only"] = mean_of_others(own, alike=asked, apart=shown)
        scores["video_only"] = mean_of_others(own, alike=shown, apart=asked)
    found: dict[str, dict[str, float]] = {}
    for name, of_control in scores.items():
        known = np.isfinite(of_control)
        if known.any():
            numbers = _decided(of_control[known], exists[known], ungated[known])
            there = {"n_queries": int(known.sum()), "predictions_AUROC": percent(auroc(own[known], exists[known]))}
            found[name] = numbers | there
    return found


def _decided(scores: Floats, exists: Bools, ungated: Floats) -> dict[str, float]:
    """The numbers that existence scores decide."""
    found = {"AUROC": percent(auroc(scores, exists))}
    for limit in THRESHOLDS:
        of_limit = rejection(scores, exists, limit)
        found |= {f"{name}@{limit}": of_limit[name] for name in ("Rej-F1", "Acc")}
    return found | _mean_set_overlaps(ungated, scores, exists)
