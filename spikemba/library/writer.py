"""Changing a library: under its lock, each change whole or not at all, whatever stops the process.

Rows are brought onto the disk first; then one transaction makes them exist. What was written before that and never came
to exist is written over by the next change.
"""

import errno
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from spikemba.errors import FeaturesMismatch, LibraryError, OutputError, command_line
from spikemba.features import Manifest, row_length_s
from spikemba.library import matrix
from spikemba.library.lock import locked
from spikemba.library.matrix import Half
from spikemba.library.names import encoder_file, next_file
from spikemba.library.rows import (
    MOST_VALUES,
    Run,
    StoredEncoder,
    StoredVideo,
    Text,
    read_encoders,
    read_videos,
    runs_of,
    videos_by_id,
)
from spikemba.library.schema import connect_to_write, damaged, stored_path

ROOM = "make room and run the same command again; what was there before is as it was"
ELSEWHERE = "choose another folder with --library"


@dataclass(frozen=True)
class FileState:
    """A video file as it was when it was looked at."""

    path: Path
    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True)
class NewVideo:
    """A video to take in."""

    file: FileState
    duration_s: float
    rows: Mapping[str, Half] = field(default_factory=dict)
    """Encoder -> (L, F)."""


@contextmanager
def changing(folder: Path) -> Iterator["LibraryWriter"]:
    """Hold the library's lock and change it; it is made where there is none.

    Waits for whoever holds the lock. Raises LibraryError, and OutputError where nothing can be written.
    """
    with ExitStack() as held:
        with _told(folder):
            held.enter_context(locked(folder))
            connection = connect_to_write(folder)
            held.callback(_close, connection)
            writer = LibraryWriter(folder, connection)
            writer.remove_leftovers()
        yield writer


