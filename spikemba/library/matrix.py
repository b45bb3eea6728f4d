"""One encoder's rows: LIBRARY/<file>.f16, rows of float16 after each other, and <file>.norms.f32, their lengths.

Little endian, without a head: how many rows exist, and how wide they are, library.sqlite says. Rows are only ever
added behind the last one that exists; what stands there was left by a process that was killed, and is written over.
"""

# Shapes: N rows of a matrix, F feature width.

import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import LibraryError, command_line
from spikemba.library.rows import Run

ROWS, NORMS = ".f16", ".norms.f32"
STORED_ROW, STORED_NORM = np.dtype("<f2"), np.dtype("<f4")

Half = NDArray[np.float16]
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Matrix:
    """A matrix as it is on disk, mapped into memory: only what is looked at is read."""

    rows: Half
    """(N, F)."""
    norms: Array
    """(N,)."""
    memory: mmap.mmap | None = None
    """Where the rows are mapped."""

    def let_go(self, start: int, stop: int) -> None:
        """Let rows that were looked at count no longer as this process's memory; the system may keep them cached."""
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if self.memory is None or advice is None:
            return
        row = self.rows.shape[1] * self.rows.itemsize
        first = start * row // mmap.PAGESIZE * mmap.PAGESIZE
        last = min(stop * row, len(self.memory))
        if first < last:
            self.memory.madvise(advice, first, last - first)


def open_matrix(folder: Path, file: str, n_rows: int, dim: int) -> Matrix:
    """The first n_rows rows. Raises RowsLost when there are fewer, FileNotFoundError when there is no file."""
    rows, memory = _mapped(folder / f"{file}{ROWS}", (n_rows, dim), STORED_ROW)
    norms, _ = _mapped(folder / f"{file}{NORMS}", (n_rows,), STORED_NORM)
    return Matrix(rows, norms, memory)


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[NDArray[Any], mmap.mmap | None]:
    needed, size = int(np.prod(shape)) * dtype.itemsize, path.stat().st_size
    if size < needed:
        raise RowsLost(path, size, needed)
    if not needed:
        return np.empty(shape, dtype), None
    with path.open("rb") as file:
        # copy on write: torch takes no memory that it could not write, and what it wrote would stay with this process
        memory = mmap.mmap(file.fileno(), needed, access=mmap.ACCESS_COPY)
    found = np.frombuffer(memory, dtype).reshape(shape)
    if sys.byteorder != "little":
        return found.astype(dtype.newbyteorder("=")), None
    return found, memory


class RowsLost(LibraryError):
    """A file is shorter than the rows that library.sqlite tells of."""

    def __init__(self, path: Path, size: int, needed: int) -> None:
        self.problem = f"{path.name} has {size:,} bytes of {needed:,}: rows were lost"
        check = command_line("spikemba", "library", "check", "--library", path.parent)
        super().__init__(path.parent, self.problem, f"run `{check}`, which says how to mend it")


def stored(rows: NDArray[Any]) -> Half:
    """Rows as a matrix holds them. Raises OverflowError for numbers that float16 has none for."""
    with np.errstate(over="ignore"):
        half = rows.astype(STORED_ROW)
    if not np.isfinite(half).all():
        worst = np.abs(np.nan_to_num(rows.astype(np.float64), nan=np.inf)).max()
        raise OverflowError(f"a feature is {worst:g}; a library holds float16, up to 65,504")
    return half


def norms_of(rows: Half) -> Array:
    """(N, F) -> (N,), of the rows as they are stored."""
    norms = np.empty(len(rows), np.float32)
    for i in range(0, len(rows), 4096):
        wide = rows[i : i + 4096].astype(np.float32)
        norms[i : i + 4096] = np.sqrt(np.einsum("nf,nf->n", wide, wide))
    return norms


def append(folder: Path, file: str, n_rows: int, dim: int, parts: Sequence[Half]) -> int:
    """Put rows behind the first n_rows, on the disk before this returns; returns how many rows there are then.

    They do not exist until library.sqlite says so. Where they cannot be written whole, the files are cut back to
    what exists, and the OSError is raised.
    """
    rows = [folder / f"{file}{ROWS}", folder / f"{file}{NORMS}"]
    starts = [n_rows * dim * STORED_ROW.itemsize, n_rows * STORED_NORM.itemsize]
    new = not rows[0].exists() or not rows[1].exists()
    try:
        _write(rows[0], starts[0], parts)
        _write(rows[1], starts[1], [norms_of(part).astype(STORED_NORM) for part in parts])
        if new:
            sync_folder(folder)
    except OSError:
        for path, start in zip(rows, starts, strict=True):
            if path.exists() and path.stat().st_size > start:
                os.truncate(path, start)
        raise
    return n_rows + sum(map(len, parts))


def _write(path: Path, start: int, parts: Sequence[NDArray[Any]]) -> None:
    with path.open("r+b" if path.exists() else "x+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size < start:
            raise RowsLost(path, size, start)
        file.truncate(start)
        file.seek(start)
        for part in parts:
            file.write(np.ascontiguousarray(part).data.cast("B"))
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring names of new files onto the disk, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:  # some network folders cannot
        pass
    finally:
        os.close(handle)


COPIED_ROWS = 16_384
"""Rows that are copied at once."""


def copy_runs(folder: Path, file: str, to: str, n_rows: int, dim: int, runs: Sequence[Run]) -> Iterator[int]:
    """Write a matrix of the runs alone, one after the other; yields how many rows were written, as they are.

    The new files are on the disk when this ends.
    """
    found = open_matrix(folder, file, n_rows, dim)
    with (folder / f"{to}{ROWS}").open("wb") as rows, (folder / f"{to}{NORMS}").open("wb") as norms:
        for run in runs:
            for first in range(run.first_row, run.first_row + run.n_rows, COPIED_ROWS):
                last = min(first + COPIED_ROWS, run.first_row + run.n_rows)
                rows.write(np.ascontiguousarray(found.rows[first:last], STORED_ROW).data.cast("B"))
                norms.write(np.ascontiguousarray(found.norms[first:last], STORED_NORM).data.cast("B"))
                yield last - first
        for written in (rows, norms):
            written.flush()
            os.fsync(written.fileno())
    sync_folder(folder)
