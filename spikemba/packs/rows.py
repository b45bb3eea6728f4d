"""The arrays of packs as rows of finite numbers, whatever axes and types they were stored with."""

# Shapes: n rows or tokens, F feature width.

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch
from spikemba.packs.masks import MASK_KEYS, PADDING_KEYS
from spikemba.packs.store import ONLY
from spikemba.packs.widths import Width, turned

VIDEO_KEYS = ("features",)
"""Names of a video's array, before any other."""
TOKEN_KEYS = ("last_hidden_state", "token")
"""Names of a query's token states, before any other."""
POOLED_KEY = "pooler_output"
"""Name of the sentence's embedding."""
SENTENCE_KEY = "query"
"""Name of the sentence itself, as its bytes in UTF-8; published packs have none."""
Shape = tuple[int, ...]


def squeezed(shape: Shape, n_axes: int = 2) -> Shape:
    """A shape without the axes of length 1 that are one too many, the first ones first."""
    axes = list(shape)
    while len(axes) > n_axes and 1 in axes:
        axes.remove(1)
    return tuple(axes)


def chosen_key(
    shapes: Mapping[str, Shape],
    usual: Sequence[str],
    wanted: str,
    place: Callable[[], str],
    path: str,
    otherwise: Callable[[], str] = str,
) -> str:
    """The key of the array that is meant: what was asked for, a usual name, or the only one of two axes.

    place: says where the arrays are.  path: of the pack.  otherwise: says what to do if they are items themselves.
    Raises FeaturesMismatch that names the arrays and says how to choose, where nothing tells.
    """
    listed = ", ".join(f"{key or 'one array,'} {shape}" for key, shape in shapes.items()) or "nothing"
    if wanted:
        if wanted in shapes:
            return wanted
        raise FeaturesMismatch(f"{place()} has no array {wanted!r}; it holds {listed}")
    for key in (*usual, ONLY):
        if key in shapes:
            return key
    others = {
        key: shape for key, shape in shapes.items() if key not in (*MASK_KEYS, *PADDING_KEYS, POOLED_KEY, SENTENCE_KEY)
    }
    found = [key for key, shape in others.items() if len(squeezed(shape)) == 2]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        several = ", ".join(f"{key} {shapes[key]}" for key in found)
        raise FeaturesMismatch(
            f"{place()} holds several arrays: {several}; say which, as in {path}:{found[0]}{otherwise()}"
        )
    alone = [key for key, shape in others.items() if len(shape) == 1] or [key for key in (POOLED_KEY,) if key in shapes]
    if len(alone) == 1 and usual is TOKEN_KEYS:
        return alone[0]
    raise FeaturesMismatch(f"{place()} has no array {usual[0]!r} and no other of rows (n, F); it holds {listed}")


def as_rows(found: NDArray[Any], width: Width, *, kind: str, what: str) -> tuple[NDArray[Any], bool]:
    """(n, F) rows of an array, and whether its axes were exchanged. what: the array, for messages.

    Raises FeaturesMismatch for one of no numbers, of other axes, or of another width; Undecided.
    """
    if found.dtype.kind not in "fiu":
        raise FeaturesMismatch(f"{what} of type {found.dtype}; expected numbers")
    rows = found.reshape(squeezed(found.shape))
    exchanged = rows.size > 0 and turned(rows.shape, width, kind)
    rows = rows.T if exchanged else rows
    if rows.ndim != 2 or not rows.size or (width.dim and rows.shape[1] != width.dim):
        expected = f"({width.dim or 'F'}, n)" if width.said and width.transposed else f"(n, {width.dim or 'F'})"
        raise FeaturesMismatch(f"{what} of shape {found.shape}; expected {expected} with n >= 1")
    return rows, exchanged


LARGEST = 1e18
"""Of a feature: of greater ones the squares, which scaling sums, pass what float32 can hold."""


def bad_rows(found: NDArray[Any]) -> NDArray[np.intp]:
    """Rows with NaN, infinity, or a number that scaling cannot take."""
    return np.flatnonzero(~_fine(found).reshape(len(found), -1).all(1))


def check_finite(place: object, found: NDArray[Any]) -> None:
    """Raise FeaturesMismatch that names the first row with a number that is none, or too large."""
    bad = bad_rows(found)
    if not len(bad):
        return
    row = int(bad[0])
    value = found[row][~_fine(found[row])].ravel()[0]
    raise FeaturesMismatch(
        f"{place} holds {value:g} in row {row} ({len(bad)} of {len(found)} rows hold such); expected finite numbers; "
        "extract it again, or leave its rows out of the annotations"
    )


def _fine(found: NDArray[Any]) -> NDArray[np.bool_]:
    fine: NDArray[np.bool_] = np.isfinite(found)
    if found.dtype.itemsize > 2:
        fine &= np.abs(found) <= LARGEST
    return fine
