"""What a few arrays of a pack tell of how all of them lie."""

# Shapes: n rows of a video or tokens of a query, F feature width.

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.packs.widths import Axes, Order, Width, common_width


@dataclass(frozen=True)
class Sample:
    """An array."""

    axes: Axes
    part: int | None = None
    """Which of two arrays that are joined; None for one that stands alone."""
    clips: float | None = None
    """Rows that it should have by its video's duration, where that is known."""
    rows_axis: int | None = None
    """Which axis is that of its rows, where it shows."""
    by_name: bool = False
    """Whether its name is one that is given to (n, F) alone."""

    def with_mask(self, n: int) -> "Sample":
        """With a mask of n beside it, which are as many as its rows."""
        fitting = [axis for axis in (0, 1) if self.axes[axis] == n]
        return replace(self, rows_axis=fitting[0]) if len(fitting) == 1 else self

    def with_numbers(self, numbers: NDArray[Any]) -> "Sample":
        """With its numbers, which are zeros where tokens are padding: along the axis of the rows."""
        numbers = numbers.reshape(self.axes)
        ends = [_zeros_at_end(numbers), _zeros_at_end(numbers.T)]
        if ends[0] and not ends[1]:
            return replace(self, rows_axis=0)
        many = ends[1] > 1 and self.axes[0] >= FEWEST_NUMBERS  # a number may be zero for all of a few tokens
        return replace(self, rows_axis=1) if many and not ends[0] else self


FEWEST_NUMBERS = 16
"""Of a column, so that some that are all zeros are padding."""


def _zeros_at_end(lines: NDArray[Any]) -> int:
    """Lines of zeros behind the last other one; none where there is no other."""
    real = np.flatnonzero(lines.any(1))
    return len(lines) - 1 - int(real[-1]) if len(real) else 0


def agreed_widths(samples: Sequence[Sample], kind: str, said: Order) -> tuple[Width, list[Width]]:
    """How arrays of one kind lie, and each of two that are joined, if there are such. Raises Undecided."""
    widths = {
        part: common_width(
            [one.axes for one in of],
            kind=kind,
            clips=[one.clips for one in of],
            rows_axes=[one.rows_axis for one in of],
            said=said,
            by_name=all(one.by_name for one in of),
        )
        for part in (None, 0, 1)
        if (of := [one for one in samples if one.part == part])
    }
    pair = [widths[part] for part in (0, 1) if part in widths]
    if len(pair) < 2:
        return widths.get(None) or pair[0], []
    joined = replace(pair[0], dim=pair[0].dim + pair[1].dim)
    return joined, pair
