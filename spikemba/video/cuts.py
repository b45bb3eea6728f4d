"""Cutting a part out of a video, exact to the frame, with its sound."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from spikemba.errors import OutputError, VideoError
from spikemba.files import writing
from spikemba.video.decoding import TimedFrame, opened, opened_raw, rate, seek_before, start_of, timed_frames
from spikemba.video.sampling import TURNS, exact, quarter_turns

_TICK = Fraction(1, 90_000)
_SEEK_MARGIN_S = 1


def cut_video(source: Path, out: Path, start_s: float, end_s: float, *, crf: int = 20) -> None:
    """Write what is shown and heard from `start_s` to `end_s` as an MP4 (H.264 and AAC), whole or not at all.

    It is encoded anew, since copied packets could only begin at key frames; the first frame is the one on screen at
    `start_s`. Raises VideoError when the source cannot be read or shows nothing there, OutputError.
    """
    start, end = exact(start_s), exact(end_s)
    with writing(out) as temporary:
        container = av.open(str(temporary.absolute()), "w", format="mp4")
        try:
            if not _write(container, source, start, end, crf):
                raise VideoError(source, f"shows nothing from {start_s:g} to {end_s:g} s")
            container.close()
        except av.FFmpegError as error:
            raise OutputError(out, error.strerror or "the encoder failed") from error
        finally:
            with suppress(OSError, av.FFmpegError, ValueError):
                container.close()


def _write(container: Any, source: Path, start: Fraction, end: Fraction, crf: int) -> bool:
    """Both streams into the container; False when there is no picture."""
    frames = _shown(source, start, end)
    first = next(frames, None)
    if first is None:
        return False
    upright = _Upright()
    image = upright(first.frame)
    with opened(source, "NONE") as (_, stream):
        fps = rate(stream) or Fraction(25)
    video = container.add_stream("libx264", rate=exact(float(fps)), options={"crf": str(crf), "preset": "veryfast"})
    video.width, video.height, video.pix_fmt = image.width, image.height, "yuv420p"
    video.codec_context.time_base = _TICK
    sound = _Sound(container, source, start, end)
    for shown, picture in _pictures(first, image, frames, upright):
        picture.pts = round((max(shown.start, start) - start) / _TICK)
        picture.time_base = _TICK
        picture.pict_type = 0  # the source's key frames mean nothing here
        container.mux(video.encode(picture))
        sound.write_until(shown.end)
    container.mux(video.encode(None))
    sound.finish()
    return True


def _pictures(
    first: TimedFrame, image: VideoFrame, rest: Iterator[TimedFrame], upright: "_Upright"
) -> Iterator[tuple[TimedFrame, VideoFrame]]:
    yield first, image
    for shown in rest:
        yield shown, upright(shown.frame)


def _shown(source: Path, start: Fraction, end: Fraction) -> Iterator[TimedFrame]:
    """The source's frames that are on screen between the two times."""
    early = max(Fraction(0), start - _SEEK_MARGIN_S)
    for seek in (True, False) if early else (False,):
        with opened(source, "AUTO") as (container, stream):
            if seek and not seek_before(container, stream, early):
                continue
            frames = timed_frames(container, stream)
            first = next(frames, None)
            if seek and (first is None or first.start > start):
                continue  # an index that points too far: read from the beginning
            for frame in () if first is None else _until_replaced(first, frames):
                if frame.start >= end:
                    return
                if frame.end > start:
                    yield frame
            return


def _until_replaced(first: TimedFrame, rest: Iterator[TimedFrame]) -> Iterator[TimedFrame]:
    """The frames, each shown until the next one comes: what files say of a frame's duration is not to be relied on."""
    held = first
    for following in rest:
        yield held._replace(end=following.start)
        held = following
    yield held


class _Upright:
    """Turns source frames upright, to even sides and 4:2:0."""

    def __init__(self) -> None:
        self.key: tuple[object, ...] | None = None
        self.graph = Graph()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        key = (frame.width, frame.height, frame.format.name, quarter_turns(frame))
        if key != self.key:
            self.key, self.graph = key, Graph()
            entry = self.graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=_TICK)
            filters = [
                *TURNS[quarter_turns(frame)],
                ("crop", "trunc(iw/2)*2:trunc(ih/2)*2:0:0"),
                ("format", "yuv420p"),
                ("buffersink", ""),
            ]
            self.graph.link_nodes(entry, *(self.graph.add(name, options) for name, options in filters)).configure()
        self.graph.vpush(frame)
        return self.graph.vpull()


class _Sound:
    """The source's sound between two times, sample by sample; silent files have none."""

    def __init__(self, container: Any, source: Path, start: Fraction, end: Fraction) -> None:
        self.container, self.start, self.end, self.written = container, start, end, 0
        self.stream: Any = None
        self._frames: Iterator[tuple[Fraction, Any]] = iter(())
        self._held: tuple[Fraction, Any] | None = None
        self._source = opened_raw(source)
        if not self._source.streams.audio or self._source.streams.audio[0].codec_context is None:
            return
        audio = self._source.streams.audio[0]
        self.rate = audio.rate
        self.layout = "stereo" if audio.channels > 1 else "mono"
        self.stream = container.add_stream("aac", rate=self.rate, layout=self.layout)
        self._frames = self._decoded(audio)

    def write_until(self, time: Fraction) -> None:
        """Take the sound up to a time, so that the two streams lie beside each other in the file."""
        while self.stream is not None:
            held = self._held or next(self._frames, None)
            self._held = held
            if held is None or held[0] > time:
                return
            self._write(*held)
            self._held = None

    def finish(self) -> None:
        """The rest, and what waits in the encoder."""
        if self.stream is not None:
            self.write_until(self.end)
            self.container.mux(self.stream.encode(None))
        self._source.close()

    def _decoded(self, audio: Any) -> Iterator[tuple[Fraction, Any]]:
        """(time, (channels, samples)) from the start on."""
        origin = start_of(self._source)
        self._source.seek(max(0, int((origin + self.start - _SEEK_MARGIN_S) * av.time_base)))
        resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate)
        due: Fraction | None = None
        try:
            for frame in self._source.decode(audio):
                stamp = None if frame.pts is None else frame.pts * frame.time_base - origin
                due = stamp if stamp is not None else due
                for part in resampler.resample(frame):
                    samples = part.to_ndarray()
                    yield due or Fraction(0), samples
                    due = (due or Fraction(0)) + Fraction(samples.shape[1], self.rate)
        except av.FFmpegError:
            return  # damaged sound ends early; the picture does not

    def _write(self, time: Fraction, samples: Any) -> None:
        """The samples of a frame that lie in the part; a gap before them is silence."""
        first = round((time - self.start) * self.rate)
        kept = samples[:, max(0, self.written - first) : max(0, round((self.end - self.start) * self.rate) - first)]
        gap = first - self.written
        if not kept.shape[1]:
            return
        if gap > 0:
            kept = np.concatenate((np.zeros((kept.shape[0], gap), kept.dtype), kept), axis=1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(kept), format="fltp", layout=self.layout)
        frame.rate, frame.pts, frame.time_base = self.rate, self.written, Fraction(1, self.rate)
        self.written += kept.shape[1]
        self.container.mux(self.stream.encode(frame))
