"""Does the video show it at all: how well existence scores tell queries with a moment from null queries.

Source: the evaluator of generalised moment retrieval (arXiv 2605.02623), to the printed digit.
"""

# Shapes: Q queries, N bins.

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikemba.metrics.rounding import percent

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

THRESHOLDS = (0.4, 0.6)
"""Existence scores above which a query counts as answered; at or below it is rejected."""

N_BINS = 15
"""Equal bins of the expected calibration error."""


def auroc(scores: Floats, exists: Bools) -> float:
    """Chance that a query with a moment scores above one without, ties counting half: the area under the ROC curve.

    scores, exists: (Q,).  0.5 where all queries are of one kind, as the official code has it.
    """
    n_true, n_null = int(exists.sum()), int((~exists).sum())
    if not n_true or not n_null:
        return 0.5
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = counts.cumsum() - (counts - 1) / 2  # of equal scores the mean of their ranks, from 1
    above = rank[place][exists].sum() - n_true * (n_true + 1) / 2
    return float(above / (n_true * n_null))


def rejection(scores: Floats, exists: Bools, limit: float) -> dict[str, float]:
    """Answering what scores above the limit and rejecting the rest: percent, then the four counts.

    Rej-P: of the rejected queries, the share of null ones; Rej-R: of the null queries, the share that is rejected;
    Rej-F1: their harmonic mean; Acc: of all queries, the share that is rightly answered or rightly rejected. A share of
    nothing is 0.  TP counts answered queries with a moment, TN rejected ones without.
    scores, exists: (Q,).
    """
    answered = scores > limit
    tp, tn = int((answered & exists).sum()), int((~answered & ~exists).sum())
    fp, fn = int((answered & ~exists).sum()), int((~answered & exists).sum())
    precision, recall = _share(tn, tn + fn), _share(tn, tn + fp)
    return {
        "Rej-F1": percent(_share(2 * precision * recall, precision + recall)),
        "Acc": percent(_share(tp + tn, tp + tn + fp + fn)),
        "Rej-P": percent(precision),
        "Rej-R": percent(recall),
        "TP": tp,
        "TN": tn,
        "FP": fp,
        "FN": fn,
    }


def calibration_error(scores: Floats, right: Bools, n_bins: int = N_BINS) -> float | None:
    """Expected calibration error in [0, 1]: how far scores, read as probabilities, lie from the shares that are right.

    Scores fall into n_bins equal bins of [0, 1], an edge into the bin below; the error is the mean over the bins of
    |mean score - share right|, weighted by how many queries are in each. None without queries, and where a score lies
    outside [0, 1], for that is no probability.
    scores, right: (Q,).  Source: Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    bins = reliability(scores, right, n_bins)
    return None if bins is None else float(np.abs(bins.summed - bins.n_right).sum() / len(scores))


class Reliability(NamedTuple):
    """Equal bins of [0, 1], (N,) each: what scores say of the answers in each, and what came true."""

    counts: NDArray[np.intp]
    """Answers."""
    summed: Floats
    """Of their scores."""
    n_right: Floats
    """Of them, those that are right."""


def reliability(scores: Floats, right: Bools, n_bins: int = N_BINS) -> Reliability | None:
    """The bins of `calibration_error`, an edge in the bin below; None where that has none. scores, right: (Q,)."""
    if not len(scores) or scores.min() < 0 or scores.max() > 1:
        return None
    place = np.clip(np.ceil(scores * n_bins).astype(np.intp) - 1, 0, n_bins - 1)
    summed: Floats = np.bincount(place, scores, n_bins).astype(np.float64)
    n_right: Floats = np.bincount(place, right.astype(np.float64), n_bins).astype(np.float64)
    return Reliability(np.bincount(place, minlength=n_bins), summed, n_right)


def mean_of_others(scores: Floats, alike: Sequence[Hashable], apart: Sequence[Hashable]) -> Floats:
    """For each query the mean score of the others that are alike in one thing and differ in another; NaN without such.

    Two controls come of it. With sentences alike and videos apart: what the score says without looking at the video;
    the other way round: without reading the sentence. A score that is worth its name tells more than both.
    scores: (Q,), alike, apart: Q names.
    """
    _, group = np.unique([str(name) for name in alike], return_inverse=True)
    _, both = np.unique([f"{a}\0{b}" for a, b in zip(alike, apart, strict=True)], return_inverse=True)
    total = np.bincount(group, scores)[group] - np.bincount(both, scores)[both]
    count = np.bincount(group)[group] - np.bincount(both)[both]
    means: Floats = np.divide(total, count, out=np.full(len(scores), np.nan), where=count > 0)
    return means.round(12)  # equal means are equal whatever the order of their sum


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
