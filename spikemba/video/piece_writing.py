"""One piece of a file as a fragmented MP4 in memory: its pictures copied or encoded, its sound as AAC."""

# Sound: AAC codes steps of 1024 samples, each leaning on the one before. The steps of all pieces lie on one grid that
# begins at the file's start, and each piece is encoded from two steps before its first to two behind its last; so the
# steps of neighbours follow each other as if one encoder had made them. (Where they meet, the halves of a window that
# are summed come from two encoders, which differ by no more than their rounding.)

import io
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spikemba.video.decoding import TimedFrame
from spikemba.video.orientation import orientation
from spikemba.video.picture import PictureWriter, Target, target_of

Span = tuple[Fraction, Fraction]

LONGEST_SIDE, SHORTEST_SIDE = 1280, 720
"""Of an encoded picture, at most; in pixels."""
STEP = 1024
"""Samples of AAC."""
BEFORE, BEHIND = 2 * STEP, 2 * STEP
"""Samples that a piece is to know before its first step and behind its last one."""
_CRF, _PRESET = 23, "superfast"
_OPTIONS = {
    "movflags": "empty_moov+default_base_moof+frag_discont+negative_cts_offsets+skip_trailer",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}


class PieceFile:
    """A fragmented MP4 that is made in memory, its times from 0 on."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self.container: Any = av.open(self._file, "w", format="mp4", options=_OPTIONS)

    def content(self) -> bytes:
        """The whole file."""
        self.container.close()
        return self._file.getvalue()


def shown_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Sides in square pixels within the bounds, both even.  width, height: upright.  aspect: of a pixel, upright."""
    wide = width * aspect
    longer, shorter = (wide, Fraction(height)) if wide > height else (Fraction(height), wide)
    shrink = min(Fraction(1), LONGEST_SIDE / longer, SHORTEST_SIDE / shorter)
    return max(2, round(wide * shrink / 2) * 2), max(2, round(height * shrink / 2) * 2)


def browser_target(frame: VideoFrame, aspect: Fraction) -> Target:
    """What a browser gets of a picture: 8 bits, square pixels, whole frames.  aspect: of the stored pixels."""
    own = target_of(frame, aspect)
    turned = orientation(frame)
    sides = (frame.height, frame.width) if turned.swaps_sides else (frame.width, frame.height)
    width, height = shown_size(*sides, own.aspect)
    return own._replace(
        width=width,
        height=height,
        pix_fmt="yuv420p",
        aspect=Fraction(1),
        interlaced=False,
        one_field=frame.interlaced_frame,
    )


class EncodedPictures:
    """Pictures of a piece that are encoded anew."""

    def __init__(self, file: PieceFile, first: VideoFrame, aspect: Fraction, fps: Fraction, span: Span) -> None:
        target = browser_target(first, aspect)
        self._writer = PictureWriter(file.container, first, aspect, fps, span, _CRF, target, _PRESET)

    def write(self, shown: TimedFrame) -> None:
        self._writer.write(shown)

    def finish(self) -> None:
        self._writer.finish()


class CopiedPictures:
    """Pictures of a piece as they are stored."""

    def __init__(self, file: PieceFile, stream: VideoStream) -> None:
        self._container, self._tick = file.container, stream.time_base or Fraction(1, av.time_base)
        self._out = file.container.add_stream_from_template(stream, opaque=True)

    def write(self, packets: Sequence[Any], origin: int, span: Span) -> None:
        """packets: from a closed key frame to the next, in the order of the file.  origin: the file's start in ticks.

        What the container says of the times of decoding is not used, some say nothing: pictures are decoded in the
        order of the file, one whenever one is shown.
        """
        start, end = (round(time / self._tick) for time in span)
        times = [packet.pts - origin - start for packet in packets]
        times[0] = 0  # the first of a file is also shown before its time
        slots = sorted(times)
        ends = [*slots[1:], end - start]
        delay = max(slot - time for slot, time in zip(slots, times, strict=True))
        for packet, shown, slot, over in zip(packets, times, slots, ends, strict=True):
            packet.pts, packet.dts, packet.duration = shown, slot - delay, max(1, over - slot)
            packet.time_base, packet.stream = self._tick, self._out
            self._container.mux(packet)


class PieceSound:
    """The sound of a piece: on the grid of the file, silent where nothing is heard."""

    def __init__(self, file: PieceFile, rate_hz: int, layout: str, span: Span) -> None:
        self._file, self._rate, self._layout = file, rate_hz, layout
        self._first, self._over = (math.ceil(time * rate_hz / STEP) for time in span)
        self._start = span[0] * rate_hz
        self.stream = file.container.add_stream("aac", rate=rate_hz, layout=layout)

    @property
    def needed(self) -> tuple[int, int]:
        """Samples of the file that are wanted, from and to."""
        return self._first * STEP - BEFORE, self._over * STEP + BEHIND

    def write(self, chunks: Iterable[tuple[int, NDArray[np.float32]]]) -> None:
        """chunks: (first sample, (channels, n)) of what is heard; what lies outside is left away."""
        begin, end = self.needed
        samples = np.zeros((2 if self._layout == "stereo" else 1, end - begin), np.float32)
        for at, chunk in chunks:
            into, of = max(0, at - begin), max(0, begin - at)
            part = chunk[:, of : of + max(0, samples.shape[1] - into)]
            samples[:, into : into + part.shape[1]] = part
        for at in range(0, end - begin, STEP):
            step = np.ascontiguousarray(samples[:, at : at + STEP])
            frame = av.AudioFrame.from_ndarray(step, format="fltp", layout=self._layout)
            frame.rate, frame.pts, frame.time_base = self._rate, at - BEFORE, Fraction(1, self._rate)
            self._mux(self.stream.encode(frame))
        self._mux(self.stream.encode(None))

    def _mux(self, packets: Any) -> None:
        shift = round(self._first * STEP - self._start)
        for packet in packets:
            if 0 <= packet.pts < (self._over - self._first) * STEP:
                packet.pts = packet.dts = packet.pts + shift
                packet.duration = STEP
                self._file.container.mux(packet)
