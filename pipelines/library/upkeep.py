"""Looking after a library: what is in it, whether it is whole, closing holes, taking things out."""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.library.staging import INCOMING, staged
from spikemba.encoders.base import folder_name
from spikemba.errors import LibraryError, UnknownName, command_line
from spikemba.library.address import Address, library_address
from spikemba.library.forms import changing, form_of, open_library
from spikemba.library.lance.reader import LanceLibrary
from spikemba.library.matrix import NORMS, ROWS, Matrix, norms_of
from spikemba.library.reader import Library, mended_by
from spikemba.library.rows import Run, StoredEncoder
from spikemba.library.schema import damaged as database_damaged
from spikemba.progress import Report, silent
from spikemba.video.folders import absolute

if TYPE_CHECKING:
    from spikemba.library.lance.check import Recall
    from spikemba.library.lance.vector_index import IndexSettings

CHECKED_ROWS = 16_384
"""Rows that are looked at together."""
MOST_FAULTS = 100
"""Faults of a database after which SQLite looks for no more."""


@dataclass(frozen=True)
class EncoderInfo:
    """An encoder's part of a library."""

    encoder: StoredEncoder
    n_videos: int
    n_clips: int
    """Rows that belong to videos."""
    n_bytes: int

    index: str = ""
    """Of a library of LanceDB: its type, and how many clips are not in it."""

    @property
    def n_holes(self) -> int:
        """Rows of videos that were dropped or changed."""
        return self.encoder.n_rows - self.n_clips


@dataclass(frozen=True)
class LibraryInfo:
    """What is in a library."""

    folder: Address
    encoders: list[EncoderInfo]
    n_videos: int
    broken: dict[Path, str]
    """Videos that could not be read, and why."""
    copies: list[list[Path]]
    """Videos that are copies of each other."""
    n_incoming: int
    """Features that were not taken in yet."""

    def to_dict(self) -> dict[str, Any]:
        """What `library info --json` prints."""
        encoders = [
            {
                "encoder": one.encoder.name,
                **{name: getattr(one.encoder.manifest, name) for name in ("weights", "frames", "clip_s", "dim")},
                **{"videos": one.n_videos, "clips": one.n_clips, "holes": one.n_holes, "bytes": one.n_bytes},
            }
            for one in self.encoders
        ]
        broken = {str(path): problem for path, problem in self.broken.items()}
        copies = [list(map(str, group)) for group in self.copies]
        counts = {"videos": self.n_videos, "incoming": self.n_incoming}
        return {"library": str(self.folder), "encoders": encoders, **counts, "broken": broken, "copies": copies}


def library_info(folder: Path | str) -> LibraryInfo:
    """Count what is there. Raises LibraryError."""
    place = library_address(folder)
    with open_library(place) as library:
        videos, encoders = library.videos(broken=True), []
        by_digest: dict[str, list[Path]] = {}
        for one in videos:
            by_digest.setdefault(one.digest, []).append(one.path)
        with library.reading() as connection:
            for encoder in library.encoders().values():
                question = "SELECT count(*), coalesce(sum(n_rows), 0) FROM runs WHERE encoder = ?"
                n_videos, n_clips = connection.execute(question, (encoder.id,)).fetchone()
                encoders.append(EncoderInfo(encoder, n_videos, n_clips, *_size_and_index(library, encoder)))
    incoming = Path(place) / INCOMING if form_of(place) == "local" else staged(place)
    return LibraryInfo(
        place,
        encoders,
        sum(one.problem is None for one in videos),
        {one.path: one.problem for one in videos if one.problem is not None},
        [group for group in by_digest.values() if len(group) > 1],
        sum(1 for _ in incoming.rglob("[!.]*.npz")),
    )


def _size_and_index(library: Library, encoder: StoredEncoder) -> tuple[int, str]:
    """Bytes of an encoder's rows, and what index they have."""
    if form_of(library.folder) == "local":
        files = [Path(library.folder) / f"{encoder.file}{ending}" for ending in (ROWS, NORMS)]
        return sum(file.stat().st_size for file in files if file.exists()), ""
    from spikemba.library.lance.rows import row_bytes
    from spikemba.library.lance.vector_index import index_state

    assert isinstance(library, LanceLibrary)
    state = index_state(library.store.tables[encoder.file])
    return encoder.n_rows * row_bytes(encoder.dim), (f"{state.kind}, {state.n_left} beside" if state.kind else "none")


