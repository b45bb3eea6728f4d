"""Which axis of the arrays is the features' width: some packs are (F, n), and none is turned on a guess."""

# Shapes: n rows of a video or tokens of a query, F feature width.

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spikemba.packs.known import TEXT_WIDTHS, VIDEO_WIDTHS

Axes = tuple[int, int]
Order = Literal["", "nF", "Fn"]
"""How arrays lie, where it was said."""

ROWS_OFF = 2.0
"""Rows by which an axis may miss a video's duration and still be that of its rows."""


@dataclass(frozen=True)
class Width:
    """How the arrays of a pack lie."""

    dim: int
    """F."""
    transposed: bool = False
    """Whether they are (F, n)."""
    mixed: bool = False
    """Whether some are and some are not."""
    said: bool = False
    """Whether somebody said how they lie, so that none lies otherwise."""


class Undecided(Exception):
    """Arrays that can be read either way; in the words of a message, without how to mend it."""

    def __init__(self, seen: str) -> None:
        super().__init__(seen)
        self.seen = seen


def known_widths(kind: str) -> set[int]:
    """Widths of encoders of videos or of texts."""
    return TEXT_WIDTHS if kind == "text" else VIDEO_WIDTHS


def common_width(
    shapes: Sequence[Axes],
    *,
    kind: str = "video",
    clips: Sequence[float | None] = (),
    rows_axes: Sequence[int | None] = (),
    said: Order = "",
    by_name: bool = False,
) -> Width:
    """The width that the arrays share, and whether it comes first.

    shapes: of some arrays, at least one.  clips: how many rows each should have by its video's duration, where that is
    known.  rows_axes: which axis of each is that of its rows, where its own numbers show it.  said: how they lie, where
    somebody has said it.  by_name: the arrays' name says (n, F), which holds where nothing shows otherwise.

    Lengths that differ beside one that does not are numbers of rows. Where all arrays are of one shape, what tells is
    which number is an encoder's width, and which the durations. Raises Undecided where these say nothing, or both.
    """
    firsts, lasts = [a for a, _ in shapes], [b for _, b in shapes]
    if said:
        return Width(_commonest(firsts if said == "Fn" else lasts), said == "Fn", said=True)
    one_first, one_last = len(set(firsts)) == 1, len(set(lasts)) == 1
    told = _told(shapes, clips, rows_axes)
    if one_last and not one_first:
        if told == 1 or (told is None and lasts[0] not in known_widths(kind) >= set(firsts)):
            raise Undecided(f"share no width but {lasts[0]}, which rather is a number of rows: {_listed(shapes)}")
        return Width(lasts[0])
    if one_first and not one_last:
        ragged = told == 0 or (told is None and firsts[0] not in known_widths(kind) >= set(lasts))
        return Width(_commonest(lasts)) if ragged else Width(firsts[0], transposed=True)
    if one_first and one_last:
        turned = _of_one_shape(shapes[0], kind, told, by_name=by_name)
        return Width(firsts[0], transposed=True) if turned else Width(lasts[0])
    return _of_several(shapes, clips, kind)


def turned(axes: Sequence[int], width: Width, kind: str) -> bool:
    """Whether an array of a pack lies as (F, n). Raises Undecided for one that may as well be of another encoder."""
    if len(axes) != 2 or width.said:
        return width.said and width.transposed
    first, last = axes
    if first == last == width.dim and width.mixed:
        raise Undecided(f"is {first} x {last} in a pack whose arrays lie both ways")
    if first != width.dim or last == width.dim:
        return first == last == width.dim and width.transposed
    if not width.transposed and not width.mixed and last in known_widths(kind):
        raise Undecided(f"is {first} x {last}, where the others have rows of {width.dim}, and {last} is a width, too")
    return True


def _of_one_shape(axes: Axes, kind: str, told: int | None, *, by_name: bool) -> bool:
    """Whether arrays that are all of this shape are (F, n). Raises Undecided."""
    first, last = axes
    if 1 in axes:  # no width is 1
        return first > last
    if first == last:
        if by_name:
            return False
        raise Undecided(f"are all {first} x {last}, square")
    by_width = _by_width(axes, kind)
    if told is not None and by_width is not None and told == by_width and kind == "video":
        raise Undecided(f"{_either(axes)}: their durations say one and the width of an encoder the other")
    if told is not None:
        return told == 1
    if by_width == 1 or (by_width is None and by_name):
        return False
    if by_width is None or kind == "text":
        raise Undecided(_either(axes))
    return True


def _of_several(shapes: Sequence[Axes], clips: Sequence[float | None], kind: str) -> Width:
    """The width of arrays whose both axes differ: some lie otherwise, or some are of another encoder."""
    common = set.intersection(*({a, b} for a, b in shapes))
    if len(common) > 1:  # two numbers, this way and that
        known = common & set(known_widths(kind))
        timed = {
            a + b - n
            for (a, b), wanted in zip(shapes, clips, strict=False)
            if wanted is not None
            for n in (a, b)
            if abs(n - wanted) <= ROWS_OFF and abs(a + b - n - wanted) > ROWS_OFF
        }
        common = known if len(known) == 1 and timed <= known else timed if len(known) != 1 else set()
        if len(common) != 1:
            a, b = shapes[0]
            raise Undecided(f"are {a} x {b} and {b} x {a}, and nothing says which of the two is the width")
    if common:
        dim = common.pop()
        others = {a + b - dim for a, b in shapes}
        if dim not in known_widths(kind) >= others:
            raise Undecided(f"share no width but {dim}, which rather is a number of rows: {_listed(shapes)}")
        return Width(
            dim, mixed=len({b == dim for a, b in shapes if a != b and a + b - dim not in known_widths(kind)}) > 1
        )
    lasts = [b for _, b in shapes]
    commonest = _commonest(lasts)
    if commonest not in known_widths(kind) and 2 * lasts.count(commonest) <= len(lasts):
        raise Undecided(f"share no width: {_listed(shapes)}")
    return Width(commonest)


def _told(shapes: Sequence[Axes], clips: Sequence[float | None], rows_axes: Sequence[int | None]) -> int | None:
    """Which axis is that of the rows, by what the arrays hold or how long the videos are; None where that is open."""
    shown = {axis for axis in rows_axes if axis is not None}
    if shown:
        return shown.pop() if len(shown) == 1 else None
    known = [(shape, n) for shape, n in zip(shapes, clips, strict=False) if n is not None]
    fitting = [axis for axis in (0, 1) if known and all(abs(shape[axis] - n) <= ROWS_OFF for shape, n in known)]
    return fitting[0] if len(fitting) == 1 else None


def _by_width(axes: Axes, kind: str) -> int | None:
    """The one axis that is an encoder's width; None for none or both."""
    found = [axis for axis in (0, 1) if axes[axis] in known_widths(kind)]
    return found[0] if len(found) == 1 else None


def _either(axes: Axes) -> str:
    first, last = axes
    return f"are {first} x {last}, which may be {first} rows of {last} numbers or {last} rows of {first}"


def _listed(shapes: Sequence[Axes]) -> str:
    return ", ".join(f"{a} x {b}" for a, b in list(dict.fromkeys(shapes))[:4])


def _commonest(numbers: Sequence[int]) -> int:
    return Counter(numbers).most_common(1)[0][0]
