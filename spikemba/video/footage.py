"""What an editor has to know of a file: how its pictures are counted, from which timecode on, and its sound."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from spikemba.video.decoding import opened
from spikemba.video.sampling import exact, probe
from spikemba.video.sound import default_track
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
    """Of its sound: of the default track, or of all where each is one channel; 0 when it has none."""
    first_channel: int
    """Channels of the file that come before these."""
    sample_rate: int
    """Of its sound, in hertz; 0 when it has none."""


def footage(path: Path | str) -> Footage:
    """Read a file's head.  Raises VideoError when it cannot be read as a video."""
    info = probe(path)
    with opened(info.path, "NONE") as (container, stream):
        rate = edit_rate(_rates(stream))
        clock = clock_of(container, stream)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        sound, before = _sound(container, stream)
        return Footage(
            path=info.path,
            rate=rate,
            start=clock.start.at_rate(rate, drop=clock.start.drop) if clock else Timecode(0, rate),
            width=info.width,
            height=info.height,
            pixel_aspect=1 / aspect if info.rotation % 180 and aspect else aspect,
            channels=sum(track.channels for track in sound),
            first_channel=before,
            sample_rate=sound[0].rate or 0 if sound else 0,
        )


@dataclass(frozen=True)
class FileClock:
    """The timecode of a file, where it has one."""

    start: Timecode
    """Of its first picture, counted as the file counts."""
    fps: Fraction
    """Average pictures per second."""

    def at(self, seconds: float | Fraction) -> str | None:
        """The timecode of the picture on screen at a time: the `timecode` of a cut that begins there.

        None where the pictures of a second are not as many as the timecode counts, as at 12.5 fps.
        """
        if self.start.rate.base != math.floor(self.fps + Fraction(1, 2)):
            return None
        # containers that count in milliseconds put a frame half of one too early
        return str(self.start.plus(math.floor((exact(seconds) + Fraction(1, 2000)) * self.start.rate.fps)))


def timecodes(path: Path | str) -> FileClock | None:
    """The timecode of a file; None where it has none.  Raises VideoError."""
    with opened(Path(path), "NONE") as (container, stream):
        return clock_of(container, stream)


def clock_of(container: Any, stream: Any) -> FileClock | None:
    """What the picture, a timecode track or the container says; may read on in the container.

    Clocks of MPEG groups of pictures are no timecode: recorders begin them anywhere.
    """
    rates = _rates(stream)
    own, tracks = own_count(rates), [one for one in container.streams if one.type == "data"]
    for tags in (stream.metadata, *(one.metadata for one in tracks), container.metadata):
        label = next((tags[key] for key in tags if key.lower() == "timecode"), "")
        start = _in_pairs(container, tracks, label, own) if own.base > 30 else None
        if start := start or Timecode.read(label, own) or Timecode.read(label, edit_rate(rates)):
            return FileClock(start, rates[0])
    return None


def _sound(container: Any, stream: Any) -> tuple[list[Any], int]:
    """The tracks that are heard with the picture, and the channels before them."""
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    if all(track.channels == 1 for track in tracks):  # as cameras write the channels of one sound
        return tracks, 0
    number = tracks.index(default_track(container, stream))
    return [tracks[number]], sum(track.channels for track in tracks[:number])


def _rates(stream: Any) -> list[Fraction]:
    return [rate for rate in (stream.average_rate, stream.guessed_rate) if rate and rate <= 1000] or [Fraction(25)]


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
