"""Whether the rows of a library of LanceDB are whole, and how much of the exact answers its indices find."""

# Shapes: N rows, Q questions, F feature width.

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.library.lance.place import told
from spikemba.library.lance.reader import LanceLibrary
from spikemba.library.lance.rows import streamed
from spikemba.library.lance.vector_index import IndexSettings, index_state, nearest
from spikemba.library.matrix import Array
from spikemba.library.reader import mended_by
from spikemba.library.rows import StoredEncoder
from spikemba.library.scan import top
from spikemba.reading.printable import counted

QUESTIONS, NEAREST = 64, 20
"""Rows that are asked with, drawn from all, and how many of the nearest to each are compared."""
NOISE = 0.5
"""Length of the noise that is added to a question, beside the length of its row: a sentence is no clip."""
LEAST = 0.95
"""Below this share of the exact answers something is to be done."""
_MOST_PROBES, _MOST_EF = 256, 1_600

Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Recall:
    """What an index finds of the exact answers."""

    encoder: str
    found: float
    """Share of the NEAREST nearest clips by the exact scan, over all questions."""
    n_questions: int
    settings: IndexSettings
    better: IndexSettings | None = None
    """That find enough, where these do not; None where none were found that do, or none are needed."""

    @property
    def is_enough(self) -> bool:
        """Whether nothing needs to be done."""
        return self.found >= LEAST


@dataclass
class Checked:
    """What a reading of all rows has shown."""

    faults: list[str] = field(default_factory=list)
    """Each a line, with the commands that mend it."""
    videos: set[int] = field(default_factory=set)
    """Ids of those whose rows are not as they were written, copies that share them among them."""
    recalls: list[Recall] = field(default_factory=list)
    """One per index."""


def check(library: LanceLibrary, report: Report) -> Checked:
    """Read every row. Raises LibraryError when that cannot be."""
    found = Checked()
    encoders = library.encoders().values()
    done, total = 0, sum(one.n_rows for one in encoders)
    for encoder in encoders:
        table = library.store.tables[encoder.file]
        with told(library.folder):
            state = index_state(table)
            seen = _Seen(library, encoder, table, measure=state.kind is not None)
            for n in seen.read():
                done += n
                report(done, total)
            found.faults += seen.faults()
            found.videos |= seen.videos()
            if state.kind is not None:
                found.recalls.append(_measured(encoder, table, seen, library.store.settings(encoder.file)))
    return found


class _Seen:
    """One reading of an encoder's rows: what is damaged, and the exact answers to questions drawn from them."""

    def __init__(self, library: LanceLibrary, encoder: StoredEncoder, table: Any, *, measure: bool) -> None:
        self.encoder, self.table = encoder, table
        self.cure = mended_by(library)
        runs = library.runs(encoder.name)
        self.runs = {run.first_row: run for run in runs}
        self.owners: dict[int, set[int]] = {}
        for run in runs:
            self.owners.setdefault(run.first_row, set()).add(run.video)
        self.there: dict[int, set[int]] = {entry: set() for entry in self.runs}
        self.counts, self.damaged = Counter[int](), Counter[int]()
        self.questions: Array = _drawn(table, encoder) if measure else np.empty((0, encoder.dim), np.float32)
        self.best: list[tuple[Array, NDArray[np.int64]]] = []

    def read(self) -> Any:
        """Look at all rows; yields how many were looked at."""
        for entries, clips, norms, rows in streamed(self.table, self.encoder.dim):
            lengths = np.sqrt(np.einsum("nf,nf->n", rows, rows))
            fine = np.isclose(lengths, norms, rtol=1e-4)
            known = np.isin(entries, np.fromiter(self.runs, np.int64, len(self.runs)))
            self.damaged.update(entries[~fine & known].tolist())
            self.counts.update(entries[known].tolist())
            for entry, clip in zip(entries[known].tolist(), clips[known].tolist(), strict=True):
                self.there[entry].add(clip)
            if len(self.questions):
                near = self.questions @ rows.T / np.maximum(norms, np.finfo(np.float32).tiny)
                self._keep(near.astype(np.float32, copy=False), entries, clips)
            yield len(entries)

    def _keep(self, near: Array, entries: NDArray[np.int64], clips: NDArray[np.int32]) -> None:
        """The best of this part and of those before."""
        for i, scores in enumerate(near):
            places = top(scores, NEAREST)
            rows = np.stack((entries[places], clips[places].astype(np.int64)), axis=1)
            if i < len(self.best):
                scores, rows = (
                    np.concatenate((self.best[i][0], scores[places])),
                    np.concatenate((self.best[i][1], rows)),
                )
                places = top(scores, NEAREST)
                self.best[i] = scores[places], rows[places]
            else:
                self.best.append((scores[places], rows))

    def faults(self) -> list[str]:
        """Each a line."""
        name, lost, more = self.encoder.name, self._owners(self._lost()), self._owners(self._more())
        found = []
        if lost:
            found.append(f"{name}: rows of {counted(len(lost), 'video', 'videos')} are not there, or not all of them")
        if more:
            found.append(f"{name}: {counted(len(more), 'video has', 'videos have')} more rows than clips")
        if self.damaged:
            found.append(f"{name}: {counted(self.damaged.total(), 'row is', 'rows are')} damaged")
        return [f"{one}; {self.cure}" for one in found]

    def videos(self) -> set[int]:
        """Whose rows are not as they were written."""
        return self._owners([*self._lost(), *self._more(), *self.damaged])

    def _lost(self) -> list[int]:
        return [entry for entry, run in self.runs.items() if not self.there[entry] >= set(range(run.n_rows))]

    def _more(self) -> list[int]:
        lost = set(self._lost())
        return [entry for entry, run in self.runs.items() if entry not in lost and self.counts[entry] != run.n_rows]

    def _owners(self, entries: Iterable[int]) -> set[int]:
        return {video for entry in entries for video in self.owners[entry]}


def _drawn(table: Any, encoder: StoredEncoder) -> Array:
    """(Q, F): rows drawn from all, with noise."""
    random = np.random.default_rng(0)
    n_rows = table.count_rows()
    places = sorted(random.choice(n_rows, min(QUESTIONS, n_rows), replace=False).tolist())
    rows = table.take_offsets(places).select(["vector"]).to_arrow()
    from spikemba.library.lance.rows import vectors_of

    wide = vectors_of(rows, encoder.dim).astype(np.float32)
    noise = random.standard_normal(wide.shape).astype(np.float32)
    noise *= NOISE * np.linalg.norm(wide, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.ascontiguousarray(wide + noise)


def _share(table: Any, seen: _Seen, settings: IndexSettings) -> float:
    hits = wanted = 0
    for vector, (_, rows) in zip(seen.questions, seen.best, strict=True):
        right = set(map(tuple, rows.tolist()))
        entries, clips = nearest(table, vector, NEAREST, settings)
        hits += len(right & set(zip(entries.tolist(), clips.tolist(), strict=True)))
        wanted += len(right)
    return hits / wanted if wanted else 1.0


def _measured(encoder: StoredEncoder, table: Any, seen: _Seen, settings: IndexSettings) -> Recall:
    """The share, and where it is too small settings that find enough, each twice the ones before."""
    found = Recall(encoder.name, _share(table, seen, settings), len(seen.questions), settings)
    better = settings
    while not found.is_enough and (better.nprobes < _MOST_PROBES or better.ef < _MOST_EF):
        better = replace(better, nprobes=min(2 * better.nprobes, _MOST_PROBES), ef=min(2 * better.ef, _MOST_EF))
        if _share(table, seen, better) >= LEAST:
            return replace(found, better=better)
    return found
