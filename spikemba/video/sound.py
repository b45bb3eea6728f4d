"""The sound of a file on the clock of its pictures, and the sound of a cut."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spikemba.video.decoding import ROUGHLY_SOUGHT, Join, opened, packets_of, rewind, seekable, start_of

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_MARGIN_S = 1
_RUN_UP_S = 4  # sound may lie so much before its pictures in a file
_DRIFT_S = Fraction(1, 20)  # stamps are rounded, to a millisecond in Matroska; only a larger step is a gap
_ASKEW_BYTES = 2_000_000  # by so much pictures and sound of the same time lie apart in a file, at most
_NEAR_S = 2  # a pause in the sound, rather than another clock: it goes on where the pictures are
_BACK_S, _FORTH_S = Fraction(-1, 2), Fraction(9)  # a larger step in stamps is another clock


class Chunk(NamedTuple):
    """Samples, (channels, n) float32, and when the first is heard, in seconds."""

    time: Fraction
    samples: NDArray[np.float32]


def default_track(container: InputContainer, video: VideoStream) -> Any:
    """The sound track that a player takes with the pictures, of those that can be decoded; None where there is none."""
    tracks = [one for one in container.streams.audio if one.codec_context is not None]
    best = container.streams.best("audio", related=video)
    return next((one for one in tracks if one is best), next(iter(tracks), None))


def tracks_note(container: InputContainer, track: Any) -> str:
    """Which of several sound tracks was taken, or why there is none, for people."""
    tracks = list(container.streams.audio)
    if track is None:
        return "its sound cannot be decoded, and its cuts are silent" if tracks else ""
    if len(tracks) < 2:
        return ""
    called = [track.metadata.get(key, "") for key in ("language", "title")]
    words = ", ".join(word for word in called if word and word != "und")
    number = next(k for k, one in enumerate(tracks, start=1) if one is track)
    chosen = f"number {number} ({words})" if words else f"number {number}"
    return f"of its {len(tracks)} sound tracks the cuts carry the default one, {chosen}"


class SoundReader:
    """The default sound track of a file from a time on, in one rate and layout; silent files give nothing.

    joins: what `timed_frames` fills while the pictures are read: where the clock of the file changes.
    one_clock: that it changes nowhere is known; then what comes long before is passed over where it cannot be sought.
    mono_hz: one channel at this rate, the mean of all; None: as a cut carries it.
    Close it after use.
    """

    rate_hz: int = 0
    """Of what is read; 0 where there is no sound."""
    layout: str = "mono"
    n_damaged: int = 0
    """Packets that could not be decoded so far."""

    def __init__(
        self, path: Path, from_s: Fraction, joins: list[Join], *, one_clock: bool = False, mono_hz: int | None = None
    ) -> None:
        self._stack = ExitStack()
        self._container, video = self._stack.enter_context(opened(path, "NONE"))
        self.track = default_track(self._container, video)
        self.note = tracks_note(self._container, self.track)
        self._joins, self._origin, self._one_clock = joins, start_of(self._container), one_clock
        self._mono_hz = mono_hz
        self._resampler: tuple[object, Any] | None = None
        self._firsts = False
        self._stamps: tuple[int, Fraction] = (0, Fraction(0))
        self._due: Fraction | None = None
        self._next = Fraction(0)  # when the next sample of the resampler is heard, which holds some back
        self._waiting: tuple[int, Fraction, Any] | None = None
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._join = -1
        self._when: Fraction | None = None
        if self.track is not None:
            self._frames = self._decoded(from_s)
            self._peek()

    def close(self) -> None:
        self._stack.close()

    def until(self, time: Fraction, position: float) -> Iterator[Chunk]:
        """The chunks that begin before a time.

        position: how far in the file, in bytes, the pictures have been read; sound behind a break in its stamps waits
        until they have passed it, since they say by which clock it goes on.
        """
        while self._waiting is not None or self._peek():
            assert self._waiting is not None
            place, raw, frame = self._waiting
            if self._when is None:
                if not self._decided(place, raw, position, time):
                    return
                self._when = self._at(place, raw)
            at = self._when
            if at >= time:
                return
            self._waiting, self._when, self._stamps = None, None, (place, raw)
            yield from self._resampled(at, frame)
        yield from self._held_back()

    def _peek(self) -> bool:
        """Whether there is another frame; the first decides on rate and layout."""
        place, frame = next(self._frames, (0, None))
        if frame is None:
            return False
        raw = self._stamps[1] if frame.pts is None else frame.pts * frame.time_base - self._origin
        if not self.rate_hz:
            self.rate_hz = self._mono_hz or aac_rate(frame.sample_rate)
            several = max(frame.layout.nb_channels, getattr(self.track, "channels", 1)) > 1
            self.layout = "stereo" if several and not self._mono_hz else "mono"
            self._stamps = (place, raw)
        self._waiting = (place, raw, frame)
        return True

    def _decided(self, place: int, raw: Fraction, position: float, time: Fraction) -> bool:
        """Whether the pictures have told by which clock this frame is heard, where its stamp does not go on."""
        if not self._jumps(raw):
            return True
        ahead = self._joins[self._join + 1 :]
        if position >= place and (ahead or abs(raw + self._shift() - time) < _NEAR_S):
            return True
        return position >= place + _ASKEW_BYTES or any(place < join.position < place + _ASKEW_BYTES for join in ahead)

    def _shift(self) -> Fraction:
        return self._joins[self._join].shift if self._join >= 0 else Fraction(0)

    def _jumps(self, raw: Fraction) -> bool:
        return not _BACK_S < raw - self._stamps[1] < _FORTH_S

    def _at(self, place: int, raw: Fraction) -> Fraction:
        """The time of a stamp; where stamps follow closely enough, samples are counted."""
        passed = sum(1 for join in self._joins if join.position <= place) - 1
        if self._jumps(raw):  # the part's sound may begin before its pictures do, but then only a little
            near = (k for k, join in enumerate(self._joins) if k > self._join and join.position < place + _ASKEW_BYTES)
            passed = max(passed, next(near, passed))
        self._join = max(self._join, passed)
        at = raw + self._shift()
        return self._due if self._due is not None and abs(at - self._due) <= _DRIFT_S else at

    def _resampled(self, at: Fraction, frame: Any) -> Iterator[Chunk]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or self._resampler[0] != kind or at != self._due:
            yield from self._held_back()
            self._resampler, self._next = (kind, self._new_resampler(frame)), at
        frame.pts = None
        yield from self._chunks(self._through(self._resampler[1], frame))
        self._due = at + Fraction(frame.samples, frame.sample_rate)

    def _held_back(self) -> Iterator[Chunk]:
        """What the resampler still has of the sound before a gap, or before the end."""
        last, self._resampler = self._resampler, None
        if last is not None:
            with suppress(av.FFmpegError):
                yield from self._chunks(last[1].resample(None))

    def _new_resampler(self, frame: Any) -> Any:
        self._firsts = False
        if self._mono_hz:  # libav's own mix is louder than its parts in some formats; packed: PyAV fails on many planes
            return av.AudioResampler(format="flt", layout=frame.layout, rate=self.rate_hz)
        return av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate_hz)

    def _through(self, resampler: Any, frame: Any) -> list[Any]:
        """A frame in rate and layout. Where libav cannot mix its channels, the first of them; else nothing is heard."""
        with suppress(av.FFmpegError, ValueError):
            return list(resampler.resample(_first_channels(frame, self.layout) if self._firsts else frame))
        if not self._firsts and self._resampler is not None and not self._mono_hz:
            self._resampler, self._firsts = (self._resampler[0], self._new_resampler(frame)), True
            kept = "first two" if self.layout == "stereo" else "first"
            self.note = f"of its {frame.layout.nb_channels} channels, which no player can place, the {kept} are heard"
            return self._through(self._resampler[1], frame)
        self.note = "its sound cannot be converted, and its cuts are silent"
        return []

    def _chunks(self, parts: Any) -> Iterator[Chunk]:
        for part in parts:
            samples = part.to_ndarray()
            if self._mono_hz:
                samples = samples.reshape(-1, part.layout.nb_channels).mean(1)[None]
            at, self._next = self._next, self._next + Fraction(samples.shape[1], self.rate_hz)
            yield Chunk(at, samples)

    def _decoded(self, from_s: Fraction) -> Iterator[tuple[int, Any]]:
        """(place of its packet in the file, frame), from a little before a time on where the file can be sought."""
        early = from_s - _MARGIN_S
        if early > 0 and seekable(self._container):
            with suppress(av.FFmpegError):
                self._container.seek(int((self._origin + early) * av.time_base))
        elif early > _RUN_UP_S and self._one_clock:
            self._seek_roughly(early)
        skipping, place = self._one_clock and early > 0, 0
        for packet in chain(packets_of(self._container, self.track), (None,)):  # what waits in the decoder comes last
            if packet is not None and packet.pos is not None:
                place = packet.pos
            if skipping and packet is not None and packet.pts is not None:
                if packet.pts * packet.time_base - self._origin < early:
                    continue
                skipping = False
            try:
                frames = self.track.decode(packet) if self.track is not None else []
            except av.FFmpegError:
                frames = []  # damaged sound costs its own time, not the rest
                self.n_damaged += packet is not None and packet.size > 0
            for frame in frames:
                yield place, frame

    def _seek_roughly(self, time: Fraction) -> None:
        """Go to a time where libav finds it nearly; back to the beginning where it went too far."""
        if self._container.format.name not in ROUGHLY_SOUGHT:
            return
        try:
            self._container.seek(math.floor((self._origin + time - _RUN_UP_S) * av.time_base))
            stamps = (packet.pts * packet.time_base for packet in packets_of(self._container, self.track) if packet.pts)
            far = next(stamps, None)
        except av.FFmpegError:
            far = None
        if far is None or far - self._origin > time:
            rewind(self._container)


def _first_channels(frame: Any, layout: str) -> Any:
    """A frame of the first channel, or the first two, of another one that has more."""
    n, samples = 2 if layout == "stereo" else 1, frame.to_ndarray()
    if frame.format.is_planar:
        samples = samples[:n]
    else:
        samples = samples.reshape(-1, frame.layout.nb_channels)[:, :n].reshape(1, -1)
    first = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=frame.format.name, layout=layout)
    first.sample_rate = frame.sample_rate
    return first


def aac_rate(rate_hz: int) -> int:
    """The rate at which AAC can carry the sound: its own, or else the next higher one, or else the highest."""
    return next((known for known in AAC_RATES_HZ if known >= rate_hz), AAC_RATES_HZ[-1])


class SoundWriter:
    """The sound of one part into a container, sample by sample from its start."""

    def __init__(self, container: Any, reader: SoundReader, span: tuple[Fraction, Fraction]) -> None:
        self.container, self.rate, self.layout, self.written = container, reader.rate_hz, reader.layout, 0
        self.start, self.end = span
        self.stream = container.add_stream("aac", rate=self.rate, layout=self.layout)

    def write(self, chunk: Chunk) -> None:
        """The samples that lie in the part and behind those written before; a gap before them is silence."""
        first, length = round((chunk.time - self.start) * self.rate), self._length()
        kept = chunk.samples[:, max(0, self.written - first) : max(0, length - first)]
        if not kept.shape[1]:
            return
        self._silence(max(0, first - self.written))
        self._encode(kept)

    def finish(self) -> None:
        """What waits in the encoder. A part in which nothing is heard is silent, rather than a track without sound."""
        if not self.written:
            self._silence(self._length())
        self.container.mux(self.stream.encode(None))

    def _length(self) -> int:
        return round((self.end - self.start) * self.rate)

    def _silence(self, n: int) -> None:
        while n > 0:
            step = min(n, self.rate)
            self._encode(np.zeros((2 if self.layout == "stereo" else 1, step), np.float32))
            n -= step

    def _encode(self, samples: NDArray[np.float32]) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self.layout)
        frame.rate, frame.pts, frame.time_base = self.rate, self.written, Fraction(1, self.rate)
        self.written += samples.shape[1]
        self.container.mux(self.stream.encode(frame))
