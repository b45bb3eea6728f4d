"""The videos that are served: those of some folders, each under an id that says nothing of where it lies.

An id is one segment of an address, `kitchen-3f2a9c0d1e4b`: letters of the file's name that need no escape, then a
digest of its absolute path. So it means the same file however the folder changes around it, and a path cannot be made
from it: an id is looked up among the listed videos, and nothing else is ever opened.

`search` follows links, since a person's own folders may be put together by them. Here a file is listed only where its
real path lies inside the real path of a served folder, or it was named itself: what others can put into a folder leads
them nowhere else. A library's video is listed while it is the file that was taken in, by its size and time, and no link
below the folder that all of the library's videos have in common leads to it: whoever may write there can neither put
another file in its place nor, by a link that was taken in, have one shown that lies elsewhere.
"""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.serving.faults import NotThere
from spikemba.datasets.video_names import NamedVideos
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.library import StoredVideo
from spikemba.reading.printable import printable
from spikemba.video.folders import FoundVideo, absolute, common_folder, search
from spikemba.video.names import shown_name, video_ids

FRESH_S = 2.0
"""Seconds for which a listing is taken as it is."""
SHARE = 10
"""The folders are looked at for one part in as many of the time, at most."""
QUICK_S = 0.3
"""How long a look may take for somebody to wait for it; who asks during a longer one gets what was found before."""


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

    def __init__(
        self,
        paths: Sequence[Path],
        growing: Sequence[Path] = (),
        taken_in: Callable[[], Mapping[Path, StoredVideo]] | None = None,
    ) -> None:
        """growing: folders that may be empty yet.  taken_in: the videos of a library, by absolute path.

        Raises VideoError for a path without videos, what `taken_in` raises.
        """
        self._paths = [*paths, *growing]
        self._folders = [(absolute(path), Path(os.path.realpath(path))) for path in self._paths if not path.is_file()]
        self._named = {absolute(path) for path in self._paths if path.is_file()}
        self._lock, self._looking = threading.Lock(), threading.Event()
        """Held for moments alone; set while nobody looks at the folders."""
        self._found: dict[Path, FoundVideo] = {}
        self._added: dict[Path, FoundVideo] = {}
        """Files that were added while somebody looked, who may have passed their folder already."""
        self._listed: dict[str, ServedVideo] = {}
        self._named_videos: tuple[dict[str, ServedVideo], NamedVideos] | None = None
        self._taken_in, self._taken = taken_in, _Taken.of({})
        self._tops = [absolute(path) if path.is_dir() else absolute(path).parent for path in self._paths]
        self.top = Path()
        """The folder that all of them lie below."""
        self._due_at, self._took_s = 0.0, 0.0
        self._look(must_have=len(paths))

    def all(self) -> list[ServedVideo]:
        """The videos by name, as they were found a while ago: see FRESH_S and SHARE. Takes QUICK_S at most."""
        with self._lock:
            if self._looking.is_set() and time.monotonic() >= self._due_at:
                self._looking.clear()
                threading.Thread(target=self._look, daemon=True, name="look at folders").start()
            worth_it = self._took_s < QUICK_S
        if worth_it:
            self._looking.wait(QUICK_S)
        return list(self._listed.values())

    def get(self, video_id: str) -> ServedVideo:
        """The video of an id, which is still there. Raises NotThere."""
        found = self._listed.get(video_id)
        if found is None:
            self.all()
            found = self._listed.get(video_id)
        if found is None or not self.may_be_served(found.path):
            raise NotThere(f"no video has the id {printable(video_id)[:100]!r}; GET /api/videos lists them")
        return found

    def add(self, path: Path) -> ServedVideo | None:
        """A new file, which is listed from now on; None where it may not be served."""
        place = absolute(path)
        folder = next((folder for folder, _ in self._folders if place.is_relative_to(folder)), None)
        if folder is None or not self.may_be_served(path):
            return None
        new = FoundVideo(path, len(place.relative_to(folder).parts) - 1)
        with self._lock:
            self._added[place] = new
            self._insert(place, new)
        return self._listed.get(_id_of(path))

    def named(self) -> NamedVideos:
        """The videos as annotations and corrections name them; the same object until the listing changes."""
        with self._lock:
            listed, known = self._listed, self._named_videos
            if known is None or known[0] is not listed:
                found = {absolute(one.path): self._found[absolute(one.path)] for one in listed.values()}
                ids = {one.video_id: one.path for one in listed.values()}
                self._named_videos = known = listed, NamedVideos.listed(self.top, found, ids)
            return known[1]

    def of_path(self, path: Path) -> ServedVideo | None:
        """The video that a path leads to, as it stands in the listing."""
        return self._listed.get(_id_of(path))

    def _look(self, must_have: int = 0) -> None:
        """Find the videos anew.  must_have: how many of the first paths must hold some. Raises VideoError."""
        begun = time.monotonic()
        with self._lock:
            self._added = {}
        try:
            found: dict[Path, FoundVideo] = {}
            for number, path in enumerate(self._paths):
                try:
                    found |= {absolute(one.path): one for one in search([path]) if self.may_be_served(one.path)}
                except VideoError:
                    if number < must_have:
                        raise
            self._look_into_library(found)
            listed = self._list(found, self._listed)
            with self._lock:
                if found != self._found or listed != self._listed:
                    self._found, self._listed = found, listed
                for place, new in self._added.items():
                    if place not in found and self.may_be_served(new.path):
                        self._insert(place, new)
        finally:
            self._took_s = time.monotonic() - begun
            self._due_at = time.monotonic() + max(FRESH_S, SHARE * self._took_s)
            self._looking.set()

    def _look_into_library(self, found: dict[Path, FoundVideo]) -> None:
        """Add its videos; where it cannot be read now, those of before."""
        tops = self._tops
        if self._taken_in is not None:
            try:
                videos = self._taken_in()
            except SpikeMbaError:  # whoever searches it is told
                videos = self._taken.videos
            self._taken = _Taken.of(videos)
            for path in videos:
                if path not in found and self.may_be_served(path):
                    found[path] = FoundVideo(path, len(path.relative_to(self._taken.top).parts) - 1)
            tops = [*tops, self._taken.top] if videos else tops
        self.top = Path(os.path.commonpath(tops)) if tops else Path()

    def _list(self, found: dict[Path, FoundVideo], before: dict[str, ServedVideo]) -> dict[str, ServedVideo]:
        """The videos by id, in the order of their names.  before: as they were; most are the same."""
        known = {one.path: one for one in before.values()}
        names = video_ids(sorted(found.values(), key=lambda one: one.path))
        served = (self._served(name, path, known.get(path)) for name, path in names.items())
        return _in_order(one for one in served if one is not None)

    def _insert(self, place: Path, new: FoundVideo) -> None:
        """List one file more; only files of its name can be called otherwise by that."""
        found = self._found | {place: new}
        alike = {place: one for place, one in found.items() if place.stem == new.path.stem}
        self._found, self._listed = found, _in_order((self._listed | self._list(alike, self._listed)).values())

    def _served(self, name: str, path: Path, before: ServedVideo | None) -> ServedVideo | None:
        try:
            status = path.stat()
        except OSError:
            return None
        if before is not None and before.video_id == name:
            same = (before.size_bytes, before.changed) == (status.st_size, status.st_mtime)
            return before if same else replace(before, size_bytes=status.st_size, changed=status.st_mtime)
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
        for folder in (*(folder for folder, _ in self._folders), self._taken.top):
            if folder != Path() and place.is_relative_to(folder):
                below = place.relative_to(folder)
                return "" if below == Path() else below.as_posix()
        return ""

    def may_be_served(self, path: Path) -> bool:
        """Whether a regular file is there that lies in a served folder, was named itself, or is the library's."""
        try:
            if not path.is_file():
                return False
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):
            return False
        if absolute(path) in self._named or any(real.is_relative_to(folder) for _, folder in self._folders):
            return True
        return self._taken.has(absolute(path), real)


@dataclass(frozen=True)
class _Taken:
    """A library's videos."""

    videos: Mapping[Path, StoredVideo]
    top: Path
    """The folder that all of them lie below."""
    real_top: Path
    """The same without links."""

    @classmethod
    def of(cls, videos: Mapping[Path, StoredVideo]) -> "_Taken":
        top = common_folder(videos) or Path()
        return cls(videos, top, Path(os.path.realpath(top)))

    def has(self, path: Path, real: Path) -> bool:
        """Whether a file is the one that was taken in. Its place, and the same without links."""
        video = self.videos.get(path)
        if video is None or real != self.real_top / path.relative_to(self.top):
            return False
        try:
            return video.is_as_it_was(path.stat())
        except OSError:
            return False


def _in_order(served: Iterable[ServedVideo]) -> dict[str, ServedVideo]:
    return {one.id: one for one in sorted(served, key=lambda one: (one.name.casefold(), one.id))}


def _id_of(path: Path) -> str:
    letters = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:40].strip("-")
    return f"{letters or 'video'}-{hashlib.sha256(os.fsencode(absolute(path))).hexdigest()[:12]}"
