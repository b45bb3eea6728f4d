"""An encoder's rows as a LanceDB table: one per clip, by the entry that they belong to.

float32, whose numbers are those of float16: LanceDB's products of float16 are several times slower on processors that
have none of their own, and an index takes the type of its rows (`benchmarks/bench_lance.py --types`).
"""

# Shapes: N rows, L clips of a video, F feature width.

import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.library.matrix import Array, Half, norms_of

ENTRY, CLIP, NORM, VECTOR = "entry", "clip", "norm", "vector"
READ_ROWS = 16_384
"""Rows that are read at once."""
_ASKED_AT_ONCE = 500
"""Entries that one question names."""


def row_bytes(dim: int) -> int:
    """Of a row F wide, as it is stored at most."""
    return 4 * dim + 16


def new_entry() -> int:
    """A number that no other entry has: seconds since 1970, then 31 random bits."""
    return (int(time.time()) << 31) | secrets.randbits(31)


def made_s(entry: int) -> int:
    """When an entry was made, in seconds since 1970."""
    return entry >> 31


def schema(dim: int, metadata: dict[str, str] | None = None) -> Any:
    """Of a table of rows F wide."""
    import pyarrow as pa

    columns = [(ENTRY, pa.int64()), (CLIP, pa.int32()), (NORM, pa.float32()), (VECTOR, pa.list_(pa.float32(), dim))]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns], metadata)


def arrow(parts: Sequence[tuple[int, Half]], dim: int) -> Any:
    """Entries with their rows (L, F), as a table to be appended."""
    import pyarrow as pa

    rows = np.concatenate([rows for _, rows in parts]).astype(np.float16)
    entries = np.repeat(np.array([entry for entry, _ in parts], np.int64), [len(rows) for _, rows in parts])
    clips = np.concatenate([np.arange(len(rows), dtype=np.int32) for _, rows in parts])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.astype(np.float32).ravel()), dim)
    return pa.table([pa.array(entries), pa.array(clips), pa.array(norms_of(rows)), vectors], schema=schema(dim))


def fetched(table: Any, entries: Collection[int], dim: int) -> dict[int, Half]:
    """Entry -> its rows (L, F) in order, of those that are there."""
    found: dict[int, Half] = {}
    wanted = sorted(set(entries))
    for i in range(0, len(wanted), _ASKED_AT_ONCE):
        named = ", ".join(map(str, wanted[i : i + _ASKED_AT_ONCE]))
        rows = table.search().where(f"{ENTRY} IN ({named})").select([ENTRY, CLIP, VECTOR]).limit(None).to_arrow()
        entry, clip, vectors = rows[ENTRY].to_numpy(), rows[CLIP].to_numpy(), vectors_of(rows, dim)
        order = np.lexsort((clip, entry))
        edges = np.flatnonzero(np.diff(entry[order])) + 1
        for part in np.split(order, edges) if len(order) else ():
            found[int(entry[part[0]])] = vectors[part].astype(np.float16)
    return found


def rows_by_entry(table: Any) -> dict[int, int]:
    """Entry -> how many rows it has."""
    entries = table.search().select([ENTRY]).limit(None).to_arrow()[ENTRY].to_numpy()
    return dict(zip(*(part.tolist() for part in np.unique(entries, return_counts=True)), strict=True))


def streamed(table: Any, dim: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32], Array, Array]]:
    """All rows, a part at a time: entries, clips, norms, vectors (N, F)."""
    columns = [ENTRY, CLIP, NORM, VECTOR]
    for batch in table.search().select(columns).limit(None).to_batches(batch_size=READ_ROWS):
        if len(batch):
            yield (*(batch[name].to_numpy() for name in columns[:3]), vectors_of(batch, dim))


def vectors_of(rows: Any, dim: int) -> Array:
    """(N, F) of an Arrow table or batch."""
    column = rows[VECTOR]
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    flat: Array = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, dim)
