"""The sound of a video in windows of one clip each, on the time axis of its pictures."""

# Shapes: L clips, S samples of a window.

import logging
import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikemba.reading.printable import counted
from spikemba.video.decoding import Join
from spikemba.video.sampling import exact
from spikemba.video.sound import SoundReader

_log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

_AHEAD_S = Fraction(1, 10)  # a resampler holds back a few milliseconds until the next packet


class SoundWindows:
    """The default sound track of a file, the mean of its channels, resampled, window by window as it is decoded.

    What is not there is silence: before sound that begins late, behind sound that ends early, in gaps of its times, in
    place of packets that are damaged (which a warning counts).
    """

    heard = False
    """Whether a sample was decoded so far; a file without a track, or one that cannot be decoded, has none."""

    def __init__(self, path: Path, rate_hz: int, joins: list[Join]) -> None:
        """rate_hz: of the windows.  joins: where the clock changes, as `VideoReader.joins` has it behind a whole pass.

        Close it after use. Raises VideoError when the file cannot be read as a video.
        """
        self.path, self.rate_hz = path, rate_hz
        self._reader = SoundReader(path, Fraction(0), joins, mono_hz=rate_hz)
        self._waiting: deque[tuple[int, Samples]] = deque()

    def close(self) -> None:
        """Close the file, and say what of its sound was damaged."""
        self._reader.close()
        if self.heard and self._reader.n_damaged:
            _log.warning(
                "%s: %s of its sound cannot be decoded; silence stands in their place",
                self.path,
                counted(self._reader.n_damaged, "packet", "packets"),
            )

    @property
    def can_be_heard(self) -> bool:
        """Whether there is a track of which anything decodes."""
        return self._reader.rate_hz > 0

    def cut(self, clip_s: float, n: int) -> Iterator[Samples]:
        """n windows of (S,) samples in [-1, 1], S = clip_s * rate_hz to the nearest; they can be taken once.

        Window k begins with the sample at k * clip_s of the video, whatever was taken of the file before.
        """
        length = exact(clip_s)
        size = max(1, self._place(length))
        for k in range(n):
            first = self._place(k * length)
            self._read_until(Fraction(first + size, self.rate_hz) + _AHEAD_S)
            yield self._window(first, size)
            self._forget(self._place((k + 1) * length))

    def _place(self, time: Fraction) -> int:
        """The number of the sample that is heard at a time; a half goes up, so that neighbours stay neighbours."""
        return math.floor(time * self.rate_hz + Fraction(1, 2))

    def _read_until(self, time: Fraction) -> None:
        for chunk in self._reader.until(time, math.inf):
            self.heard = True
            self._waiting.append((self._place(chunk.time), chunk.samples[0]))

    def _window(self, first: int, size: int) -> Samples:
        window = np.zeros(size, np.float32)
        for start, samples in self._waiting:
            begin, end = max(first, start), min(first + size, start + len(samples))
            if begin < end:
                window[begin - first : end - first] = samples[begin - start : end - start]
        return np.nan_to_num(window, nan=0.0, posinf=1.0, neginf=-1.0)

    def _forget(self, before: int) -> None:
        """Let go of samples that no later window has."""
        self._waiting = deque(one for one in self._waiting if one[0] + len(one[1]) > before)
