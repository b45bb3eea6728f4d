"""Videos that could not be read: a file of JSON lines beside the features, to which any number of processes append."""

import os
from pathlib import Path
from typing import Any

from spikemba.errors import OutputError
from spikemba.files import json_line, read_what_can_be

FILE = "failures.jsonl"


class Failures:
    """What failed below one folder of features. A later row replaces an earlier one of the same video."""

    def __init__(self, out: Path) -> None:
        """A line that is damaged counts as none: its video is tried again. Raises AnnotationError."""
        self.path = out / FILE
        rows = read_what_can_be(self.path) if self.path.is_file() else []
        self._rows = {str(row.get("video")): row for row in rows}

    def known(self, video: Path) -> str | None:
        """Why the video failed before, if it did and has not changed since."""
        row = self._rows.get(str(video.resolve()))
        return str(row.get("problem")) if row and row.get("state") == _state(video) else None

    def add(self, video: Path, problem: str) -> None:
        """Record a failure. Raises OutputError."""
        row = {"video": str(video.resolve()), "problem": problem, "state": _state(video)}
        self._rows[str(row["video"])] = row
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # one write to a file opened for appending: lines of several processes do not mix
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, (_line_end_before(handle) + json_line(row)).encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise OutputError(self.path, (error.strerror or str(error)).lower()) from error


def _line_end_before(handle: int) -> str:
    """What a killed process began to write is ended, so that the next row has a line of its own."""
    size = os.fstat(handle).st_size
    return "\n" if size and os.pread(handle, 1, size - 1) != b"\n" else ""


def _state(video: Path) -> list[Any] | None:
    """Changes when the file does."""
    try:
        status = video.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
