"""Subtitles that lie beside a video as a file of their own: SubRip and WebVTT."""

import io
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import NamedTuple

import av

from spikemba.errors import VideoError
from spikemba.tables.fault import TableFault
from spikemba.tables.text import decode

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
