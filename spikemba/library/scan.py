"""Comparing a vector with the rows of a matrix, exactly: float16 as stored, products and sums in float32."""

# Shapes: N rows of a matrix, R runs of rows, F feature width.

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.library.matrix import Array, Half, Matrix

Places = NDArray[np.int64]

BLOCK = 512
"""Rows that are turned into float32 at once where there is no kernel for it; they stay in the processor's cache."""
CHUNK_BYTES = 256 << 20
"""Of rows, that are mapped at once of a matrix too large to keep in this process."""
KEPT_BYTES = 512 << 20
"""A matrix up to this size stays mapped, which saves the time of mapping it again."""
SMALL_GAP = 4096
"""Rows between two runs that are rather multiplied, too, than left out."""


def cosines(matrix: Matrix, vector: NDArray[np.floating[Any]], first: Places, n_rows: Places) -> Array:
    """(N,) cosines of a vector (F,) with the rows of the runs, which are in order and apart; -inf for all others.

    0 for rows of nothing, and with a vector of nothing.
    """
    query = np.ascontiguousarray(vector, np.float32)
    query = query / max(np.float32(np.linalg.norm(query)), np.finfo(np.float32).tiny)
    scores = np.full(len(matrix.rows), -np.inf, np.float32)
    chunk = max(1, CHUNK_BYTES // max(1, matrix.rows[:1].nbytes))
    for start, stop in _stretches(first, n_rows):
        for i in range(start, stop, chunk):
            last = min(i + chunk, stop)
            products(matrix.rows[i:last], query, scores[i:last])
            norms = matrix.norms[i:last]
            np.divide(scores[i:last], norms, out=scores[i:last], where=norms > 0)
            if matrix.rows.nbytes > KEPT_BYTES:
                matrix.let_go(i, last)
    _leave_out_holes(scores, first, n_rows)
    return scores


def products(rows: Half, query: Array, out: Array) -> None:
    """(N, F) times (F,) -> (N,), into `out`; by the compiled kernel where there is one."""
    import torch

    from spikemba.ops.native.door import call
    from spikemba.ops.native.library import usable

    wide, vector, found = torch.from_numpy(rows), torch.from_numpy(query), torch.from_numpy(out)
    if usable():
        call("half_products", rows=wide, vector=vector, out=found, count=len(wide), width=len(vector))
        return
    for i in range(0, len(wide), BLOCK):
        torch.mv(wide[i : i + BLOCK].float(), vector, out=found[i : i + BLOCK])


def top(scores: Array, k: int) -> NDArray[np.intp]:
    """Places of the k greatest, the greatest first, of equal ones the first; none of -inf."""
    k = min(k, len(scores))
    if k < 1:
        return np.empty(0, np.intp)
    least = max(np.partition(scores, len(scores) - k)[len(scores) - k], np.finfo(np.float32).min)
    above, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
    places = np.concatenate((above, equal[: max(0, k - len(above))]))
    order: NDArray[np.intp] = places[np.lexsort((places, -scores[places]))]
    return order


def run_maxima(scores: Array, first: Places, n_rows: Places) -> Array:
    """The greatest score of each run; runs are in order and do not overlap."""
    if not len(first):
        return np.empty(0, np.float32)
    edges = np.stack((first, first + n_rows), axis=1).ravel()
    edges = edges[:-1] if edges[-1] == len(scores) else edges  # the last run then reaches to the end by itself
    found: Array = np.maximum.reduceat(scores, edges)[::2]
    return found


def _stretches(first: Places, n_rows: Places) -> Iterator[tuple[int, int]]:
    """Runs that follow each other with small gaps at most, as (first row, row behind the last)."""
    if not len(first):
        return
    ends = first + n_rows
    begins = np.flatnonzero(first[1:] - ends[:-1] > SMALL_GAP) + 1
    for a, b in zip([0, *begins], [*begins, len(first)], strict=True):
        yield int(first[a]), int(ends[b - 1])


def _leave_out_holes(scores: Array, first: Places, n_rows: Places) -> None:
    """-inf for what lies between runs."""
    ends = first + n_rows
    if not len(first) or bool((first[1:] == ends[:-1]).all()):
        return
    steps = np.zeros(len(scores) + 1, np.int8)
    steps[first] += 1
    steps[ends] -= 1
    scores[np.cumsum(steps[:-1], dtype=np.int8) == 0] = -np.inf