def check_library(folder: Path | str, report: Report = silent) -> list[str]:
    """What is wrong with a library's files; nothing, if all is well. Reads every row; report counts them.

    Where it can be written, what a killed process left undone is brought to its end first. Raises LibraryError when it
    cannot be opened at all.
    """
    return check_and_measure(folder, report)[0]


def check_and_measure(folder: Path | str, report: Report = silent) -> tuple[list[str], list["Recall"]]:
    """The same, and how much of the exact answers the indices of a library of LanceDB find."""
    found = _checked(library_address(folder), report)
    return found.faults, found.recalls


@dataclass
class _Checked:
    """What a reading of a whole library has shown."""

    faults: list[str] = field(default_factory=list)
    damaged: set[Path] = field(default_factory=set)
    """Videos whose rows are."""
    not_of_videos: list[str] = field(default_factory=list)
    """Those of the faults that taking videos out does not mend."""
    recalls: list["Recall"] = field(default_factory=list)
    """What the indices find."""

    def add(self, fault: str) -> None:
        """A fault that is no video's."""
        self.faults.append(fault)
        self.not_of_videos.append(fault)


def _checked(place: Address, report: Report) -> _Checked:
    if form_of(place) == "lance":
        from spikemba.library.lance.check import check

        with open_library(place) as library:
            assert isinstance(library, LanceLibrary)
            found = check(library, report)
            return _Checked(found.faults, _paths(library, found.videos), recalls=found.recalls)
    return _check_local(Path(place), report)


def _paths(library: Library, ids: set[int]) -> set[Path]:
    return {one.path for one in library.videos(broken=True) if one.id in ids}


def _check_local(folder: Path, report: Report) -> _Checked:
    Library.open(folder).close() if not os.access(folder, os.W_OK) else _settle(folder)
    found, damaged = _Checked(), set[int]()
    with Library.open(folder) as library:
        cure = mended_by(library)
        with library.reading() as connection:
            if said := _faults_of_database(connection):
                found.add(str(database_damaged(folder, said)))
        encoders = library.encoders().values()
        done, total = 0, sum(one.n_rows for one in encoders)
        for encoder in encoders:
            try:
                runs, matrix = library.runs(encoder.name), library.matrix(encoder.name)
            except LibraryError as error:
                found.add(str(error))
                continue
            for fault, video in _faults_of_runs(encoder, runs):
                found.faults.append(f"{fault}; {cure}")
                damaged.add(video)
            for fault, n, video in _faults_of_rows(encoder, runs, matrix):
                if fault:
                    found.faults.append(f"{fault}; {cure}")
                    damaged.add(video)
                done += n
                report(done, total)
        found.damaged = _paths(library, damaged)
        return found


def _faults_of_database(connection: sqlite3.Connection) -> str:
    """How many faults SQLite finds in its file, and the first of them; empty for none."""
    rows = connection.execute(f"PRAGMA quick_check({MOST_FAULTS})").fetchall()
    lines = [line.strip() for (text,) in rows for line in text.splitlines()]
    faults = [line for line in lines if line not in ("", "ok") and not line.startswith("*** in database")]
    if len(faults) < 2:
        return "".join(faults)
    n = f"{MOST_FAULTS} faults or more" if len(faults) >= MOST_FAULTS else f"{len(faults)} faults"
    return f"{n}, the first: {faults[0]}"


def _settle(folder: Path) -> None:
    with changing(folder, make=False):
        pass


def _faults_of_runs(encoder: StoredEncoder, runs: list[Run]) -> list[tuple[str, int]]:
    """What is wrong, and with which video."""
    end, faults = 0, []
    for run in runs:
        if run.first_row < end or run.first_row + run.n_rows > encoder.n_rows:
            rows = f"rows {run.first_row} to {run.first_row + run.n_rows}"
            faults.append((f"{encoder.name}: {rows} belong to two videos", run.video))
        end = run.first_row + run.n_rows
    return faults


