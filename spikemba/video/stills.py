"""Single pictures of a file as JPEG: the one on screen at a time, or for thumbnails a key frame close by."""

import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from spikemba.errors import VideoError
from spikemba.video.clock import SEEK_MARGIN_S
from spikemba.video.decoding import AGAIN, TimedFrame, opened, rate, seek_before, start_of, timed_frames
from spikemba.video.kept import identity
from spikemba.video.orientation import orientation
from spikemba.video.sampling import Image, exact
from spikemba.video.stopping import Stop, Stopped

HEIGHTS = (90, 180, 360)
"""Of a picture, in pixels; a tall one is so wide instead."""
NEAR_S = Fraction(1)
"""So far before its time a key frame may be shown as a thumbnail."""
_WORK_PX = 250 * 1280 * 720
"""Pixels that are decoded for a thumbnail, about; where the key frame lies farther before it, that is shown."""
_OPEN = 6
"""Files that are held open, at most."""
_EXACT_HEIGHT = 360
_SOUGHT = ("mpegts", "avi", "flv", "asf")
"""Containers in which libav finds a time well enough for a picture; what it found is looked at."""
_KEPT_BYTES = 48 * 2**20
_QUALITY = 82


class Stills:
    """Pictures of any files, for any threads; the last ones are kept in memory."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, float, int], bytes] = OrderedDict()
        self._open: list[tuple[str, _Open]] = []
        self._room, self._lock = kept_bytes, Lock()

    def still(self, path: Path, at_s: float, height: int, stop: Stop = lambda: False) -> bytes:
        """The picture at a time as JPEG, upright, in square pixels; past the end the last one.

        height: of HEIGHTS, in pixels. The largest shows the very picture of that time; smaller ones may show a key
        frame up to NEAR_S before it, or the last one where decoding on from it would take too long.
        Raises VideoError when the file cannot be read as a video, Stopped.
        """
        try:
            key = (identity(path), at_s, height)
        except OSError as error:
            raise VideoError(path, f"cannot be opened ({error.strerror}); expected a readable video file") from error
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        try:
            content = self._made(path, key, stop)
        except av.FFmpegError as error:
            raise VideoError(path, f"its picture at {at_s:g} s cannot be shown: {error.strerror}") from error
        with self._lock:
            self._room += len(self._kept.pop(key, b"")) - len(content)
            self._kept[key] = content
            while self._room < 0 and len(self._kept) > 1:
                self._room += len(self._kept.popitem(last=False)[1])
        return content

    def _made(self, path: Path, key: tuple[str, float, int], stop: Stop) -> bytes:
        name, at_s, height = key
        with self._lock:
            at = next((k for k, (other, _) in enumerate(self._open) if other == name), None)
            one = None if at is None else self._open.pop(at)[1]
        one = one or _Open(path)
        try:
            frame = _Search(path, one, exact(at_s), stop).found(height >= _EXACT_HEIGHT)
            content = _jpeg(frame, Fraction(one.stream.sample_aspect_ratio or 1), height)
        except BaseException:
            one.close()
            raise
        with self._lock:
            self._open.append((name, one))
            closed = [self._open.pop(0)[1]] if len(self._open) > _OPEN else []
        for old in closed:
            old.close()
        return content

    def close(self) -> None:
        """Close the files that are held open."""
        with self._lock:
            held, self._open = self._open, []
        for _, one in held:
            one.close()


class _Open:
    """A file that is open for one picture after the other."""

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        self.container, self.stream = self._stack.enter_context(opened(path, "NONE"))
        self.close = self._stack.close


class _Search:
    """Looks for the picture of a time in an open file."""

    def __init__(self, path: Path, one: _Open, time: Fraction, stop: Stop) -> None:
        self.path, self.container, self.stream, self.time, self.stop = path, one.container, one.stream, time, stop

    def found(self, exactly: bool) -> VideoFrame:
        """The picture. exactly: or else one close by."""
        context = self.stream.codec_context
        context.skip_frame = "DEFAULT"
        frame = None if exactly else self._near()
        context.skip_frame = "DEFAULT"
        if frame is not None:
            return frame
        for back in (Fraction(SEEK_MARGIN_S), Fraction(6)):
            if self.time > 2 * back and self._sought(self.container, self.stream, self.time - back):
                frame = self._on_screen(self._keys(self.container, self.stream))
                if frame is not None:
                    return frame
        with opened(self.path, "AUTO") as (container, stream):
            frame = self._on_screen(timed_frames(container, stream), first_counts=True)
        if frame is None:
            raise VideoError(self.path, f"no frame of its video can be decoded; the file is damaged, {AGAIN}")
        return frame

    def _near(self) -> VideoFrame | None:
        """A key frame close before the time, or far before it where decoding on would take too long."""
        if not self._sought(self.container, self.stream, self.time):
            return None
        self.stream.codec_context.skip_frame = "NONKEY"
        shown = next(self._keys(self.container, self.stream), None)
        if shown is None or shown.start > self.time:
            return None
        before = self.time - shown.start
        work_px = before * (rate(self.stream) or 25) * shown.frame.width * shown.frame.height
        return shown.frame if before <= NEAR_S or work_px > _WORK_PX else None

    def _sought(self, container: InputContainer, stream: VideoStream, time: Fraction) -> bool:
        """Move to a key frame before a time, or near it; False where that is not possible."""
        if seek_before(container, stream, time):
            return True
        if container.format.name not in _SOUGHT:
            return False
        try:
            container.seek(int((start_of(container) + time) * av.time_base))
        except av.FFmpegError:
            return False
        return True

    def _keys(self, container: InputContainer, stream: VideoStream) -> Iterator[TimedFrame]:
        """Pictures from the first key frame on; those before it lean on what was not read."""
        begun = False
        for shown in timed_frames(container, stream):
            if self.stop():
                raise Stopped
            begun = begun or shown.frame.key_frame
            if begun:
                yield shown

    def _on_screen(self, frames: Iterator[TimedFrame], first_counts: bool = False) -> VideoFrame | None:
        """The last picture that begins by the time. first_counts: the first of all, where none does; else None."""
        last: VideoFrame | None = None
        for shown in frames:
            if self.stop():
                raise Stopped
            if shown.start > self.time:
                return shown.frame if last is None and first_counts else last
            last = shown.frame
        return last


def _jpeg(frame: VideoFrame, aspect: Fraction, height: int) -> bytes:
    """A picture as a JPEG.  aspect: of the stored pixels."""
    from PIL import Image as Pillow

    turned = orientation(frame)
    wide, tall = (frame.width * aspect, Fraction(frame.height))
    wide, tall = (tall, wide) if turned.swaps_sides else (wide, tall)
    width = min(max(2, round(wide / tall * height)), 8 * height)
    if frame.colorspace > 14 or frame.colorspace in (2, 3):  # unsaid, or reserved: as players take it
        frame.colorspace = 1 if frame.height > 576 else 5
    if frame.color_range > 2:
        frame.color_range = 0
    steps = [("setparams", "color_primaries=unknown:color_trc=unknown"), *turned.filters()]
    try:
        image = _filtered(frame, [*steps, ("scale", f"{width}:{height}:flags=bicubic+accurate_rnd")])
    except av.FFmpegError:  # sides of which swscale makes no such picture
        image = _filtered(frame, steps)
    file = io.BytesIO()
    picture = Pillow.fromarray(image)
    picture = picture if picture.size == (width, height) else picture.resize((width, height))
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _filtered(frame: VideoFrame, steps: list[tuple[str, str]]) -> Image:
    """A picture through some filters.  Raises av.FFmpegError."""
    graph = Graph()
    entry: Any = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=frame.time_base)
    filters = [*steps, ("format", "rgb24"), ("buffersink", "")]
    graph.link_nodes(entry, *(graph.add(name, options) for name, options in filters)).configure()
    graph.vpush(frame)
    return np.asarray(graph.vpull().to_ndarray(), np.uint8)
