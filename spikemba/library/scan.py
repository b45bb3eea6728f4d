"""Comparing a vector with every row of a matrix, exactly: float16 as stored, products and sums in float32."""

# Shapes: N rows, F feature width.

import numpy as np
from numpy.typing import NDArray

from spikemba.library.matrix import Array, Half, Matrix

BLOCK = 2048
"""Rows that are turned into float32 at once where there is no kernel for it: 4 MB of 512 numbers."""


def cosines(matrix: Matrix, vector: NDArray[np.floating]) -> Array:
    """(N,) cosines of a vector (F,) with the rows; 0 for rows of nothing, and for a vector of nothing."""
    query = np.ascontiguousarray(vector, np.float32)
    length = float(np.linalg.norm(query))
    if not length or not len(matrix.rows):
        return np.zeros(len(matrix.rows), np.float32)
    found = products(matrix.rows, query / np.float32(length))
    np.divide(found, matrix.norms, out=found, where=matrix.norms > 0)
    return found


def products(rows: Half, query: Array) -> Array:
    """(N, F) times (F,) -> (N,)."""
    out = np.empty(len(rows), np.float32)
    for i in range(0, len(rows), BLOCK):
        out[i : i + BLOCK] = rows[i : i + BLOCK].astype(np.float32) @ query
    return out


def top(scores: Array, k: int) -> NDArray[np.intp]:
    """Places of the k greatest, the greatest first, of equal ones the first; fewer where there are fewer."""
    k = min(k, len(scores))
    if k < 1:
        return np.empty(0, np.intp)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
    places = np.concatenate((above, equal[: k - len(above)]))
    order: NDArray[np.intp] = places[np.lexsort((places, -scores[places]))]
    return order
