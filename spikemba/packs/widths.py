"""Which axis of the arrays is the features' width: some packs are stored as (F, n)."""

# Shapes: n rows of a video or tokens of a query, F feature width.

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from spikemba.packs.known import WIDTHS

Axes = tuple[int, int]


@dataclass(frozen=True)
class Width:
    """How the arrays of a pack lie."""

    dim: int
    """F."""
    transposed: bool = False
    """Whether they are (F, n)."""


def common_width(shapes: Sequence[Axes], clips: Sequence[float | None] = ()) -> Width:
    """The width that the arrays share, and whether it comes first.

    shapes: of some arrays, at least one.  clips: how many rows each should have by its video's duration, where that is
    known. Where all arrays are of one shape and no duration is known, the one of their two numbers that is an
    encoder's width decides, and if that is none or both, they are (n, F). Where widths differ, it is the commonest.
    """
    firsts, lasts = {a for a, _ in shapes}, {b for _, b in shapes}
    common = set.intersection(*({a, b} for a, b in shapes))
    commonest = Counter(b for _, b in shapes).most_common(1)[0][0]
    if len(lasts) == 1 and (len(firsts) > 1 or not _turned(*shapes[0], shapes, clips)):
        return Width(lasts.pop())
    if len(firsts) == 1 and _turned(firsts.pop(), commonest, shapes, clips):
        return Width(shapes[0][0], transposed=True)
    return Width(common.pop() if len(common) == 1 and len(firsts) > 1 and len(lasts) > 1 else commonest)


def _turned(first: int, last: int, shapes: Sequence[Axes], clips: Sequence[float | None]) -> bool:
    """Whether `first`, which all arrays share, is the width rather than `last`."""
    if first == last:
        return False
    known = [(shape, n) for shape, n in zip(shapes, clips, strict=False) if n is not None]
    if known:
        as_stored, turned = (sum(abs(shape[axis] - n) for shape, n in known) for axis in (0, 1))
        return turned < as_stored
    several = len({b for _, b in shapes}) > 1
    return first in WIDTHS and last not in WIDTHS if not several else first in WIDTHS or last not in WIDTHS
