"""Subtitles that lie beside a video as a file of their own: SubRip and WebVTT."""

import io
import math
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import NamedTuple

import av

from spikemba.errors import VideoError
from spikemba.tables.fault import TableFault
from spikemba.tables.text import decode
from spikemba.video.sampling import exact

SUFFIXES = (".srt", ".vtt")
LARGEST_BYTES = 32 * 2**20
"""A file that is larger holds something else."""


class Subtitle(NamedTuple):
    """What is said or written for a while."""

    start_s: float
    end_s: float
    text: str


def read_subtitles(path: Path) -> list[Subtitle]:
    """The subtitles of a file in the order of time, without marks of their look. Raises VideoError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VideoError(path, f"cannot be read ({error.strerror})") from None
    if len(content) > LARGEST_BYTES:
        raise VideoError(path, f"has {len(content):,} bytes; expected subtitles")
    try:
        text, _ = decode(content)
        found = list(_cues(text.encode(), path.suffix.lower()))
    except (av.FFmpegError, TableFault, UnicodeError) as error:
        raise VideoError(path, f"holds no subtitles that can be read ({error})") from None
    return sorted(found)


def _cues(content: bytes, suffix: str) -> Iterable[Subtitle]:
    form = "webvtt" if suffix == ".vtt" else "srt"
    with av.open(io.BytesIO(content), "r", format=form) as container:
        for packet in container.demux(container.streams.subtitles[0]):
            if packet.pts is None or packet.time_base is None or not packet.size:
                continue
            start, length = packet.pts * packet.time_base, (packet.duration or 0) * packet.time_base
            if text := plain(bytes(packet).decode("utf-8", "replace")):
                yield Subtitle(float(start), float(start + length), text)


def plain(text: str) -> str:
    """Words on one line: no <i>, no {\\an8}, no &amp;."""
    return " ".join(unescape(re.sub(r"<[^>]*>|\{\\[^}]*\}", " ", text)).split())


def subtitles_of(video: Path) -> list[Subtitle]:
    """All subtitles that lie beside a video, in the order of time; none where there is no such file.

    Raises VideoError that names a file that cannot be read.
    """
    return sorted(cue for file in files_beside(video) for cue in read_subtitles(file))


def in_clips(cues: Iterable[Subtitle], clip_s: float, n: int) -> list[list[str]]:
    """What stands while each of n clips lasts, in the order of time; a text that stands twice in a clip counts once."""
    clips: list[dict[str, None]] = [{} for _ in range(n)]
    for cue in cues:
        first = math.floor(exact(cue.start_s) / exact(clip_s))
        last = max(first + 1, math.ceil(exact(cue.end_s) / exact(clip_s)))
        for k in range(max(0, first), min(n, last)):
            clips[k][cue.text] = None
    return [list(clip) for clip in clips]


def files_beside(video: Path) -> list[Path]:
    """The files of subtitles that lie beside a video now."""
    try:
        names = [path.name for path in video.absolute().parent.iterdir() if path.is_file()]
    except OSError:
        return []
    return beside(video, names)


def beside(video: Path, names: Iterable[str]) -> list[Path]:
    """The files among the names of a video's folder that are its subtitles: clip.srt and clip.en.vtt of clip.mp4."""
    stem = video.stem
    own = [
        name
        for name in names
        if name.lower().endswith(SUFFIXES)
        and (name[:-4] == stem or re.fullmatch(r"\.[\w-]{2,12}", name[len(stem) : -4]))
        and name.startswith(stem)
    ]
    return [video.parent / name for name in sorted(own)]
