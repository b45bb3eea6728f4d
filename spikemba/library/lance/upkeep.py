"""Upkeep of a library of LanceDB: removing what nothing names, small files together, indices up to date."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from spikemba.library.lance.place import told
from spikemba.library.lance.rows import ENTRY, made_s, rows_by_entry
from spikemba.library.lance.store import Store
from spikemba.library.lance.vector_index import INDEXED_FROM, build, extend, index_state

GRACE_S = 3600.0
"""How long rows and records stay that nothing names: who writes names his rows later, who reads has an older state."""
_AT_ONCE = 2_000
"""Entries, or records, that one deletion names."""


def compact(store: Store, report: Callable[[int, int | None], None], *, rebuild: bool = False) -> int:
    """Returns rows that were removed. What was dropped less than GRACE_S ago stays until then."""
    before = time.time() - GRACE_S
    removed = 0
    with told(store.address):
        _clear_log(store, before)
        for done, (name, table) in enumerate(store.tables.items()):
            report(done, len(store.tables))
            removed += _remove_rows(store, name, table, before)
            _bring_index_up(store, name, table, rebuild=rebuild)
        report(len(store.tables), len(store.tables))
        for name in store.place.names():
            if name in store.state.encoders_gone:
                store.place.drop(name)  # a process was killed while it did
    store.refresh()
    return removed


def _remove_rows(store: Store, name: str, table: Any, before: float) -> int:
    live = {video.runs[name].entry for video in store.state.videos.values() if name in video.runs}
    n_rows = rows_by_entry(table)
    gone = [
        entry
        for entry in n_rows
        if entry not in live and max(made_s(entry), store.state.dead.get((name, entry), 0) / 1e9) <= before
    ]
    for i in range(0, len(gone), _AT_ONCE):
        table.delete(f"{ENTRY} IN ({', '.join(map(str, gone[i : i + _AT_ONCE]))})")
    return sum(n_rows[entry] for entry in gone)


def _bring_index_up(store: Store, name: str, table: Any, *, rebuild: bool) -> None:
    keep, n_rows = timedelta(seconds=GRACE_S), table.count_rows()
    state, wanted = index_state(table), store.settings(name).kind
    if n_rows >= INDEXED_FROM and (rebuild or state.kind is None or state.kind != wanted):
        build(table, n_rows, wanted)
    extend(table, keep)


def _clear_log(store: Store, before: float) -> None:
    stale = [uid for uid, seq in store.state.stale.items() if seq / 1e9 <= before]
    for i in range(0, len(stale), _AT_ONCE):
        named = ", ".join(f"'{uid}'" for uid in stale[i : i + _AT_ONCE])
        store.log.delete(f"uid IN ({named})")
    extend(store.log, timedelta(seconds=GRACE_S))
    store.refresh()
