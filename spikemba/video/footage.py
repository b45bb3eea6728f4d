"""What an editor has to know of a file: how its pictures are counted, from which timecode on, and its sound."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from spikemba.video.decoding import opened
from spikemba.video.sampling import exact, probe
from spikemba.video.timecode import EditRate, Timecode, edit_rate, own_count


@dataclass(frozen=True)
class Footage:
    """A video file as an editor sees it."""

    path: Path
    rate: EditRate
    """How its pictures are counted; for a variable rate a base that does not drift, see `edit_rate`."""
    start: Timecode
    """Of its first picture: the file's own, or 00:00:00:00."""
    width: int
    """Pixels, as displayed (after rotation)."""
    height: int
    """Pixels, as displayed (after rotation)."""
    pixel_aspect: Fraction
    """Width of a pixel by its height."""
    channels: int
    """Of its sound; 0 when it has none."""
    sample_rate: int
    """Of its sound, in hertz; 0 when it has none."""


def footage(path: Path | str) -> Footage:
    """Read a file's head.  Raises VideoError when it cannot be read as a video."""
    info = probe(path)
    with opened(info.path, "NONE") as (container, stream):
        rate = edit_rate(_rates(stream))
        start = _own_timecode(container, stream)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        sound = next((s for s in container.streams.audio if s.codec_context is not None), None)
        return Footage(
            path=info.path,
            rate=rate,
            start=start.at_rate(rate, drop=start.drop) if start else Timecode(0, rate),
            width=info.width,
            height=info.height,
            pixel_aspect=1 / aspect if info.rotation % 180 and aspect else aspect,
            channels=sound.channels if sound else 0,
            sample_rate=sound.rate or 0 if sound else 0,
        )


def timecode_at(path: Path | str, seconds: float | Fraction) -> str | None:
    """The timecode of the picture on screen at a time, by the file's own clock, for a cut that begins there.

    None for a file that has none, or whose pictures per second no timecode counts. Raises VideoError.
    """
    with opened(Path(path), "NONE") as (container, stream):
        start, average = _own_timecode(container, stream), _rates(stream)[0]
    if start is None or start.rate.base != math.floor(average + Fraction(1, 2)):
        return None
    # containers that count in milliseconds put a frame half of one too early
    return str(start.plus(math.floor((exact(seconds) + Fraction(1, 2000)) * start.rate.fps)))


def _rates(stream: Any) -> list[Fraction]:
    return [rate for rate in (stream.average_rate, stream.guessed_rate) if rate and rate <= 1000] or [Fraction(25)]


def _own_timecode(container: Any, stream: Any) -> Timecode | None:
    """What the picture, a timecode track or the container says. Clocks of MPEG groups of pictures are no timecode:
    recorders begin them anywhere."""
    rates = _rates(stream)
    own, tracks = own_count(rates), [one for one in container.streams if one.type == "data"]
    for tags in (stream.metadata, *(one.metadata for one in tracks), container.metadata):
        for key, label in tags.items():
            if key.lower() != "timecode":
                continue
            if own.base > 30 and (half := _in_pairs(container, tracks, label, own)):
                return half
            return Timecode.read(label, own) or Timecode.read(label, edit_rate(rates))
    return None


def _in_pairs(container: Any, tracks: list[Any], label: str, own: EditRate) -> Timecode | None:
    """A label of 50 or 60 pictures a second that counts two as one, as the number of its track shows."""
    if own.base % 2:
        return None
    whole, half = Timecode.read(label, own), Timecode.read(label, EditRate(own.base // 2, own.ntsc))
    numbers = [_number(container, track) for track in tracks]
    if half is None or half.frame not in numbers or (whole is not None and whole.frame in numbers):
        return None
    return half.at_rate(own, drop=half.drop)


def _number(container: Any, track: Any) -> int | None:
    """What a timecode track of a QuickTime file holds: the number of the first frame as the track counts."""
    if "timecode" not in track.metadata:
        return None
    first = next((bytes(packet) for packet in container.demux(track) if packet.size), b"")
    return int.from_bytes(first, "big") if len(first) == 4 else None
