"""What several persons' corrections of one video and sentence say together, or that they contradict each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.corrections import Placed
from spikemba.moments import Window, iou

AGREE_IOU = 0.5
"""Overlap from which two persons' windows are the same moment."""
_CURE = "agree on it, and have one of the two say it again on the page, or take one of the lines out"


@dataclass(frozen=True)
class Agreed:
    """What is taught of one video and query."""

    windows: tuple[Window, ...]
    """Empty: the video shows nothing of it."""
    n_merged: int
    """Windows that are the mean of several persons'."""


def agreed(rows: Sequence[Placed]) -> tuple[Agreed | None, list[str]]:
    """What the persons' rows about one video and query come to, and every contradiction between two of them.

    Windows of two persons that overlap by half are one, with the mean of their starts and ends; what one person alone
    gives is kept. None, where nobody says where the moment is: that an answer is wrong does not teach.
    rows: at most one of each person.
    """
    faults = [fault for a, b in combinations(rows, 2) for fault in _contradictions(a, b)]
    telling = [row for row in rows if row.correction.windows is not None]
    if faults or not telling:
        return None, faults
    together = _clusters([[*(row.correction.windows or ())] for row in telling])
    windows = tuple(sorted({_mean(cluster) for cluster in together}))
    return Agreed(windows, sum(len(cluster) > 1 for cluster in together)), []


def _contradictions(a: Placed, b: Placed) -> list[str]:
    """What cannot both be true of two persons' rows."""
    for one, other in ((a, b), (b, a)):
        if one.correction.is_null and other.correction.windows:
            return [
                f"{_place(one)} says that {_what(one)} is not in the video, and {_place(other)} gives "
                f"{_shown(other.correction.windows[0])}; {_CURE}"
            ]
    return [
        f"{_place(one)} says that {_shown(found[0])} is wrong for {_what(one)}, and {_place(other)} gives "
        f"{_shown(found[1])}; {_CURE}"
        for one, other in ((a, b), (b, a))
        if (found := _denied(one, other))
    ]


def _denied(one: Placed, other: Placed) -> tuple[Window, Window] | None:
    """A window that one calls wrong and the other gives, unless the one gives that moment as well, with other edges."""
    wrong, given = one.correction.wrong, other.correction.windows or ()
    denied = _alike(wrong, given) & ~_alike(given, one.correction.windows or ()).any(1)
    first = next(iter(np.argwhere(denied).tolist()), None)
    return None if first is None else (wrong[first[0]], given[first[1]])


def _alike(some: Sequence[Window], others: Sequence[Window]) -> NDArray[np.bool_]:
    """(some, others): which overlap by half or more."""
    found: NDArray[np.bool_] = iou(np.array(some, np.float64), np.array(others, np.float64)) >= AGREE_IOU
    return found


def _clusters(by_person: Sequence[Sequence[Window]]) -> list[list[Window]]:
    """Windows of the same moment, one of each person at most, every two of which overlap by half.

    The pair that overlaps most is joined first, so the order of the persons decides nothing.
    """
    nodes = sorted((window, person) for person, windows in enumerate(by_person) for window in windows)
    overlap = iou(np.array([window for window, _ in nodes]), np.array([window for window, _ in nodes]))
    cluster_of = [[i] for i in range(len(nodes))]
    pairs = [(-overlap[a, b], a, b) for a, b in np.argwhere(np.triu(overlap >= AGREE_IOU, 1)).tolist()]
    for _, a, b in sorted(pairs):
        one, other = cluster_of[a], cluster_of[b]
        if {nodes[i][1] for i in one} & {nodes[i][1] for i in other}:
            continue
        if (overlap[np.ix_(one, other)] >= AGREE_IOU).all():
            one.extend(other)
            for i in other:
                cluster_of[i] = one
    return [[nodes[i][0] for i in one] for i, one in enumerate(cluster_of) if min(one) == i]


def same_moment(a: Window, b: Window) -> bool:
    """Whether two windows overlap by half or more."""
    return float(iou(np.array(a), np.array(b))[0, 0]) >= AGREE_IOU


def _mean(windows: Sequence[Window]) -> Window:
    n = len(windows)
    return Window(round(sum(w.start_s for w in windows) / n, 3), round(sum(w.end_s for w in windows) / n, 3))


def _place(row: Placed) -> str:
    return f"{row.place} ({row.correction.by})"


def _what(row: Placed) -> str:
    return f"{row.correction.query!r} of {row.correction.video_id!r}"


def _shown(window: Window) -> str:
    return f"[{window.start_s:g}, {window.end_s:g}]"
