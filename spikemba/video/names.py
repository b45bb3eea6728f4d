"""What a video is called: by its path, as short as tells it apart from the others; and what files about it are called.

    footage/A/C0001.MP4, footage/B/C0001.MP4   A/C0001, B/C0001
    footage/clip.mov, footage/clip.mp4         clip.mov, clip.mp4
    footage/kitchen.mp4                        kitchen

Identifiers with a slash lie in folders of that name: features/mini/A/C0001.npz.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from spikemba.reading.printable import utf8_text
from spikemba.video.folders import FoundVideo, absolute, search

LONGEST_NAME = 255
"""Bytes of a file's name, as file systems allow them."""
_DEVICES = re.compile(r"con(in\$|out\$)?|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)


def named_videos(paths: Sequence[Path]) -> dict[str, Path]:
    """Identifier -> file, for video files and folders that are searched. Raises VideoError as `search` does.

    An identifier depends on what else is found, so whoever annotates and whoever encodes must name the same.
    """
    return video_ids(search(paths)) if paths else {}


def video_ids(found: Sequence[FoundVideo]) -> dict[str, Path]:
    """Identifier -> file, in the order given; all files that share a name are told apart in the same way.

    First the name without its suffix, then with it, then with one folder before it and so on; folders above the one
    that was searched come only where those below it are not enough.
    """
    paths = {one: absolute(one.path) for one in found}
    deepest: dict[str, int] = {}
    for one, path in paths.items():
        deepest[path.stem] = max(one.below, deepest.get(path.stem, 0))
    level = dict.fromkeys(deepest, 0)
    while True:
        named = {one: _name(one, path, level[path.stem], deepest[path.stem]) for one, path in paths.items()}
        claims: dict[str, set[str]] = defaultdict(set)
        for one, name in named.items():
            claims[name].add(paths[one].stem)
        times = Counter(named.values())
        clashing = [stems for name, stems in claims.items() if times[name] > 1]
        if not clashing:
            return {name: one.path for one, name in named.items()}
        for stem in {min(stems, key=lambda stem: (level[stem], stem)) for stems in clashing}:
            level[stem] += 1


def _name(one: FoundVideo, path: Path, level: int, deepest: int) -> str:
    """The name of a level: even ones without suffix, odd ones with it, a folder more at every second."""
    folders, with_suffix = divmod(level, 2)
    if folders <= deepest:
        folders = min(folders, one.below)
    above = path.parts[1:-1][-folders:] if folders else ()
    return "/".join([*above, path.name if with_suffix else path.stem])


def file_about(folder: Path, video_id: str, ending: str) -> Path:
    """The file below `folder` about a video: its identifier and an ending.

    A name longer than file systems allow is cut, and ends in a digest of the whole.
    """
    above, _, name = video_id.rpartition("/")
    return folder / above / fitting(name, ending)


def fitting(name: str, ending: str) -> str:
    """name + ending in at most LONGEST_NAME bytes."""
    if len(os.fsencode(name + ending)) <= LONGEST_NAME:
        return name + ending
    mark = "~" + digest(name) + ending
    kept = os.fsencode(name)[: LONGEST_NAME - len(os.fsencode(mark))]
    return kept.decode("utf-8", "ignore") + mark


def no_device(stem: str) -> str:
    """A file's name without its suffix, as it is unless Windows takes it for a device, whatever stands behind its first
    point: then with a line behind that part.
    """
    first, point, rest = stem.partition(".")
    return f"{first}_{point}{rest}" if _DEVICES.fullmatch(first.rstrip(" ")) else stem


def digest(text: str) -> str:
    """Eight letters that differ where texts do."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def shown_name(path: Path, video_id: str) -> str:
    """The end of a path that stands in tables: the file's name, with the folders that its identifier needs."""
    parts = absolute(path).parts
    return utf8_text("/".join(parts[-1 - video_id.count("/") :]))
