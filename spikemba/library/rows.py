"""What library.sqlite says of encoders, videos and where their rows are."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from spikemba.features import Manifest
from spikemba.library.schema import path_stored

Text = tuple[float | None, float | None, str]
"""From and to in seconds, None for the whole video, and what is said there."""

MOST_VALUES = 500
"""Values that one statement asks for; SQLite's builds take 999 or more."""


@dataclass(frozen=True)
class StoredEncoder:
    """One encoder's rows in a library."""

    id: int
    name: str
    manifest: Manifest
    """What made the rows: weights, frames, clip length."""
    file: str
    """Name of its matrix in the library's folder, without suffix; compacting gives it another."""
    n_rows: int
    """Rows that exist in the matrix, holes among them."""

    @property
    def dim(self) -> int:
        """F, numbers per row."""
        return self.manifest.dim

    @property
    def clip_s(self) -> float:
        """Seconds of video per row."""
        assert self.manifest.clip_s is not None
        return self.manifest.clip_s


@dataclass(frozen=True)
class StoredVideo:
    """One file of a library."""

    id: int
    path: Path
    """Absolute, as it was found; links stay what they are."""
    name: str
    """The file's name."""
    size: int
    """Bytes, and `mtime_ns`, when it was taken in; another file is there when they are others."""
    mtime_ns: int
    digest: str
    """Equal for copies of one file; see `digest.py`."""
    duration_s: float | None
    """None for a video that could not be read."""
    problem: str | None
    """Why it could not be read, if so."""

    def is_as_it_was(self, status: os.stat_result) -> bool:
        """Whether a file of that state is the one that was taken in, as far as size and time tell."""
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


class Run(NamedTuple):
    """Where a video's rows are in an encoder's matrix."""

    video: int
    first_row: int
    n_rows: int
    row_s: float
    """Seconds of video per row."""


VIDEO_COLUMNS = "id, path, name, size, mtime_ns, digest, duration_s, problem"


def read_encoders(connection: sqlite3.Connection) -> dict[str, StoredEncoder]:
    """Name -> encoder, in the order in which they were added."""
    rows = connection.execute("SELECT id, name, manifest, file, n_rows FROM encoders ORDER BY id")
    return {
        name: StoredEncoder(id_, name, Manifest.parse(json.loads(manifest), f"the manifest of {name}"), file, n_rows)
        for id_, name, manifest, file, n_rows in rows
    }


def read_videos(connection: sqlite3.Connection, where: str = "1", values: Sequence[Any] = ()) -> Iterator[StoredVideo]:
    """Videos by their path; `where` is a condition of ours, never a user's."""
    for row in connection.execute(f"SELECT {VIDEO_COLUMNS} FROM videos WHERE {where} ORDER BY path", values):
        yield video_of(row)


def video_of(row: Sequence[Any]) -> StoredVideo:
    """A row of VIDEO_COLUMNS."""
    id_, path, name, *rest = row
    return StoredVideo(id_, Path(path_stored(path)), path_stored(name), *rest)


def videos_by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, StoredVideo]:
    """Those of the videos that are there."""
    wanted = sorted(set(ids))
    found: dict[int, StoredVideo] = {}
    for i in range(0, len(wanted), MOST_VALUES):
        part = wanted[i : i + MOST_VALUES]
        marks = ", ".join("?" * len(part))
        found |= {one.id: one for one in read_videos(connection, f"id IN ({marks})", part)}
    return found


def runs_of(connection: sqlite3.Connection, video: int) -> dict[int, Run]:
    """Encoder's id -> where the video's rows are."""
    rows = connection.execute("SELECT encoder, video, first_row, n_rows, row_s FROM runs WHERE video = ?", (video,))
    return {encoder: Run(*run) for encoder, *run in rows}
