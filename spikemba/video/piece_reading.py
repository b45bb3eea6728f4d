"""The pieces of a file one after the other, each read where the one before it ended."""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from spikemba.errors import VideoError
from spikemba.video.clock import SEEK_MARGIN_S, shown_from
from spikemba.video.decoding import AGAIN, Join, TimedFrame, opened, origin_ticks, packets_from, rate, seek_before
from spikemba.video.packets import Packets
from spikemba.video.piece_writing import STEP, CopiedPictures, EncodedPictures, PieceFile, PieceSound, Span
from spikemba.video.sampling import exact
from spikemba.video.sound import SoundReader
from spikemba.video.stopping import Stop, Stopped

_KEPT_S = 1  # of sound before the next piece
_SNAP = 64  # samples; stamps of sound are rounded, and a resampler holds some back
_USUAL_FPS = Fraction(25)


class Damaged(Exception):
    """Pictures of a piece cannot be decoded as they are stored; a browser that met them would stop for good."""


class Reading(Protocol):
    """A file that is open at a piece's beginning."""

    def piece(self, span: Span, stop: Stop) -> bytes:
        """The piece that follows the last one.  Raises VideoError, Stopped, Damaged; the reading is of no use then."""

    def close(self) -> None:
        """Close the file."""


class _Sound:
    """The sound of a file, piece by piece."""

    def __init__(self, path: Path, begin: Fraction, joins: list[Join], one_clock: bool) -> None:
        self.reader = SoundReader(path, begin - _KEPT_S, joins, one_clock=one_clock)
        self.heard: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._due: int | None = None

    def read(self, time: Fraction, place: float) -> None:
        """Take up what begins before a time.  place: how far the pictures have been read, in bytes."""
        for chunk in self.reader.until(time, place):
            at = math.floor(chunk.time * self.reader.rate_hz + Fraction(1, 2))
            if self._due is not None and abs(at - self._due) <= _SNAP:
                at = self._due
            self._due = at + chunk.samples.shape[1]
            self.heard.append((at, chunk.samples))

    def part(self, file: PieceFile, span: Span) -> PieceSound | None:
        """A track for a piece's sound, before anything is written into its file; None where nothing is heard."""
        rate_hz = self.reader.rate_hz
        return PieceSound(file, rate_hz, self.reader.layout, span) if rate_hz else None

    def write(self, sound: PieceSound | None, span: Span, place: float) -> None:
        """The sound of a piece, into its track."""
        if sound is None:
            return
        self.read(Fraction(sound.needed[1] + STEP, self.reader.rate_hz), place)
        sound.write(self.heard)
        while self.heard and self.heard[0][0] < (span[1] - _KEPT_S) * self.reader.rate_hz:
            self.heard.popleft()


class EncodedReading:
    """Pieces whose pictures are encoded anew."""

    def __init__(self, path: Path, begin: Fraction, packets: Packets | None) -> None:
        """packets: of a file that cannot be sought."""
        self.path, self._stack, self._joins = path, ExitStack(), list[Join]()
        with opened(path, "NONE") as (_, stream):
            self._aspect, fps = Fraction(stream.sample_aspect_ratio or 1), rate(stream)
        self._fps = exact(float(fps)) if 1 <= fps <= 240 else _USUAL_FPS
        mark = packets.before(begin - SEEK_MARGIN_S) if packets else None
        frames = shown_from(path, "AUTO", begin, joins=self._joins, mark=mark)
        self._frames = self._stack.enter_context(_closing(frames))
        self._sound = _Sound(path, begin, self._joins, packets is None or packets.one_clock)
        self._stack.callback(self._sound.reader.close)
        self._held = self._next()

    def close(self) -> None:
        self._stack.close()

    def _next(self) -> TimedFrame | None:
        return next(self._frames, None)

    def piece(self, span: Span, stop: Stop) -> bytes:
        shown, place = self._held, 0.0
        file: PieceFile | None = None
        sound: PieceSound | None = None
        pictures: EncodedPictures | None = None
        last: TimedFrame | None = None
        while shown is not None and shown.start < span[1]:
            if stop():
                raise Stopped
            place = shown.frame.opaque if isinstance(shown.frame.opaque, int) else float("inf")
            if shown.end > span[0]:
                if file is None or pictures is None:
                    file, shown = PieceFile(), shown._replace(start=min(shown.start, span[0]))
                    pictures = EncodedPictures(file, shown.frame, self._aspect, self._fps, span)
                    sound = self._sound.part(file, span)
                pictures.write(shown)
                last = shown
            self._sound.read(min(shown.end, span[1]), place)
            if shown.end > span[1]:
                break
            shown = self._next()
        self._held = shown
        if file is None or pictures is None or last is None:
            raise _nothing(self.path, span)
        if last.end < span[1]:  # what is damaged behind it shows nothing: it stays
            pictures.write(last._replace(start=last.end, end=span[1]))
        pictures.finish()
        self._sound.write(sound, span, place if shown is not None else float("inf"))
        return file.content()


