"""Rows of unequal length as one rectangular array and a mask."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pad(
    rows: Sequence[ArrayLike], columns: tuple[int, ...], fill: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Stack Q rows of shape (n_q, *columns) into (Q, n, *columns), n the longest, and a (Q, n) mask of what is real.

    An empty row may have any shape.  Raises ValueError when a row has other columns.
    """
    arrays = [np.asarray(row, np.float64) for row in rows]
    for array in arrays:
        if array.size and array.shape[1:] != columns:
            raise ValueError(f"a row has shape {array.shape}; expected (n, {', '.join(map(str, columns))})")
    counts = np.array([len(array) if array.size else 0 for array in arrays], np.intp)
    real = np.arange(counts.max(initial=0)) < counts[:, None]
    padded = np.full((*real.shape, *columns), fill)
    filled = [array for array in arrays if array.size]
    if filled:
        padded[real] = np.concatenate(filled)
    return padded, real
