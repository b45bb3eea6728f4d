"""The videos that are served: those of some folders, each under an id that says nothing of where it lies.

An id is one segment of an address, `kitchen-3f2a9c0d1e4b`: letters of the file's name that need no escape, then a
digest of its absolute path. So it means the same file however the folder changes around it, and a path cannot be made
from it: an id is looked up among the listed videos, and nothing else is ever opened.

`search` follows links, since a person's own folders may be put together by them. Here a file is listed only where its
real path lies inside the real path of a served folder, or it was named itself: what others can put into a folder leads
them nowhere else.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.serving.faults import NotThere
from spikemba.errors import VideoError
from spikemba.reading.printable import printable
from spikemba.video.folders import FoundVideo, absolute, search
from spikemba.video.names import shown_name, video_ids

FRESH_S = 2.0
"""Seconds for which a listing is taken as it is."""


@dataclass(frozen=True)
class ServedVideo:
    """A file that may be looked at."""

    id: str
    name: str
    """As it is shown: the file's name, with the folders that tell it from others."""
    folder: str
    """Below the served one; empty at its top, and for a file that was named itself."""
    video_id: str
    """As annotations and corrections call it, see `spikemba.video.names`."""
    path: Path
    """As it is reached from what was given."""
    size_bytes: int
    changed: float
    """Seconds since 1970."""

    def told(self, problem: object) -> str:
        """A fault's line with the video's name in place of its path."""
        return str(problem).replace(str(self.path), self.name)

    def fault(self, error: VideoError) -> VideoError:
        """A fault of this video, with its name in place of its path."""
        return VideoError(self.name, self.told(error).removeprefix(f"{self.name}: "))


class ServedVideos:
    """Folders and files that are served; threads may ask at once."""

    def __init__(self, paths: Sequence[Path], growing: Sequence[Path] = ()) -> None:
        """growing: folders that may be empty yet. Raises VideoError for a path without videos."""
        if paths:
            search(paths)
        self._paths = [*paths, *growing]
        self._folders = [(absolute(path), Path(os.path.realpath(path))) for path in self._paths if not path.is_file()]
        self._named = {absolute(path) for path in self._paths if path.is_file()}
        self._lock = threading.Lock()
        self._listed: dict[str, ServedVideo] = {}
        self._listed_at = -FRESH_S
        self.all()

    def all(self, *, anew: bool = False) -> list[ServedVideo]:
        """The videos by name. anew: look at the folders even where that was done just now."""
        with self._lock:
            if anew or time.monotonic() - self._listed_at >= FRESH_S:
                self._listed = {one.id: one for one in self._look()}
                self._listed_at = time.monotonic()
            return list(self._listed.values())

    def get(self, video_id: str) -> ServedVideo:
        """The video of an id, which is still there. Raises NotThere."""
        found = self._listed.get(video_id)
        if found is None:
            self.all()
            found = self._listed.get(video_id)
        if found is None or not self._may_be_served(found.path):
            raise NotThere(f"no video has the id {printable(video_id)[:100]!r}; GET /api/videos lists them")
        return found

    def roots(self) -> list[Path]:
        """The served folders, and the files that were named."""
        return list(self._paths)

    def _look(self) -> list[ServedVideo]:
        found: dict[Path, FoundVideo] = {}
        for path in self._paths:
            try:
                found |= {absolute(one.path): one for one in search([path]) if self._may_be_served(one.path)}
            except VideoError:  # a folder that is empty now
                continue
        names = video_ids(sorted(found.values(), key=lambda one: one.path))
        served = (self._served(name, path) for name, path in names.items())
        return sorted((one for one in served if one is not None), key=lambda one: (one.name.casefold(), one.id))

    def _served(self, name: str, path: Path) -> ServedVideo | None:
        try:
            status = path.stat()
        except OSError:
            return None
        return ServedVideo(
            id=_id_of(path),
            name=printable(shown_name(path, name)),
            folder=printable(self._folder_of(path)),
            video_id=name,
            path=path,
            size_bytes=status.st_size,
            changed=status.st_mtime,
        )

    def _folder_of(self, path: Path) -> str:
        place = absolute(path).parent
        for folder, _ in self._folders:
            if place.is_relative_to(folder):
                below = place.relative_to(folder)
                return "" if below == Path() else below.as_posix()
        return ""

    def _may_be_served(self, path: Path) -> bool:
        """Whether a regular file is there that lies in a served folder, or was named itself."""
        try:
            if not path.is_file():
                return False
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            return False
        return absolute(path) in self._named or any(real.is_relative_to(folder) for _, folder in self._folders)


def _id_of(path: Path) -> str:
    letters = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:40].strip("-")
    return f"{letters or 'video'}-{hashlib.sha256(os.fsencode(absolute(path))).hexdigest()[:12]}"
