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
    others = [one for one in container.streams if one.type == "data"]
    for tags in (stream.metadata, *(one.metadata for one in others), container.metadata):
        for key, label in tags.items():
            if key.lower() == "timecode":
                counts = (own_count(rates), edit_rate(rates))
                return next(filter(None, (Timecode.read(label, count) for count in counts)), None)
    return None
