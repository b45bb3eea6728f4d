"""Windows in seconds, moments (windows with a score), their overlap and suppression. Numpy only."""

# Shapes: M moments, K true windows.

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Windows = NDArray[np.float64]  # (M, 2): start_s, end_s


class Window(NamedTuple):
    """Part of a video, in seconds from its first frame."""

    start_s: float
    end_s: float


class Moment(NamedTuple):
    """A window with a score in [0, 1]: an answer to a query."""

    start_s: float
    end_s: float
    score: float


def iou(a: Windows, b: Windows) -> NDArray[np.float64]:
    """Temporal intersection over union of every window of `a` with every window of `b`.

    a: (M, 2), b: (K, 2), seconds.  Returns (M, K) in [0, 1]; two empty windows have overlap 0.
    """
    a, b = np.asarray(a, np.float64).reshape(-1, 2), np.asarray(b, np.float64).reshape(-1, 2)
    left = np.maximum(a[:, None, 0], b[None, :, 0])
    right = np.minimum(a[:, None, 1], b[None, :, 1])
    intersection = np.clip(right - left, 0, None)
    union = (a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0])[None] - intersection
    overlap: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return overlap


def suppress(windows: Windows, scores: NDArray[np.floating], max_iou: float, keep: int) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of at most `keep` windows by falling score, none overlapping more
    than `max_iou` with a better one. Ties keep the order given.

    windows: (M, 2) seconds, scores: (M,).
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < keep:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[iou(windows[best], windows[rest])[0] <= max_iou]
    return np.asarray(kept, dtype=np.intp)


def apart(moments: Sequence[Moment], max_iou: float) -> list[int]:
    """Places of the moments that overlap no better one by more than `max_iou`, the best first."""
    windows = np.array([moment[:2] for moment in moments], np.float64).reshape(-1, 2)
    kept = suppress(windows, np.array([moment.score for moment in moments]), max_iou, len(moments))
    return [int(place) for place in kept]


def runs(active: NDArray[np.bool_], max_gap: int = 0) -> list[tuple[int, int]]:
    """Maximal runs of True as [first, last + 1), after filling gaps of at most `max_gap` False between two True.

    active: (L,).
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], active.astype(np.int8), [0]))))
    found: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        if found and start - found[-1][1] <= max_gap:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
