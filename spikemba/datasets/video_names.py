"""The video files that a table's cells name, and the ids that they and their features have."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePath, PureWindowsPath

from spikemba.errors import VideoError
from spikemba.files import is_file
from spikemba.video.folders import FoundVideo, absolute, search
from spikemba.video.names import video_ids


class VideoNotFound(Exception):
    """A cell names no file, or several."""


class NamedVideos:
    """Videos below one folder, as cells name them: by path, by the end of their path, with suffix or without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, Path] = {}

    @classmethod
    def listed(cls, folder: Path, found: Mapping[Path, FoundVideo], ids: Mapping[str, Path]) -> "NamedVideos":
        """The same of videos that were looked for already.

        folder: that all of them lie below.  found: by absolute path.  ids: what each is called, as `video_ids` says.
        """
        one = cls(folder)
        one.__dict__ |= {"_found": dict(found), "_by_id": dict(ids)}  # in the place of what is looked for when needed
        return one

    def has_id(self, video_id: str) -> bool:
        """Whether a file below the folder has this id there."""
        return video_id in self._by_id

    def find(self, name: str) -> Path:
        """The file; a path that leads nowhere comes back as it is, for the error of whoever opens it.

        Raises VideoNotFound when several files could be meant.
        """
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def of_id(self, video_id: str) -> Path:
        """The file below the folder that has this id there; or else the one that a cell of that name means.

        Raises VideoNotFound when there is none, or several files could be meant.
        """
        video = self._by_id.get(video_id) or self.find(video_id)
        if self._place(video) not in self._found:
            raise VideoNotFound(f"no video below {self.folder} is called {video_id!r}")
        return video

    def that_end_so(self, name: str) -> list[Path]:
        """All files below the folder whose path ends in what a cell names."""
        wanted: PurePath = PureWindowsPath(name) if "\\" in name else PurePath(name)
        if not wanted.parts:
            return []
        some = self._by_last.get(_alike(PurePath(wanted.name)), ())
        return [path for path in some if _ends_with(path, wanted)] or [
            path for path in some if _ends_with(PurePath(_alike(path)), PurePath(_alike(wanted)))
        ]

    def ids(self, wanted: Sequence[Path]) -> tuple[dict[Path, str], list[Path]]:
        """File -> id, and what has to be encoded together for the ids to be these."""
        places = {video: self._place(video) for video in dict.fromkeys(wanted)}
        beside = [absolute(video) for video, place in places.items() if place not in self._found]
        inside = len(beside) < len(places)
        found = [*(self._found.values() if inside else ()), *(FoundVideo(video) for video in beside)]
        ids = {absolute(path): video_id for video_id, path in video_ids(found).items()}
        return {video: ids[place] for video, place in places.items()}, [*([self.folder] if inside else []), *beside]

    @cached_property
    def _found(self) -> dict[Path, FoundVideo]:
        """Absolute path -> each video below the folder."""
        try:
            return {absolute(one.path): one for one in search([self.folder])}
        except VideoError:
            return {}

    @cached_property
    def _by_last(self) -> dict[str, list[Path]]:
        """Last part of a path, with suffix or without, as all systems take for the same -> the files."""
        found: dict[str, list[Path]] = {}
        for one in self._found.values():
            for last in {_alike(PurePath(one.path.name)), _alike(PurePath(one.path.stem))}:
                found.setdefault(last, []).append(one.path)
        return found

    @cached_property
    def _by_id(self) -> dict[str, Path]:
        return video_ids(list(self._found.values()))

    def _place(self, video: Path) -> Path:
        """The absolute path under which the video is found in the folder, through a link, too; or its own."""
        own = absolute(video)
        return own if own in self._found else self._real.get(os.path.realpath(video), own)

    @cached_property
    def _real(self) -> dict[str, Path]:
        return {os.path.realpath(place): place for place in reversed(self._found)}

    def _find(self, name: str) -> Path:
        path = self.folder / name
        if is_file(path):
            return path
        fits = self.that_end_so(name)
        if len(fits) > 1:
            seen = " or ".join(str(one) for one in fits[:3])
            raise VideoNotFound(f"video {name!r} could be {seen}; write more of its path")
        return fits[0] if fits else path


def _alike(path: PurePath) -> str:
    """The same for names that some systems take for one: in capitals, with accents as one sign or two."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _ends_with(path: PurePath, wanted: PurePath) -> bool:
    """Whether a path ends in the parts that a cell names, whose last may lack its suffix."""
    n = len(wanted.parts)
    own = path.parts[-n:]
    return own[:-1] == wanted.parts[:-1] and wanted.parts[-1] in (own[-1], path.stem)
