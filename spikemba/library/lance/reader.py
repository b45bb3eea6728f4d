"""What can be asked of a library of LanceDB: the same as of a local one, the nearest clips by its index."""

# Shapes: N rows of a table, L clips of a video, F feature width.

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMissing, LibraryError, UnknownName, command_line
from spikemba.library.address import Address
from spikemba.library.clip_scores import ClipScores
from spikemba.library.lance.place import told
from spikemba.library.lance.rows import fetched, rows_by_entry, streamed
from spikemba.library.lance.store import Store
from spikemba.library.lance.vector_index import nearest
from spikemba.library.matrix import Array, Half, Matrix, norms_of
from spikemba.library.reader import ClipHit, Library, Vector, VideoHit
from spikemba.library.rows import MOST_VALUES, Run, StoredEncoder, StoredVideo, videos_by_id
from spikemba.library.scan import cosines, top
from spikemba.library.schema import connect_to_read

if TYPE_CHECKING:
    from spikemba.encoding.videos import EncodedVideo

FEWEST_ROWS, MOST_ROWS = 256, 16_384
"""Nearest rows that are asked for, at first and at most, before all are compared."""
FETCHED_ROWS = 200_000
"""Rows of chosen videos that are fetched, rather than all read."""


class LanceLibrary(Library):
    """A library of LanceDB that is read. What others write is seen by the next question after `encoders`."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.address, connect_to_read(store.catalogue.folder))
        self.store = store
        self.catalogue = store.catalogue.folder
        self._counted: dict[str, tuple[object, dict[int, int]]] = {}
        """Table -> the state that it was counted in, and entry -> rows."""

    @classmethod
    def at(cls, address: Address) -> "LanceLibrary":
        """The library of an address. Raises LibraryError when there is none, PackageMissing."""
        return cls(Store(address))

    def close(self) -> None:
        """Let go of what is kept on this machine."""
        super().close()
        self.store.close()

    def encoders(self) -> dict[str, StoredEncoder]:
        """Name -> encoder, as it is now."""
        with self._mutex:
            self.store.refresh()
        return super().encoders()

    def lacking(self, encoder: str) -> frozenset[int]:
        """Ids of videos whose rows are lost, in part or whole, or are there twice; see `Library.lacking`.

        Where there are as many rows as the videos have, no row is asked whose it is.
        """
        stored = self._known(encoder)
        with self._mutex, self._told():
            table = self._table(stored)
            runs = self._runs(stored, None)
            named = sum({run.first_row: run.n_rows for run in runs.values()}.values())
            if table.count_rows() == named:
                return frozenset()
            state = self.store.identity, table.version
            if self._counted.get(stored.file, (None, {}))[0] != state:
                self._counted[stored.file] = state, rows_by_entry(table)
            there = self._counted[stored.file][1]
        return frozenset(video for video, run in runs.items() if there.get(run.first_row) != run.n_rows)

    def scan(self, encoder: str, vector: Vector, k: int, *, among: Sequence[int] | None = None) -> list[ClipHit]:
        """The k clips nearest to a vector (F,), as far as the index tells; see `Library.scan`."""
        found = self.candidates(encoder, vector, k, among=among)
        first, places = found.first, top(found.scores, k)
        with self._state() as connection:
            videos = videos_by_id(connection, found.videos.tolist())
        hits = []
        for place in places.tolist():
            i = int(np.searchsorted(first, place, side="right")) - 1
            video, clip, row_s = videos[int(found.videos[i])], place - int(first[i]), float(found.row_s[i])
            end_s = video.duration_s or 0.0
            times = min(clip * row_s, end_s), min((clip + 1) * row_s, end_s)
            hits.append(ClipHit(video, clip, *times, float(found.scores[place])))
        return hits

    def best_videos(
        self, encoder: str, vector: Vector, n: int, *, among: Sequence[int] | None = None
    ) -> list[VideoHit]:
        """The n videos whose nearest clip is nearest, as far as the index tells; see `Library.best_videos`."""
        found = self.candidates(encoder, vector, n, among=among)
        with self._state() as connection:
            videos = videos_by_id(connection, found.videos.tolist())
        hits = []
        for i in found.ranked()[:n].tolist():
            own = found.of(i)
            hits.append(VideoHit(videos[int(found.videos[i])], float(own.max()), int(own.argmax()), len(own)))
        return hits

    def scores(self, encoder: str, vector: Vector, videos: Sequence[StoredVideo | int]) -> list[Array]:
        """(L,) cosines of a vector (F,) with every clip of each of the videos; see `Library.scores`."""
        stored = self._known(encoder, vector)
        ids = [one if isinstance(one, int) else one.id for one in videos]
        runs = self._runs(stored, ids)
        for id_, one in zip(ids, videos, strict=True):
            if id_ not in runs:
                raise FeaturesMissing(f"video {_shown(one)}", self.folder, self.index_command([encoder]))
        found = self._scores_of(stored, vector, [runs[id_] for id_ in dict.fromkeys(ids)])
        places = {int(video): i for i, video in enumerate(found.videos)}
        for id_, one in zip(ids, videos, strict=True):
            if id_ not in places:
                raise self._lost(one)
        return [found.of(places[id_]) for id_ in ids]

    def features(self, video: StoredVideo | int, encoders: Sequence[str]) -> "EncodedVideo":
        """What `encode_video` gives, to the precision of float16; see `Library.features`."""
        from spikemba.encoding.videos import EncodedVideo  # torch loads here

        known = video if isinstance(video, StoredVideo) else self.video(video)
        if known is None or known.duration_s is None:
            raise FeaturesMissing(f"video {_shown(video)}", self.folder, self.index_command(encoders))
        streams = []
        for name in encoders:
            stored = self._known(name)
            run = self._runs(stored, [known.id]).get(known.id)
            rows = self._fetched(stored, [run]).get(run.first_row) if run else None
            if run is None:
                raise FeaturesMissing(f"video {known.path}", self.folder, self.index_command([name]))
            if rows is None:
                raise self._lost(known)
            streams.append(rows.astype(np.float32))
        return EncodedVideo(tuple(streams), known.duration_s)

    def candidates(
        self,
        encoder: str,
        vector: Vector,
        n: int,
        *,
        among: Collection[int] | None = None,
        also: Collection[int] = (),
    ) -> ClipScores:
        """The clips of n contents, at least, that the index finds nearest, and of videos named by `also`.

        Where it finds fewer, though there are more, all clips are compared.
        """
        stored = self._known(encoder, vector)
        asked, lacking = None if among is None else set(among), self.lacking(encoder)
        wanted = min(n, self._n_contents(stored, asked, lacking))
        if asked is not None and self._n_rows(stored, asked) <= FETCHED_ROWS:
            return self.clip_scores(encoder, vector, among=sorted(asked))
        k, found, seen = max(FEWEST_ROWS, 8 * n), {}, 0
        while True:
            with self._told():
                entries, _ = nearest(self._table(stored), vector, k, self.store.settings(stored.file))
            found = self._runs_of_entries(stored, entries.tolist(), asked)
            found = {video: run for video, run in found.items() if video not in lacking}
            if self._contents(found) >= wanted or k >= MOST_ROWS or len(entries) <= seen:
                break
            seen, k = len(entries), 4 * k
        if self._contents(found) < wanted:
            return self.clip_scores(encoder, vector, among=None if asked is None else sorted(asked))
        more = self._runs(stored, [id_ for id_ in also if asked is None or id_ in asked])
        return self._scores_of(stored, vector, list({**found, **more}.values()))

    def clip_scores(
        self, encoder: str, vector: Vector, *, product: bool = False, among: Sequence[int] | None = None
    ) -> ClipScores:
        """How near every clip is, exactly: every row is read once; see `Library.clip_scores`."""
        stored = self._known(encoder, vector)
        lacking = self.lacking(encoder)
        runs = {video: run for video, run in self._runs(stored, among).items() if video not in lacking}
        if among is not None and sum(run.n_rows for run in runs.values()) <= FETCHED_ROWS:
            return self._scores_of(stored, vector, list(runs.values()), product=product)
        query = vector / max(float(np.linalg.norm(vector)), float(np.finfo(np.float32).tiny))
        scores = {run.first_row: np.full(run.n_rows, -np.inf, np.float32) for run in runs.values()}
        with self._told():
            for entries, clips, norms, rows in streamed(self._table(stored), stored.dim):
                near = rows @ query.astype(np.float32)
                near = near if product else np.divide(near, norms, out=np.zeros_like(near), where=norms > 0)
                edges = [0, *(np.flatnonzero(np.diff(entries)) + 1).tolist(), len(entries)]
                for a, b in pairwise(edges):
                    own = scores.get(int(entries[a]))
                    if own is not None:
                        own[clips[a:b]] = near[a:b]
        return _clip_scores(list(runs.values()), scores)

    def runs(self, encoder: str) -> list[Run]:
        """Each video's entry and number of rows. Raises UnknownName."""
        return list(self._runs(self._known(encoder), None).values())

    def matrix(self, encoder: str) -> Matrix:
        """Raises LibraryError: there is none."""
        raise LibraryError(self.folder, f"rows of {encoder} lie in a table of LanceDB", "ask for features or scores")

    def _lost(self, video: StoredVideo | int) -> FeaturesMissing:
        """Rows that a video had: indexing again would keep it."""
        check = command_line("spikemba", "library", "check", "--library", self.folder)
        return FeaturesMissing(f"video {_shown(video)}", self.folder, check)

    def _known(self, name: str, vector: Vector | None = None) -> StoredEncoder:
        stored = super().encoders().get(name)
        if stored is None:
            raise UnknownName(f"encoder of library {self.folder}", name, list(super().encoders()))
        if vector is not None:
            self._check(stored, vector)
        return stored

    def _table(self, stored: StoredEncoder) -> Any:
        return self.store.tables[stored.file]

    def _fetched(self, stored: StoredEncoder, runs: Collection[Run]) -> dict[int, Half]:
        """Entry -> rows, of runs that are there whole."""
        with self._told():
            found = fetched(self._table(stored), {run.first_row for run in runs}, stored.dim)
        whole = {run.first_row: run.n_rows for run in runs}
        return {entry: rows for entry, rows in found.items() if len(rows) == whole[entry]}

    def _scores_of(
        self, stored: StoredEncoder, vector: Vector, runs: Sequence[Run], *, product: bool = False
    ) -> ClipScores:
        """Of the clips of some videos, which are fetched."""
        found = self._fetched(stored, runs)
        runs = [run for run in runs if run.first_row in found]
        scores: dict[int, Array] = {}
        for entry, rows in found.items():
            norms, places = norms_of(rows), np.array([0], np.int64)
            near = cosines(Matrix(rows, norms), vector, places, np.array([len(rows)], np.int64))
            scores[entry] = near * norms if product else near
        return _clip_scores(runs, scores)

    def _runs(self, stored: StoredEncoder, ids: Collection[int] | None) -> dict[int, Run]:
        """Video -> its run, of all or of some videos."""
        return self._asked(stored, "video", ids)

    def _runs_of_entries(
        self, stored: StoredEncoder, entries: Collection[int], asked: set[int] | None
    ) -> dict[int, Run]:
        found = self._asked(stored, "first_row", set(entries))
        return {video: run for video, run in found.items() if asked is None or video in asked}

    def _asked(self, stored: StoredEncoder, column: str, values: Collection[int] | None) -> dict[int, Run]:
        question = "SELECT video, first_row, n_rows, row_s FROM runs WHERE encoder = ?"
        found: dict[int, Run] = {}
        with self._state() as connection:
            if values is None:
                rows = connection.execute(f"{question} ORDER BY video", (stored.id,)).fetchall()
                return {row[0]: Run(*row) for row in rows}
            wanted = sorted(set(values))
            for i in range(0, len(wanted), MOST_VALUES):
                part = wanted[i : i + MOST_VALUES]
                marks = ", ".join("?" * len(part))
                rows = connection.execute(f"{question} AND {column} IN ({marks})", (stored.id, *part)).fetchall()
                found |= {row[0]: Run(*row) for row in rows}
        return dict(sorted(found.items()))

    def _contents(self, runs: Mapping[int, Run]) -> int:
        with self._state() as connection:
            return len({one.digest for one in videos_by_id(connection, runs).values()})

    def _n_contents(self, stored: StoredEncoder, asked: set[int] | None, lacking: Collection[int]) -> int:
        if asked is not None or lacking:
            runs = self._runs(stored, asked)
            return self._contents({video: run for video, run in runs.items() if video not in lacking})
        question = "SELECT count(DISTINCT digest) FROM videos JOIN runs ON runs.video = videos.id WHERE encoder = ?"
        with self._state() as connection:
            return int(connection.execute(question, (stored.id,)).fetchone()[0])

    def _n_rows(self, stored: StoredEncoder, asked: set[int]) -> int:
        return sum(run.n_rows for run in self._runs(stored, asked).values())

    @contextmanager
    def _told(self) -> Iterator[None]:
        with told(self.folder):
            yield


def _clip_scores(runs: Sequence[Run], scores: Mapping[int, Array]) -> ClipScores:
    videos: NDArray[np.int64] = np.array([run.video for run in runs], np.int64)
    n_clips = np.array([run.n_rows for run in runs], np.int64)
    row_s = np.array([run.row_s for run in runs], np.float64)
    parts = [scores[run.first_row] for run in runs]
    return ClipScores(videos, n_clips, row_s, np.concatenate(parts) if parts else np.empty(0, np.float32))


def _shown(video: StoredVideo | int) -> str:
    return str(video if isinstance(video, int) else video.path)
