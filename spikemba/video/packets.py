"""What a pass over the packets of a file tells, without decoding: where it can be begun, and where its pictures end."""

import math
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from spikemba.video.clock import believed, end_of_last, measured_end
from spikemba.video.decoding import (
    BROADCAST,
    FAR_S,
    Mark,
    TimedFrame,
    broken_clock,
    declared_end,
    opened,
    origin_ticks,
    packets_of,
    rate,
    seek_before,
    seekable,
)
from spikemba.video.stopping import Stop, going_on, until_stopped

_LASTS = 200
"""So many of the last pictures tell how long the last one stays."""
_TAIL_S = 40
_MOST_HELD = 64
MOST_PARTS = 10_000
"""That a file is played in; those of a very long one are longer."""


class Key(NamedTuple):
    """A picture that needs no other one."""

    mark: Mark
    closed: bool
    """Whether every picture behind it in the file is shown after it, so that a new file can begin here."""


@dataclass(frozen=True)
class Packets:
    """The pictures of a file as they lie in it."""

    keys: tuple[Key, ...]
    end: Fraction
    """Of the last picture, in seconds; as reading it through would find it."""
    one_clock: bool
    """Whether its stamps go on from the first to the last. Where not, only decoding from the start tells the times."""
    copyable: bool
    """Whether each says when it is shown, and each is shown."""

    def before(self, time: Fraction) -> Mark | None:
        """Where to begin for what is shown from a time on; None: at the beginning."""
        if not self.one_clock:
            return None
        return next((key.mark for key in reversed(self.keys) if key.mark.shown <= time), None)


def scan(path: Path, stop: Stop = going_on) -> Packets:
    """Read all packets of a file's pictures.  Raises VideoError when it cannot be read as a video, Stopped."""
    with opened(path, "NONE") as (container, stream):
        found = _Scan(container, stream, stop)
        one_clock, keys = found.one_clock, found.with_openness()
        held = found.by_decoding and one_clock
        end = found.end(_held_back(path) if held else 0) if one_clock else None
    end = measured_end(path, stop) if end is None else believed(path, end)
    return Packets(keys, end, one_clock, found.copyable)


def pictures_end(path: Path, stop: Stop = going_on) -> Fraction:
    """The end of the last picture in seconds: by the last packets where the file can be sought, or else by all.

    Raises VideoError when the file cannot be read as a video, Stopped.
    """
    with opened(path, "NONE") as (container, stream):
        declared = declared_end(container, stream)
        if (
            declared is not None
            and 2 * _TAIL_S < declared <= FAR_S
            and seek_before(container, stream, declared - _TAIL_S)
        ):
            found = _Scan(container, stream, stop)
            end = found.end() if found.latest else None
            if end is not None and abs(end - declared) < _TAIL_S / 4:
                return end
    return measured_end(path, stop) if _can_seek(path) else scan(path, stop).end


def _can_seek(path: Path) -> bool:
    with opened(path, "NONE") as (container, _):
        return seekable(container)


def _held_back(path: Path) -> int:
    """Pictures that the decoder takes up before it gives the first; where decoding tells the times, all come later."""
    with opened(path, "NONE") as (container, stream):
        for taken, packet in enumerate(packet for packet in packets_of(container, stream) if packet.size):
            with suppress(av.FFmpegError):
                if stream.decode(packet):
                    return taken
            if taken == _MOST_HELD:
                break
    return 0


class _Scan:
    """One pass; times in ticks of the stream from the file's start."""

    def __init__(self, container: InputContainer, stream: VideoStream, stop: Stop) -> None:
        self.tick = stream.time_base or Fraction(1, av.time_base)
        self.declared, self._rate = declared_end(container, stream), rate(stream)
        self.by_decoding = container.format.name == "avi"  # as in `timed_frames`
        self.latest: deque[tuple[int, int]] = deque(maxlen=4 * _LASTS)
        self.keys: list[tuple[int, int, int | None]] = []
        self.leading: set[int] = set()
        self.one_clock = self.copyable = True
        self._read(container, stream, stop)

    def _read(self, container: InputContainer, stream: VideoStream, stop: Stop) -> None:
        origin, broadcast = origin_ticks(container, stream), container.format.name in BROADCAST
        last: int | None = None
        for number, packet in enumerate(until_stopped(packets_of(container, stream), stop)):
            stamp = packet.dts if self.by_decoding else packet.pts
            if not packet.size:
                continue
            self.copyable &= packet.pts is not None and not packet.is_discard
            if stamp is None or packet.is_discard:
                continue
            at, decoded = stamp - origin, packet.dts
            if last is not None and decoded is not None:
                jump = (decoded - last) * self.tick
                self.one_clock &= not (broken_clock(jump) if broadcast else abs(jump) > FAR_S)
            last = last if decoded is None else decoded
            if packet.is_keyframe:
                self.keys.append((at, number, packet.pos))
            elif self.keys and at < self.keys[-1][0]:
                self.leading.add(len(self.keys) - 1)
            self.latest.append((at, packet.duration or 0))

    def with_openness(self) -> tuple[Key, ...]:
        """The key frames, those with pictures before them in time but behind them in the file marked."""
        return tuple(
            Key(Mark(at * self.tick, number, position), k not in self.leading)
            for k, (at, number, position) in enumerate(self.keys)
        )

    def end(self, held: int = 0) -> Fraction | None:
        """When the last picture gives way; None where none says when it is shown.  held: see `_held_back`."""
        if not self.latest:
            return None
        spans = sorted(self.latest)
        starts = sorted({start for start, _ in spans})[-_LASTS - 1 :]
        gaps = [(after - before) * self.tick for before, after in pairwise(starts)]
        start, lasts = spans[-1][0] * self.tick, spans[-1][1] * self.tick
        guess = 1 / self._rate if self._rate else Fraction(0)
        start += held * (lasts or guess)
        last = TimedFrame(start, start + (lasts or guess), None)  # type: ignore[arg-type]  # only its times count
        return end_of_last(last, gaps, self.declared)


def even_limits(end: Fraction, length_s: int) -> list[tuple[Fraction, Fraction]]:
    """From 0 to the end in equal parts, MOST_PARTS at most; a short rest belongs to the last one."""
    length_s = max(length_s, math.ceil(end / MOST_PARTS))
    n = max(1, math.floor(end / length_s + Fraction(3, 4)))
    borders = [Fraction(k * length_s) for k in range(n)]
    return list(pairwise([*borders, max(end, Fraction(1, 1000))]))


def key_limits(packets: Packets, length_s: int, longest_s: int) -> list[tuple[Fraction, Fraction]] | None:
    """From key frame to key frame, each part about `length_s` long; None where one would be longer than `longest_s`.

    Also None where the first picture does not come at once, or a picture does not say when it is shown.
    """
    closed = sorted({key.mark.shown for key in packets.keys if key.closed})
    if not (packets.copyable and packets.one_clock and closed and 0 <= closed[0] < Fraction(1, 10)):
        return None
    borders = [Fraction(0)]
    for at in closed[1:]:
        if at - borders[-1] >= length_s and packets.end - at > length_s / 4:
            borders.append(at)
    limits = list(pairwise([*borders, packets.end]))
    return limits if all(0 < end - start <= longest_s for start, end in limits) else None
