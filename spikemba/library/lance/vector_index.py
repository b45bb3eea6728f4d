"""The index over an encoder's rows: which clips are nearest to a vector, without comparing it with all of them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import UnknownName
from spikemba.library.lance.rows import CLIP, ENTRY, VECTOR

IndexType = Literal["IVF_HNSW_FLAT", "IVF_FLAT", "IVF_HNSW_SQ", "IVF_SQ", "IVF_PQ", "IVF_HNSW_PQ"]
INDEX_TYPES: tuple[IndexType, ...] = get_args(IndexType)
INDEXED_FROM = 50_000
"""Rows: fewer are compared one by one, exactly."""
PARTITION_ROWS = 16_384
"""Rows in a partition, about: each is a graph of its own, so that building one takes little memory."""
M, EF_CONSTRUCTION = 20, 150
"""Neighbours of a row in the graph, and rows that are looked at to find them."""
SAMPLE_RATE, ITERATIONS = 64, 20
"""Rows per partition from which the partitions are found, and steps of finding them."""


@dataclass(frozen=True)
class IndexSettings:
    """How an encoder's index is made and asked."""

    kind: IndexType = "IVF_HNSW_FLAT"
    """FLAT keeps rows as they are; SQ and PQ shorten them, which finds less."""
    nprobes: int = 16
    """Partitions that are looked into."""
    ef: int = 200
    """Rows of a partition's graph that are looked at, at least."""

    def __post_init__(self) -> None:
        if self.kind not in INDEX_TYPES:
            raise UnknownName("type of index", self.kind, list(INDEX_TYPES))


@dataclass(frozen=True)
class IndexState:
    """How far an index reaches."""

    kind: str | None
    """None where there is none."""
    n_indexed: int
    n_left: int
    """Rows that are compared one by one."""


def index_state(table: Any) -> IndexState:
    """What index a table of rows has."""
    for one in table.list_indices():
        if list(one.columns) == [VECTOR]:
            found = table.index_stats(one.name)
            return IndexState(found.index_type, found.num_indexed_rows, found.num_unindexed_rows)
    return IndexState(None, 0, table.count_rows())


def build(table: Any, n_rows: int, kind: IndexType = "IVF_HNSW_FLAT") -> None:
    """Index all rows anew, by cosine; readers have the old index until it is done."""
    from lancedb import index

    how: dict[str, Any] = {"distance_type": "cosine", "num_partitions": max(1, n_rows // PARTITION_ROWS)}
    how |= {"sample_rate": SAMPLE_RATE, "max_iterations": ITERATIONS}
    if "HNSW" in kind:
        how |= {"m": M, "ef_construction": EF_CONSTRUCTION}
    words = [part if part in ("SQ", "PQ", "HNSW") else part.title() for part in kind.split("_")]
    name = "".join(word.title() for word in words).replace("IvfHnsw", "Hnsw")
    table.create_index(VECTOR, config=getattr(index, name)(**how), replace=True)
    table.create_index(ENTRY, config=index.BTree(), replace=True)


def extend(table: Any, keep: timedelta) -> None:
    """Bring rows that were added since into the index, and small files together. keep: how old states stay readable."""
    table.optimize(cleanup_older_than=keep)


def nearest(
    table: Any, vector: NDArray[np.floating[Any]], k: int, settings: IndexSettings, *, exact: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Entries and clips of the k rows nearest to a vector (F,) by cosine, the nearest first.

    Rows that are not in the index yet are compared one by one. exact: all are.
    """
    question = table.search(np.ascontiguousarray(vector, np.float32), vector_column_name=VECTOR)
    question = question.distance_type("cosine").limit(k).select([ENTRY, CLIP, "_distance"])
    if exact:
        question = question.bypass_vector_index()
    else:
        question = question.nprobes(settings.nprobes).ef(max(settings.ef, k))
    rows = question.to_arrow()
    return rows[ENTRY].to_numpy(), rows[CLIP].to_numpy()