class CopiedReading:
    """Pieces whose pictures are copied, from key frame to key frame."""

    def __init__(self, path: Path, begin: Fraction, packets: Packets) -> None:
        self.path, self._stack = path, ExitStack()
        self._container, self._stream = self._stack.enter_context(opened(path, "NONE"))
        self._origin, self._tick = origin_ticks(self._container, self._stream), self._stream.time_base or Fraction(1)
        sought = begin > 2 * SEEK_MARGIN_S and seek_before(self._container, self._stream, begin - SEEK_MARGIN_S)
        mark = None if sought or not begin else packets.before(begin)
        self._found: Iterator[Any] = packets_from(self._container, self._stream, mark)
        self._sound = _Sound(path, begin, [], True)
        self._stack.callback(self._sound.reader.close)
        self._key: Any = None

    def close(self) -> None:
        self._stack.close()

    def piece(self, span: Span, stop: Stop) -> bytes:
        taken: list[Any] = []
        waiting = () if self._key is None else (self._key,)
        self._key = None
        for packet in chain(waiting, self._found):
            if stop():
                raise Stopped
            if not packet.size or packet.pts is None:
                continue
            at = (packet.pts - self._origin) * self._tick
            if packet.is_keyframe and at >= span[1]:
                self._key = packet
                break
            if taken or (packet.is_keyframe and at >= span[0]):
                taken.append(packet)
        if not taken:
            raise _nothing(self.path, span)
        if not self._decode(taken, stop):
            raise Damaged
        file = PieceFile()
        pictures, sound = CopiedPictures(file, self._stream), self._sound.part(file, span)
        pictures.write(taken, self._origin, span)
        self._sound.write(sound, span, float("inf"))
        return file.content()

    def _decode(self, packets: list[Any], stop: Stop) -> bool:
        """Whether all the pictures can be decoded."""
        own = self._stream.codec_context
        decoder: Any = av.CodecContext.create(own.codec.name, "r")
        decoder.extradata, decoder.thread_type = own.extradata, "AUTO"
        try:
            for packet in packets:
                if stop():
                    raise Stopped
                decoder.decode(packet)
        except av.FFmpegError:
            return False
        return True


def _nothing(path: Path, span: Span) -> VideoError:
    where = f"from {float(span[0]):g} to {float(span[1]):g} s"
    return VideoError(path, f"nothing can be shown {where}; the file is damaged there, {AGAIN}")


class _closing:
    """Closes a generator, and with it the file that it has open."""

    def __init__(self, frames: Iterator[TimedFrame]) -> None:
        self._frames = frames

    def __enter__(self) -> Iterator[TimedFrame]:
        return self._frames

    def __exit__(self, *_: object) -> None:
        self._frames.close()  # type: ignore[attr-defined]  # a generator
