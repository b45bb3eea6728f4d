"""What can be asked of a library: its videos, the clips nearest to a vector, and features without decoding.

    with Library.open(Path("library")) as library:
        hits = library.scan("clip", sentence, 10)              # the ten nearest clips of all
        videos = library.best_videos("clip", sentence, 20)     # the twenty videos with the nearest best clip
        encoded = library.features(videos[0].video, ["clip", "slowfast"])

A library may be written meanwhile, also compacted: every question is answered from one state of it, the newest.
Questions may come from several threads.
"""

# Shapes: N rows of a matrix, L clips of a video, F feature width.

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMissing, LibraryError, ShapeError, UnknownName, command_line
from spikemba.library.address import Address
from spikemba.library.clip_scores import ClipScores
from spikemba.library.matrix import Array, Matrix, RowsLost, open_matrix
from spikemba.library.rows import Run, StoredEncoder, StoredVideo, read_encoders, read_videos, videos_by_id
from spikemba.library.scan import cosines, run_maxima, top
from spikemba.library.schema import connect_to_read, damaged, stored_path

if TYPE_CHECKING:
    from spikemba.encoding.videos import EncodedVideo

Vector = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ClipHit:
    """A clip, and how near it is."""

    video: StoredVideo
    clip: int
    """From 0."""
    start_s: float
    end_s: float
    score: float
    """Cosine."""


@dataclass(frozen=True)
class VideoHit:
    """A video by its nearest clip."""

    video: StoredVideo
    score: float
    """Cosine of that clip."""
    clip: int
    n_clips: int


USUAL_CLIP_S = 2.0
"""What `index` takes where no clip length is given."""


@dataclass(frozen=True)
class _Layout:
    """An encoder's matrix, and whose its rows are; runs in the order of their rows."""

    encoder: StoredEncoder
    matrix: Matrix
    videos: NDArray[np.int64]
    first: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    row_s: NDArray[np.float64]

    def run(self, video: int) -> int | None:
        """Which run is the video's."""
        found = np.flatnonzero(self.videos == video)
        return int(found[0]) if len(found) else None


