"""Finding video files: in folders, through links, each under every name that it has."""

import logging
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikemba.errors import VideoError

VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv", ".3gp", ".mts"),
    *(".m2ts", ".mxf", ".vob", ".dv", ".3g2", ".f4v", ".gif", ".asf", ".m2t", ".m2v", ".qt", ".divx", ".ogm"),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundVideo:
    """A video file, and where it was looked for."""

    path: Path
    """As it is reached from what was given."""
    below: int = 0
    """Folders between the searched one and the file; 0 for a file that was given itself."""


def find_videos(paths: Sequence[Path]) -> list[Path]:
    """Video files among `paths`, sorted, each path once; see `search`."""
    return [one.path for one in search(paths)]


def absolute(path: Path) -> Path:
    """The path from the root, without `..`; links stay what they are."""
    return Path(os.path.normpath(path.absolute()))


def common_folder(paths: Iterable[Path]) -> Path | None:
    """The folder that all of some files lie below; None where there is no file."""
    folders = {path.parent for path in paths}
    return Path(os.path.commonpath(folders)) if folders else None


def search(paths: Sequence[Path]) -> list[FoundVideo]:
    """Video files among `paths`, sorted, each path once: a file as it is, a folder by VIDEO_SUFFIXES at any depth.

    Links to folders are followed, but not where they lead back to a folder that is searched anyway; of two links to
    one file both are found, and so is a link to nothing, which whoever opens it will report. Hidden files and folders
    are passed over; folders that cannot be read are warned of, as are those whose path is longer than the system takes.
    Raises VideoError for a path that does not exist and for a folder without videos.
    """
    found: dict[Path, FoundVideo] = {}
    for path in map(Path, paths):
        try:
            there = path.exists()
        except OSError as error:
            raise VideoError(path, f"cannot be opened ({(error.strerror or str(error)).lower()})") from None
        if not there:
            raise VideoError(path, "no such file or folder; expected videos")
        videos = list(_videos_in(path)) if path.is_dir() else [path]
        if not videos:
            raise VideoError(path, f"holds no videos; expected files that end in {', '.join(VIDEO_SUFFIXES)}")
        for video in videos:
            below = len(video.parts) - len(path.parts) - 1 if path.is_dir() else 0
            found.setdefault(absolute(video), FoundVideo(video, below))
    return sorted(found.values(), key=lambda one: one.path)


def _videos_in(folder: Path) -> Iterator[Path]:
    visited: set[str] = set()
    links = []
    for path in _walk(folder, visited):
        if stat.S_ISDIR(_mode(path)):
            links.append(path)
        else:
            yield path
    for link in links:  # each with a memory of its own: two links to one folder are two names for its videos
        yield from _linked(link, visited.copy(), os.path.realpath(folder))


def _linked(link: Path, visited: set[str], searched: str) -> Iterator[Path]:
    """The videos of a linked folder and of those linked from it, less what was visited or holds the searched folder."""
    waiting = [link]
    for folder in waiting:
        real = os.path.realpath(folder)
        if real in visited or Path(searched).is_relative_to(real):
            continue
        for path in _walk(folder, visited):
            if stat.S_ISDIR(_mode(path)):
                waiting.append(path)
            else:
                yield path


def _walk(folder: Path, visited: set[str]) -> Iterator[Path]:
    """Video files below a folder, and links to folders; the folders passed are added to `visited`."""
    for place, folders, files in os.walk(folder, onerror=_warn):
        visited.add(os.path.realpath(place))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [Path(place, name) for name in folders if stat.S_ISLNK(_mode(Path(place, name), link=True))]
        yield from links
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in visited]
        for name in files:
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in VIDEO_SUFFIXES and _is_file(path):
                yield path


def _is_file(path: Path) -> bool:
    """Whether it is a file, or a link to nothing; what cannot be looked at, as under too long a path, is warned of."""
    try:
        status = path.lstat()
    except OSError as error:
        _log.warning("%s: this file cannot be looked at (%s)", path, (error.strerror or str(error)).lower())
        return False
    return stat.S_ISREG(_mode(path)) or (stat.S_ISLNK(status.st_mode) and not _mode(path))


def _mode(path: Path, *, link: bool = False) -> int:
    """What a path leads to, or the link itself; 0 where that cannot be told."""
    try:
        return (path.lstat() if link else path.stat()).st_mode
    except OSError:
        return 0


def _warn(error: OSError) -> None:
    _log.warning("%s: this folder cannot be searched (%s)", error.filename, (error.strerror or str(error)).lower())
