"""Which file each identifier's features were made from: lines of JSON beside the features, one per encoded video.

Camera cards repeat names. Without this, the clip of a second card that is encoded into the same folder would pass for
done, with the features of the first.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from spikemba.files import append_json, file_state

FILE = "videos.jsonl"
SAMPLE_BYTES = 65536
"""Read at three places of a file to tell whether it is the same."""


class Sources:
    """What was encoded below one folder of features. A later row replaces an earlier one of the same identifier."""

    def __init__(self, out: Path) -> None:
        """Folders of earlier releases have no such file, and nothing is known of their videos."""
        self.path = out / FILE
        self._rows = {str(row.get("id")): row for row in _readable(self.path)}

    def other(self, video_id: str, video: Path) -> str | None:
        """What to say when the identifier stands for the features of another file, as far as that can be known."""
        row = self._rows.get(video_id)
        if row is None or row.get("video") == str(video.resolve()):
            return None
        if not _differs(row, video) and not Path(str(row.get("video"))).is_file():
            return None  # the same file at another place
        return (
            f"{video}: features of {video_id!r} are there already, of {row.get('video')}; encode both folders in one "
            "command, or choose another folder with --out"
        )

    def changed(self, video_id: str, video: Path) -> bool:
        """Whether the file that was encoded is another one now."""
        row = self._rows.get(video_id)
        return row is not None and row.get("video") == str(video.resolve()) and _differs(row, video)

    def add(self, video_id: str, video: Path) -> None:
        """Record what was encoded. Raises OutputError."""
        row: dict[str, Any] = {"id": video_id, "video": str(video.resolve()), "bytes": _size(video)}
        row |= {"state": _state(video), "sample": _sample(video)}
        if self._rows.get(video_id) != row:
            self._rows[video_id] = row
            append_json(self.path, row)


def _readable(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the file; what a killed process left half written counts as none."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return
    for line in lines:
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                yield row


def _differs(row: dict[str, Any], video: Path) -> bool:
    """Whether a file is another one than that of a row. Rows of earlier releases tell no more than its size."""
    if row.get("bytes") != _size(video):
        return True
    if row.get("sample") is None or row.get("state") == _state(video):
        return False  # a file that nobody touched is not opened
    return bool(row["sample"] != _sample(video))


def _state(video: Path) -> list[int] | None:
    """Changes when the file does; also when it is copied or touched, which changes nothing of what it shows."""
    try:
        return list(file_state(video.stat()))
    except OSError:
        return None


def _sample(video: Path) -> str | None:
    """A digest of a file's beginning, middle and end."""
    try:
        with video.open("rb") as file:
            size, digest = file.seek(0, os.SEEK_END), hashlib.sha256()
            for at in (0, (size - SAMPLE_BYTES) // 2, size - SAMPLE_BYTES):
                file.seek(max(0, at))
                digest.update(file.read(SAMPLE_BYTES))
    except OSError:
        return None
    return digest.hexdigest()[:32]


def _size(video: Path) -> int | None:
    try:
        return video.stat().st_size
    except OSError:
        return None