class Library:
    """A library that is read; `Library.open` makes it, and `with` or `close` ends it."""

    def __init__(self, folder: Address, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.catalogue = Path(folder)
        """Folder of library.sqlite, which of a library of another form is a copy of what it says."""
        self._connection = connection
        self._mutex = threading.RLock()
        self._version: int | None = None
        self._layouts: dict[str, _Layout] = {}

    @classmethod
    def open(cls, folder: Path | str) -> "Library":
        """The library of a folder, which need not be writable. No rows are read.

        Raises LibraryError when there is none, and for one of another release or damaged.
        """
        return cls(Path(folder), connect_to_read(Path(folder)))

    def close(self) -> None:
        """Let go of the files."""
        with self._mutex:
            self._layouts.clear()
            self._connection.close()

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def encoders(self) -> dict[str, StoredEncoder]:
        """Name -> encoder, in the order in which they were added."""
        with self._state() as connection:
            return read_encoders(connection)

    def videos(self, *, broken: bool = False) -> list[StoredVideo]:
        """All videos by path; those that could not be read only with `broken`."""
        with self._state() as connection:
            return list(read_videos(connection, "1" if broken else "problem IS NULL"))

    def video(self, which: Path | int) -> StoredVideo | None:
        """A video by its absolute path or its id."""
        column, value = ("id", which) if isinstance(which, int) else ("path", stored_path(which))
        with self._state() as connection:
            return next(read_videos(connection, f"{column} = ?", (value,)), None)

    def copies(self, video: StoredVideo) -> list[StoredVideo]:
        """The other videos that are copies of this one."""
        with self._state() as connection:
            found = read_videos(connection, "digest = ? AND problem IS NULL", (video.digest,))
            return [one for one in found if one.id != video.id]

    def lacking(self, encoder: str) -> frozenset[int]:  # noqa: ARG002
        """Ids of videos whose rows are not there as they were written, so that nothing is compared with them."""
        return frozenset()  # of a matrix that is shorter than it must be nothing is read at all

    def scan(self, encoder: str, vector: Vector, k: int, *, among: Sequence[int] | None = None) -> list[ClipHit]:
        """The k clips nearest to a vector (F,) by cosine, the nearest first.

        among: ids of the videos to look at, where not at all. Raises UnknownName, ShapeError.
        """
        layout, scores = self._scored(encoder, vector, among)
        rows = top(scores, k)
        runs = np.searchsorted(layout.first, rows, side="right") - 1
        with self._state() as connection:
            videos = videos_by_id(connection, layout.videos[runs].tolist())
        return [
            self._hit(layout, run, row - int(layout.first[run]), float(scores[row]), videos[video])
            for row, run in zip(rows.tolist(), runs.tolist(), strict=True)
            if (video := int(layout.videos[run])) in videos
        ]

    def best_videos(
        self, encoder: str, vector: Vector, n: int, *, among: Sequence[int] | None = None
    ) -> list[VideoHit]:
        """The n videos whose nearest clip is nearest to a vector (F,), the nearest first.

        among: ids of the videos to look at, where not at all. Raises UnknownName, ShapeError.
        """
        layout, scores = self._scored(encoder, vector, among)
        best = run_maxima(scores, layout.first, layout.n_rows)
        runs = top(best, n)
        with self._state() as connection:
            videos = videos_by_id(connection, layout.videos[runs].tolist())
        found = []
        for run in runs.tolist():
            first, n_rows, video = (int(values[run]) for values in (layout.first, layout.n_rows, layout.videos))
            if video in videos:
                clip = int(scores[first : first + n_rows].argmax())
                found.append(VideoHit(videos[video], float(best[run]), clip, n_rows))
        return found

    def scores(self, encoder: str, vector: Vector, videos: Sequence[StoredVideo | int]) -> list[Array]:
        """(L,) cosines of a vector (F,) with every clip of each of the videos.

        Raises UnknownName, ShapeError, and FeaturesMissing for a video without rows of the encoder.
        """
        layout = self._layout(encoder)
        self._check(layout.encoder, vector)
        parts = [self._part(layout, one) for one in videos]
        first = np.array(sorted(part.start for part in parts), np.int64)
        n_rows = np.array([part.stop - part.start for part in sorted(parts, key=lambda part: part.start)], np.int64)
        found = cosines(layout.matrix, vector, first, n_rows)
        return [found[part] for part in parts]

    def features(self, video: StoredVideo | int, encoders: Sequence[str]) -> "EncodedVideo":
        """What `encode_video` gives, to the precision of float16, without decoding.

        Raises UnknownName, and FeaturesMissing for a video without rows of one of the encoders.
        """
        from spikemba.encoding.videos import EncodedVideo  # torch loads here

        known = video if isinstance(video, StoredVideo) else self.video(video)
        if known is None or known.duration_s is None:
            raise FeaturesMissing(f"video {known.path if known else video}", self.folder, self.index_command(encoders))
        layouts = [self._layout(name) for name in encoders]
        streams = (layout.matrix.rows[self._part(layout, known)].astype(np.float32) for layout in layouts)
        return EncodedVideo(tuple(streams), known.duration_s)

    def clip_scores(
        self, encoder: str, vector: Vector, *, product: bool = False, among: Sequence[int] | None = None
    ) -> ClipScores:
        """How near every clip is to a vector (F,): its cosine, or the product with the vector scaled to length 1.

        product: for encoders in which the length of a clip's vector says how much goes on.  among: as of `scan`.
        Raises UnknownName, ShapeError.
        """
        layout, scores = self._scored(encoder, vector, among)
        keep = slice(None) if among is None else np.isin(layout.videos, np.fromiter(among, np.int64))
        first, n_rows = layout.first[keep], layout.n_rows[keep]
        rows = np.arange(n_rows.sum()) + np.repeat(first - n_rows.cumsum() + n_rows, n_rows)
        found = scores[rows]
        if product:
            found *= layout.matrix.norms[rows]
        return ClipScores(layout.videos[keep], n_rows, layout.row_s[keep], found)

    def candidates(
        self,
        encoder: str,
        vector: Vector,
        n: int,  # noqa: ARG002
        *,
        among: Collection[int] | None = None,
        also: Collection[int] = (),  # noqa: ARG002
    ) -> ClipScores:
        """The clips of at least the n contents with the nearest clips, and of the videos named by `also`.

        Here of all videos, as every clip is compared. among: as of `scan`. Raises UnknownName, ShapeError.
        """
        return self.clip_scores(encoder, vector, among=None if among is None else sorted(among))

    def runs(self, encoder: str) -> list[Run]:
        """Where each video's rows are, in their order. Raises UnknownName."""
        layout = self._layout(encoder)
        columns = layout.videos, layout.first, layout.n_rows, layout.row_s
        return [Run(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def matrix(self, encoder: str) -> Matrix:
        """All rows of an encoder, holes among them. Raises UnknownName, LibraryError."""
        return self._layout(encoder).matrix

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database in one state, for questions of one's own; the connection cannot write."""
        with self._state(ours=False) as connection:
            yield connection

    def _scored(self, encoder: str, vector: Vector, among: Sequence[int] | None) -> tuple[_Layout, Array]:
        """The cosine of every row; -inf for holes and for videos that are not asked about."""
        layout = self._layout(encoder)
        self._check(layout.encoder, vector)
        first, n_rows = layout.first, layout.n_rows
        if among is not None:
            asked = np.isin(layout.videos, np.fromiter(among, np.int64))
            first, n_rows = first[asked], n_rows[asked]
        return layout, cosines(layout.matrix, vector, first, n_rows)

    def _hit(self, layout: _Layout, run: int, clip: int, score: float, video: StoredVideo) -> ClipHit:
        row_s, duration_s = float(layout.row_s[run]), video.duration_s or 0.0
        return ClipHit(video, clip, min(clip * row_s, duration_s), min((clip + 1) * row_s, duration_s), score)

    def _part(self, layout: _Layout, video: StoredVideo | int) -> slice:
        id_ = video if isinstance(video, int) else video.id
        run = layout.run(id_)
        if run is None:
            shown = f"video {id_}" if isinstance(video, int) else f"video {video.path}"
            raise FeaturesMissing(shown, self.folder, self.index_command([layout.encoder.name]))
        return slice(int(layout.first[run]), int(layout.first[run] + layout.n_rows[run]))

    def _check(self, encoder: StoredEncoder, vector: Vector) -> None:
        if vector.shape != (encoder.dim,):
            raise ShapeError(f"the vector is {vector.shape}; rows of {encoder.name} expect ({encoder.dim},)")

    def index_command(self, encoders: Sequence[str] | None = None, videos: str | Path = "VIDEOS") -> str:
        """What makes rows of these encoders, or of all that the library was seen to have, of its clip length."""
        with self._state() as connection:
            stored = read_encoders(connection)
        names = [*stored] if encoders is None else encoders
        lengths = {stored[name].manifest.clip_s for name in names if name in stored} - {None, USUAL_CLIP_S}
        clips = ["--clip-length", f"{lengths.pop():g}"] if len(lengths) == 1 else []
        how = ["--encoder", "+".join(names), *clips, "--library", self.folder]
        return command_line("spikemba", "index", videos, *how)

    def _layout(self, name: str) -> _Layout:
        """The encoder's rows as they are now. Raises UnknownName, LibraryError."""
        for _ in range(5):
            try:
                with self._state() as connection:
                    if name not in self._layouts:
                        self._layouts[name] = _read_layout(self.catalogue, connection, name)
                    return self._layouts[name]
            except FileNotFoundError as error:  # compacted since the transaction began: the next one knows
                problem = f"the rows of {name} are gone ({error.filename})"
            except RowsLost as error:
                problem = error.problem
                break
        drop = command_line("spikemba", "library", "drop", "--encoder", name, "--library", self.folder)
        raise LibraryError(self.folder, problem, f"run `{drop}`, then `{self.index_command([name])}`")

    @contextmanager
    def _state(self, *, ours: bool = True) -> Iterator[sqlite3.Connection]:
        """One state of the database; what is known of an older one is forgotten. Faults of others' questions pass."""
        with self._mutex:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            try:
                version = self._connection.execute("PRAGMA data_version").fetchone()[0]
                if version != self._version:
                    self._layouts.clear()
                    self._version = version
                yield self._connection
            except sqlite3.DatabaseError as error:
                if not ours:
                    raise
                raise damaged(self.folder, error) from None
            finally:
                self._connection.execute("ROLLBACK")


def mended_by(library: Library) -> str:
    """What makes damaged rows anew: an indexing alone keeps videos that are there."""
    drop = command_line("spikemba", "library", "drop", "--damaged", "--library", library.folder)
    return f"run `{drop}`, then `{library.index_command()}`"


def _read_layout(folder: Path, connection: sqlite3.Connection, name: str) -> _Layout:
    encoders = read_encoders(connection)
    if name not in encoders:
        raise UnknownName(f"encoder of library {folder}", name, list(encoders))
    encoder = encoders[name]
    rows = connection.execute(
        "SELECT video, first_row, n_rows, row_s FROM runs WHERE encoder = ? ORDER BY first_row", (encoder.id,)
    ).fetchall()
    table = np.array(rows, np.float64).reshape(-1, 4)  # whole numbers below 2^53 are exact
    videos, first, n_rows = (table[:, i].astype(np.int64) for i in range(3))
    matrix = open_matrix(folder, encoder.file, encoder.n_rows, encoder.dim)
    return _Layout(encoder, matrix, videos, first, n_rows, table[:, 3].copy())
