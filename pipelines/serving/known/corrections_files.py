"""The folder of corrections that a server writes: a file per person that only grows.

corrections/Ana.jsonl     what Ana said, in the order in which she said it
corrections/Ana.torn      the beginnings of lines whose writing was cut short; nobody was told that these were saved
corrections/.lock         held while a line is added, by whichever server adds it
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

from spikemba.datasets.corrections import (
    SUFFIX,
    Correction,
    Placed,
    checked_name,
    correction_files,
    latest,
    number_of,
    parse_corrections,
    same_name,
)
from spikemba.errors import AnnotationError, CorrectionError, OutputError, command_line
from spikemba.files import NotRegular, file_state, json_line, open_regular, read_regular
from spikemba.reading.trees import parse_json
from spikemba.reading.unreadable import Unreadable

_log = logging.getLogger("spikemba")
LARGEST_BYTES = 64 << 20
"""A file of corrections beyond it is neither read nor added to: it would hold a hundred thousand of one person."""
LONGEST_LINE = 1 << 20
"""Bytes of a line that is looked back for; the longest that `correction` lets through is shorter."""
_OWN_CURE = "take it out of the folder of corrections, or choose another folder with --corrections"
_CURE = "make room there, or choose another folder with --corrections"


@dataclass(frozen=True)
class _Read:
    """A file as it was when it was read."""

    stamp: tuple[int, int, int, int]
    rows: list[Placed]
    problems: list[str]


class Corrections:
    """Corrections in a folder, which several servers and several people may add to at once."""

    def __init__(self, folder: Path) -> None:
        """The folder is made with the first correction."""
        self.folder = folder
        self._lock = threading.Lock()
        self._read: dict[Path, _Read] = {}
        self._counted: tuple[list[_Read], list[Placed]] = [], []

    def append(self, said: Correction) -> dict[str, Any]:
        """Add a line to the person's file and return it; it is on the disk then.

        Somebody whose name differs from an earlier one in capitals alone, or in how an accent is written, is the same
        person. Raises CorrectionError, OutputError.
        """
        said = replace(said, by=checked_name(said.by))
        try:
            with self._locked():
                path = self._file_of(said.by)
                said = replace(said, by=path.name.removesuffix(SUFFIX))
                return _add(path, said)
        except NotRegular as error:
            named = Path(error.filename or self.folder).name
            raise OutputError(named, f"{error.strerror}, and only files are written", _OWN_CURE) from error
        except OSError as error:
            # clients on other machines are told this, whom the folder's place does not concern
            raise OutputError(self.folder.name, (error.strerror or str(error)).lower(), _CURE) from error

    def problems(self) -> list[str]:
        """Lines and files of the folder that cannot be read, each in a line; the others are read all the same."""
        return [problem for one in self._files() for problem in one.problems]

    def counting(self) -> list[Placed]:
        """The last row of each person about each video, by the name that it had, and query; the same list until a file
        changes.
        """
        files = self._files()
        with self._lock:
            if [*map(id, files)] != [*map(id, self._counted[0])]:
                self._counted = files, latest([row for one in files for row in one.rows])
            return self._counted[1]

    def _files(self) -> list[_Read]:
        """Every file, read anew where it has changed."""
        try:
            paths = correction_files(self.folder) if self.folder.is_dir() else []
        except AnnotationError:  # there is none yet
            paths = []
        with self._lock:
            self._read = {path: self._of(path) for path in paths}
            return list(self._read.values())

    def _of(self, path: Path) -> _Read:
        before = self._read.get(path)
        try:
            found = path.lstat()
            stamp = file_state(found)
            if before is not None and before.stamp == stamp:
                return before
        except OSError as error:
            return _Read((0, 0, 0, 0), [], [f"{path.name}: {(error.strerror or str(error)).lower()}"])
        try:
            if found.st_size > LARGEST_BYTES:
                return _Read(stamp, [], [_too_large(path)])
            rows, faults, notes = parse_corrections(path, read_regular(path))
        except OSError as error:
            rows, faults, notes = [], [], [f"{path.name}: {(error.strerror or str(error)).lower()}; it is not read"]
        problems = [*(f"{path.name} {fault}" for fault in faults), *notes]
        for problem in problems:
            _log.warning("corrections: %s", problem)
        return _Read(stamp, rows, problems)

    def _file_of(self, name: str) -> Path:
        """The person's file: one that is there under the same name, however it is written, or a new one."""
        wanted = same_name(name)
        same = sorted(
            path for path in self.folder.glob(f"*{SUFFIX}") if same_name(path.name.removesuffix(SUFFIX)) == wanted
        )
        if len(same) > 1:
            named = " and ".join(path.name for path in same)
            raise CorrectionError(f"{named} are both files of {name!r}; put their lines together in one of them")
        return same[0] if same else self.folder / f"{name}{SUFFIX}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder: no other thread or server adds to it. Where files cannot be locked, threads alone wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = open_regular(self.folder / ".lock", os.O_RDWR | os.O_CREAT)
        try:
            with _THREADS:
                if fcntl is not None:
                    fcntl.flock(handle, fcntl.LOCK_EX)
                yield
        finally:
            os.close(handle)


