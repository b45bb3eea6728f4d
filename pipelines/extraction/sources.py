"""Which file each identifier's features were made from: lines of JSON beside the features, one per encoded video.

Camera cards repeat names. Without this, the clip of a second card that is encoded into the same folder would pass for
done, with the features of the first.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from spikemba.files import append_json

FILE = "videos.jsonl"


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
        if row.get("bytes") == _size(video) and not Path(str(row.get("video"))).is_file():
            return None  # the same file at another place
        return (
            f"{video}: features of {video_id!r} are there already, of {row.get('video')}; encode both folders in one "
            "command, or choose another folder with --out"
        )

    def changed(self, video_id: str, video: Path) -> bool:
        """Whether the file that was encoded has another size now."""
        row = self._rows.get(video_id)
        return row is not None and row.get("video") == str(video.resolve()) and row.get("bytes") != _size(video)

    def add(self, video_id: str, video: Path) -> None:
        """Record what was encoded. Raises OutputError."""
        row: dict[str, Any] = {"id": video_id, "video": str(video.resolve()), "bytes": _size(video)}
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


def _size(video: Path) -> int | None:
    try:
        return video.stat().st_size
    except OSError:
        return None
