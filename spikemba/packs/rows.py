"""The arrays of packs as rows of finite numbers, whatever axes and types they were stored with."""

# Shapes: n rows or tokens, F feature width.

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch
from spikemba.packs.store import ONLY

VIDEO_KEYS = ("features",)
"""Names of a video's array, before any other."""
TOKEN_KEYS = ("last_hidden_state", "token")
"""Names of a query's token states, before any other."""
POOLED_KEY = "pooler_output"
"""Name of the sentence's embedding."""
SENTENCE_KEY = "query"
"""Name of the sentence itself, as its bytes in UTF-8; published packs have none."""
MASK_KEYS = ("attention_mask", "mask", "text_mask", "token_mask", "query_mask", "src_txt_mask")
"""Names of what says which tokens are real."""

Shape = tuple[int, ...]


def squeezed(shape: Shape, n_axes: int = 2) -> Shape:
    """A shape without the axes of length 1 that are one too many, the first ones first."""
    axes = list(shape)
    while len(axes) > n_axes and 1 in axes:
        axes.remove(1)
    return tuple(axes)


def chosen_key(
    shapes: Mapping[str, Shape], usual: Sequence[str], wanted: str, place: Callable[[], str], path: str
) -> str:
    """The key of the array that is meant: what was asked for, a usual name, or the only one of two axes.

    place: says where the arrays are.  path: of the pack.
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
    others = {key: shape for key, shape in shapes.items() if key not in (*MASK_KEYS, POOLED_KEY, SENTENCE_KEY)}
    found = [key for key, shape in others.items() if len(squeezed(shape)) == 2]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        several = ", ".join(f"{key} {shapes[key]}" for key in found)
        raise FeaturesMismatch(f"{place()} holds several arrays: {several}; say which, as in {path}:{found[0]}")
    alone = [key for key, shape in others.items() if len(shape) == 1] or [key for key in (POOLED_KEY,) if key in shapes]
    if len(alone) == 1 and usual is TOKEN_KEYS:
        return alone[0]
    raise FeaturesMismatch(f"{place()} has no array {usual[0]!r} and no other of rows (n, F); it holds {listed}")


def as_rows(found: NDArray[Any], dim: int | None, *, transposed: bool, what: str) -> tuple[NDArray[Any], bool]:
    """(n, F) rows of an array, and whether its axes were exchanged. what: the array, for messages.

    Raises FeaturesMismatch for one of no numbers, of other axes, or of another width.
    """
    if found.dtype.kind not in "fiu":
        raise FeaturesMismatch(f"{what} of type {found.dtype}; expected numbers")
    rows = found.reshape(squeezed(found.shape))
    turned = rows.ndim == 2 and dim is not None and rows.shape[0] == dim and (rows.shape[1] != dim or transposed)
    rows = rows.T if turned else rows
    if rows.ndim != 2 or not rows.size or (dim is not None and rows.shape[1] != dim):
        raise FeaturesMismatch(f"{what} of shape {found.shape}; expected (n, {dim or 'F'}) with n >= 1")
    return rows, turned


def true_tokens(states: NDArray[Any], mask: NDArray[Any] | None, place: str) -> NDArray[Any]:
    """(W, F) of the real tokens, by a mask, or without the rows of zeros that follow them.

    Raises FeaturesMismatch for a mask of another length, or one that leaves nothing.
    """
    if mask is not None:
        flat = mask.reshape(-1)
        if len(flat) != len(states):
            raise FeaturesMismatch(f"{place} has a mask of {len(flat)} for {len(states)} tokens; expected one of each")
        if not flat.any():
            raise FeaturesMismatch(f"{place} has a mask that leaves no token; expected at least one")
        chosen: NDArray[Any] = states[flat != 0]
        return chosen
    real = np.flatnonzero((states != 0).any(1))
    return states[: int(real[-1]) + 1 if len(real) else 1]


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