def _close(connection: sqlite3.Connection) -> None:
    """With all changes in the one file, so that the folder can be copied, or read where it cannot be written."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Full disks, missing permissions and damaged databases as the one line that says so."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(folder, reason, ROOM if _is_full(error) else ELSEWHERE) from error
    except sqlite3.OperationalError as error:
        full = "full" in str(error) or "disk I/O" in str(error)
        raise OutputError(folder, str(error), ROOM if full else ELSEWHERE) from error
    except sqlite3.DatabaseError as error:
        raise damaged(folder, error) from error


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class LibraryWriter:
    """What can be done to a library; `changing` makes it. Every method is one transaction."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self.connection = folder, connection

    def encoders(self) -> dict[str, StoredEncoder]:
        """Name -> encoder."""
        return read_encoders(self.connection)

    def videos(self) -> list[StoredVideo]:
        """All files, by path."""
        return list(read_videos(self.connection))

    def runs(self, video: int) -> dict[int, Run]:
        """Encoder's id -> where the video's rows are."""
        return runs_of(self.connection, video)

    def encoders_of_videos(self) -> dict[int, frozenset[str]]:
        """Video's id -> names of the encoders that it has rows of."""
        found: dict[int, set[str]] = {}
        names = {one.id: name for name, one in self.encoders().items()}
        for video, encoder in self.connection.execute("SELECT video, encoder FROM runs"):
            found.setdefault(video, set()).add(names[encoder])
        return {video: frozenset(encoders) for video, encoders in found.items()}

    def texts(self) -> dict[tuple[int, str], list[Text]]:
        """(video, source) -> what it says."""
        stored: dict[tuple[int, str], list[Text]] = {}
        rows = self.connection.execute("SELECT video, source, start_s, end_s, text FROM texts ORDER BY id")
        for video, source, *text in rows:
            stored.setdefault((video, source), []).append((text[0], text[1], text[2]))
        return stored

    def add_encoder(self, manifest: Manifest) -> StoredEncoder:
        """The encoder's place in the library. Raises LibraryError when its rows there were made otherwise."""
        check_encoder(self.folder, self.encoders().get(manifest.encoder), manifest)
        with self._transaction():
            known = self.encoders()
            if manifest.encoder not in known:
                file = encoder_file(manifest.encoder, {one.file for one in known.values()})
                values = (manifest.encoder, manifest.model_dump_json(), manifest.weights, manifest.dim)
                self.connection.execute(
                    "INSERT INTO encoders (name, manifest, weights, dim, clip_s, file) VALUES (?, ?, ?, ?, ?, ?)",
                    (*values, manifest.clip_s, file),
                )
        return self.encoders()[manifest.encoder]

    def take_in(self, videos: Sequence[NewVideo]) -> None:
        """Add videos, or renew those whose path is there; rows that are there already are not written again.

        What a library holds of another state of the same file goes. Raises FeaturesMismatch for rows of another width.
        """
        with self._transaction():
            encoders, wanted = self.encoders(), [(self._put(one.file, one.duration_s, None), one) for one in videos]
            for name in {name: None for one in videos for name in one.rows}:
                encoder, parts, runs = encoders[name], [], []
                first, there = encoder.n_rows, self._with_rows(encoder, [id_ for id_, _ in wanted])
                for id_, one in wanted:
                    rows = one.rows.get(name)
                    if rows is None or id_ in there:
                        continue
                    there.add(id_)
                    if rows.ndim != 2 or rows.shape[1] != encoder.dim or not len(rows):
                        raise FeaturesMismatch(
                            f"{one.file.path}: rows of {name} are {rows.shape}, not (n, {encoder.dim})"
                        )
                    row_s = row_length_s(len(rows), one.duration_s, encoder.clip_s)
                    runs.append((id_, encoder.id, first, len(rows), row_s))
                    parts.append(rows)
                    first += len(rows)
                self._append(encoder, parts, runs)

    def copy(self, source: StoredVideo, to: FileState) -> bool:
        """Add a copy of a video that is there, with rows of its own; False when it is there no more, or another."""
        now = videos_by_id(self.connection, [source.id]).get(source.id)
        if now is None or now.digest != to.digest or now.problem is not None:
            return False
        with self._transaction():
            id_ = self._put(to, source.duration_s, source.problem)
            there = self.runs(id_)
            for encoder in self.encoders().values():
                run = self.runs(source.id).get(encoder.id)
                if run is None or encoder.id in there:
                    continue
                found = matrix.open_matrix(self.folder, encoder.file, encoder.n_rows, encoder.dim)
                rows = found.rows[run.first_row : run.first_row + run.n_rows]
                self._append(encoder, [rows], [(id_, encoder.id, encoder.n_rows, run.n_rows, run.row_s)])
        return True

    def note_problem(self, file: FileState, problem: str) -> None:
        """Keep in mind that a video cannot be read; rows of a file that was there before go."""
        with self._transaction():
            id_ = self._put(file, None, problem)
            self.connection.execute("DELETE FROM runs WHERE video = ?", (id_,))

    def restate(self, video: StoredVideo, file: FileState) -> None:
        """The same video at another path, or at another time; its rows stay. What stood at that path goes."""
        values = (stored_path(file.path), stored_path(Path(file.path.name)), file.size, file.mtime_ns, file.digest)
        with self._transaction():
            self.connection.execute("DELETE FROM videos WHERE path = ? AND id <> ?", (values[0], video.id))
            self.connection.execute(
                "UPDATE videos SET path = ?, name = ?, size = ?, mtime_ns = ?, digest = ? WHERE id = ?",
                (*values, video.id),
            )

    def drop(self, ids: Sequence[int]) -> None:
        """Take videos out; their rows become holes."""
        with self._transaction():
            for i in range(0, len(ids), MOST_VALUES):
                part = ids[i : i + MOST_VALUES]
                self.connection.execute(f"DELETE FROM videos WHERE id IN ({', '.join('?' * len(part))})", part)

    def drop_encoder(self, name: str) -> None:
        """Take out all rows of an encoder."""
        encoder = self.encoders()[name]
        with self._transaction():
            self.connection.execute("DELETE FROM runs WHERE encoder = ?", (encoder.id,))
            self.connection.execute("DELETE FROM encoders WHERE id = ?", (encoder.id,))
            self.connection.execute("INSERT OR IGNORE INTO leftovers VALUES (?)", (encoder.file,))
        self.remove_leftovers()

    def replace_texts(self, changes: Mapping[tuple[int, str], Sequence[Text]]) -> None:
        """Replace what sources (`subtitles`, say) say of videos: (video, source) -> texts."""
        with self._transaction():
            for (video, source), texts in changes.items():
                self.connection.execute("DELETE FROM texts WHERE video = ? AND source = ?", (video, source))
                self.connection.executemany(
                    "INSERT INTO texts (video, source, start_s, end_s, text) VALUES (?, ?, ?, ?, ?)",
                    [(video, source, *text) for text in texts],
                )

    def compact(
        self,
        report: Callable[[int, int | None], None] = lambda done, total: None,
        *,
        rebuild: bool = False,  # noqa: ARG002  # there is no index
    ) -> int:
        """Close the holes of all matrices, or change nothing; returns how many rows they had. Needs room for a copy."""
        plans = []
        taken = {encoder.file for encoder in self.encoders().values()}
        for encoder in self.encoders().values():
            rows = self.connection.execute(
                "SELECT video, first_row, n_rows, row_s FROM runs WHERE encoder = ? ORDER BY first_row", (encoder.id,)
            )
            runs = [Run(*row) for row in rows]
            if (n_live := sum(run.n_rows for run in runs)) < encoder.n_rows:
                plans.append((encoder, next_file(encoder.file, taken), runs, n_live))
                taken.add(plans[-1][1])
        with self._transaction():
            self.connection.executemany("INSERT OR IGNORE INTO leftovers VALUES (?)", [(plan[1],) for plan in plans])
        done, total = 0, sum(plan[3] for plan in plans)
        for encoder, file, runs, _ in plans:
            with _told(self.folder):
                for n_rows in matrix.copy_runs(self.folder, encoder.file, file, encoder.n_rows, encoder.dim, runs):
                    done += n_rows
                    report(done, total)
        with self._transaction():
            for encoder, file, runs, n_live in plans:
                self._renumber(encoder, file, runs, n_live)
        self.remove_leftovers()
        return sum(plan[0].n_rows - plan[3] for plan in plans)

    def remove_leftovers(self) -> None:
        """Remove matrices that nothing names any more."""
        for (file,) in self.connection.execute("SELECT file FROM leftovers").fetchall():
            with _told(self.folder):
                for ending in (matrix.ROWS, matrix.NORMS):
                    (self.folder / f"{file}{ending}").unlink(missing_ok=True)
            with self._transaction():
                self.connection.execute("DELETE FROM leftovers WHERE file = ?", (file,))

    def _with_rows(self, encoder: StoredEncoder, videos: Sequence[int]) -> set[int]:
        """Those of the videos that have rows of the encoder."""
        question = "SELECT 1 FROM runs WHERE encoder = ? AND video = ?"
        return {one for one in videos if self.connection.execute(question, (encoder.id, one)).fetchone()}

    def _renumber(self, encoder: StoredEncoder, file: str, runs: Sequence[Run], n_live: int) -> None:
        first = 0
        for run in runs:
            self.connection.execute(
                "UPDATE runs SET first_row = ? WHERE encoder = ? AND video = ?", (first, encoder.id, run.video)
            )
            first += run.n_rows
        self.connection.execute("UPDATE encoders SET file = ?, n_rows = ? WHERE id = ?", (file, n_live, encoder.id))
        self.connection.execute("INSERT OR IGNORE INTO leftovers VALUES (?)", (encoder.file,))
        self.connection.execute("DELETE FROM leftovers WHERE file = ?", (file,))

    def _append(
        self, encoder: StoredEncoder, parts: Sequence[Half], runs: Sequence[tuple[int, int, int, int, float]]
    ) -> None:
        """Rows onto the disk, and what makes them exist into the transaction."""
        if not parts:
            return
        n_rows = matrix.append(self.folder, encoder.file, encoder.n_rows, encoder.dim, parts)
        self.connection.executemany(
            "INSERT INTO runs (video, encoder, first_row, n_rows, row_s) VALUES (?, ?, ?, ?, ?)", runs
        )
        self.connection.execute("UPDATE encoders SET n_rows = ? WHERE id = ?", (n_rows, encoder.id))

    def _put(self, file: FileState, duration_s: float | None, problem: str | None) -> int:
        """The file's row, made or brought up to date; whatever was known of another state of the file goes."""
        path = stored_path(file.path)
        state = (file.size, file.mtime_ns, file.digest)
        known = self.connection.execute(
            "SELECT id, size, mtime_ns, digest FROM videos WHERE path = ?", (path,)
        ).fetchone()
        if known is None:
            made = self.connection.execute(
                "INSERT INTO videos (path, name, size, mtime_ns, digest, duration_s, problem, added_s) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (path, stored_path(Path(file.path.name)), *state, duration_s, problem, time.time()),
            )
            assert made.lastrowid is not None
            return made.lastrowid
        id_, *before = known
        if tuple(before) != state:
            self.connection.execute("DELETE FROM runs WHERE video = ?", (id_,))
            self.connection.execute("DELETE FROM texts WHERE video = ?", (id_,))
        self.connection.execute(
            "UPDATE videos SET size = ?, mtime_ns = ?, digest = ?, duration_s = ?, problem = ? WHERE id = ?",
            (*state, duration_s, problem, id_),
        )
        return int(id_)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told(self.folder):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise


def check_encoder(folder: Path | str, stored: StoredEncoder | None, manifest: Manifest) -> None:
    """Raise LibraryError when a library's rows of an encoder were made otherwise: rows would not be comparable."""
    if stored is None or stored.manifest == manifest:
        return
    old, new = (json.loads(one.model_dump_json()) for one in (stored.manifest, manifest))
    seen = ", ".join(f"{name} {_short(old[name])} (now {_short(new[name])})" for name in old if old[name] != new[name])
    command = command_line("spikemba", "library", "drop", "--encoder", stored.name, "--library", folder)
    cure = f"index into another folder with --library, or run `{command}` to begin anew"
    raise LibraryError(folder, f"its rows of {stored.name} were made otherwise: {seen}", cure)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:12]


__all__ = ["FileState", "LibraryWriter", "NewVideo", "changing", "check_encoder", "videos_by_id"]