def _faults_of_rows(encoder: StoredEncoder, runs: list[Run], matrix: Matrix) -> Iterator[tuple[str, int, int]]:
    """What is wrong with some rows, how many were looked at, and whose they are."""
    for run in runs:
        for first in range(run.first_row, run.first_row + run.n_rows, CHECKED_ROWS):
            last = min(first + CHECKED_ROWS, run.first_row + run.n_rows)
            with np.errstate(invalid="ignore", over="ignore"):
                fine = np.isclose(norms_of(matrix.rows[first:last]), matrix.norms[first:last], rtol=1e-4)
            bad = "" if fine.all() else f"{encoder.name}: {int((~fine).sum())} rows of video {run.video} are damaged"
            matrix.let_go(first, last)
            yield bad, last - first, run.video


def compact_library(folder: Path | str, report: Report = silent, *, rebuild: bool = False) -> tuple[int, int]:
    """Close the holes; returns rows and bytes that were freed. Raises LibraryError, OutputError.

    Of a library of LanceDB the index is brought up to date, too; rebuild: made anew.
    """
    width = 2 if form_of(library_address(folder)) == "local" else 4
    with changing(folder, make=False) as writer:
        before = {name: (one.n_rows, one.dim) for name, one in writer.encoders().items()}
        n_rows = writer.compact(report, rebuild=rebuild)
        freed = sum((before[name][0] - one.n_rows) * (width * one.dim + 4) for name, one in writer.encoders().items())
    return n_rows, freed


def tune_library(folder: Path | str, encoder: str, **settings: Any) -> "IndexSettings":
    """Keep how the index of an encoder is made and asked; what is None stays. Raises UnknownName, LibraryError."""
    place = library_address(folder)
    if form_of(place) != "lance":
        open_library(place).close()
        raise LibraryError(place, "every clip is compared exactly; it has no index", "there is nothing to tune")
    from spikemba.library.lance.writer import changing_lance

    with changing_lance(place, make=False) as writer:
        if encoder not in writer.encoders():
            raise UnknownName(f"encoder of library {place}", encoder, list(writer.encoders()))
        now = writer.store.settings(writer.encoders()[encoder].file)
        wanted = replace(now, **{name: value for name, value in settings.items() if value is not None})
        writer.tune(encoder, wanted)
    return wanted


def drop_encoder(folder: Path | str, name: str) -> None:
    """Take an encoder's rows out, and what waits for them. Raises UnknownName, LibraryError."""
    place = library_address(folder)
    with changing(folder, make=False) as writer:
        if name not in writer.encoders():
            raise UnknownName(f"encoder of library {folder}", name, list(writer.encoders()))
        writer.drop_encoder(name)
        if form_of(place) == "local":
            rmtree(Path(place) / INCOMING / folder_name(name), ignore_errors=True)


def drop_below(folder: Path | str, below: Path) -> list[Path]:
    """Take out the video of a path, or all below a folder, there or not. Raises LibraryError when there is none."""
    place = absolute(below)
    with changing(folder, make=False) as writer:
        found = [one for one in writer.videos() if one.path == place or place in one.path.parents]
        if not found:
            cure = f"`{command_line('spikemba', 'library', 'info', '--library', folder)}` says what it has"
            raise LibraryError(folder, f"it has no video below {place}", cure)
        writer.drop([one.id for one in found])
    return [one.path for one in found]


def drop_damaged(folder: Path | str, report: Report = silent) -> tuple[list[Path], list[str]]:
    """Take out the videos whose rows are damaged, and those that share them, for an indexing to make them anew.

    Returns them, and the faults that this does not mend, each with the command that does. Reads every row; report
    counts them. Raises LibraryError.
    """
    checked = _checked(library_address(folder), report)
    if not checked.damaged:
        return [], checked.not_of_videos
    with changing(folder, make=False) as writer:
        found = [one for one in writer.videos() if one.path in checked.damaged]
        writer.drop([one.id for one in found])
    return [one.path for one in found], checked.not_of_videos