_THREADS = threading.Lock()
"""One line at a time in this process, whatever the folder: it takes milliseconds."""


def _add(path: Path, said: Correction) -> dict[str, Any]:
    """Write the line and wait until it is on the disk; a write that fails leaves the file as it was. Raises OSError."""
    handle = open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(handle).st_size
        if size > LARGEST_BYTES:
            raise CorrectionError(_too_large(path))
        last, torn = _end(handle, size)
        size = _mended(handle, path, size, torn)
        row = said.to_row(_number(last, handle, size) + 1)
        line = json_line(row).encode()
        try:
            if os.write(handle, line) != len(line):
                raise OSError(None, "the disk is full")
            os.fsync(handle)
            if size == 0:
                _sync_folder(path.parent)
        except OSError:
            os.ftruncate(handle, size)
            raise
        return row
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as lasting as what is in it, where folders can be synchronised."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _end(handle: int, size: int) -> tuple[bytes, bytes]:
    """The last whole line of a file, and what stands behind its end."""
    start = max(0, size - LONGEST_LINE)
    os.lseek(handle, start, os.SEEK_SET)
    content = b""
    while len(content) < size - start and (more := os.read(handle, size - start - len(content))):
        content += more
    whole, _, torn = content.rpartition(b"\n")
    return whole.rpartition(b"\n")[2], torn


def _mended(handle: int, path: Path, size: int, torn: bytes) -> int:
    """End a last line that has no end, or lay it aside where it is half a line; returns the file's size then."""
    if not torn:
        return size
    if torn.strip(b"\0 \r") and _object(torn) is not None:  # somebody's editor saves without a line end
        os.write(handle, b"\n")
        return size + 1
    aside = open_regular(
        path.with_name(path.name.removesuffix(SUFFIX) + ".torn"), os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    try:
        os.write(aside, torn + b"\n")
        os.fsync(aside)
    finally:
        os.close(aside)
    os.ftruncate(handle, size - len(torn))
    return size - len(torn)


def _number(last: bytes, handle: int, size: int) -> int:
    """The number of the last row, by its id; where that says none, how many lines there are."""
    if (number := number_of(_object(last) or {})) is not None:
        return number
    os.lseek(handle, 0, os.SEEK_SET)
    lines, left = 0, size
    while left > 0 and (content := os.read(handle, min(left, 1 << 20))):
        lines, left = lines + content.count(b"\n"), left - len(content)
    return lines


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = parse_json(line.decode("utf-8"))
    except (UnicodeDecodeError, Unreadable):
        return None
    return found if isinstance(found, dict) else None


def _too_large(path: Path) -> str:
    prepare = command_line("spikemba", "prepare", "custom", "--source", path, "--videos", "VIDEOS", "--out", "DIR")
    size = f"{path.name} has more than {LARGEST_BYTES >> 20} MiB; expected less"
    return f"{size}: train on it with `{prepare}`, and move it to another folder"
