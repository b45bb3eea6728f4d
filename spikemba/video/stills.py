"""Single pictures of a file as JPEG: the one on screen at a time, or for thumbnails a key frame close by."""

import io
from collections import OrderedDict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from spikemba.errors import VideoError
from spikemba.video.clock import SEEK_MARGIN_S
from spikemba.video.decoding import AGAIN, TimedFrame, opened, seek_before, start_of, timed_frames
from spikemba.video.kept import identity
from spikemba.video.orientation import orientation
from spikemba.video.piece_reading import Stop, Stopped
from spikemba.video.sampling import exact

HEIGHTS = (90, 180, 360)
"""Of a picture, in pixels; a tall one is so wide instead."""
NEAR_S = Fraction(1)
"""So far before its time a key frame may be shown as a thumbnail."""
FAR_S = Fraction(12)
"""So far before its time a key frame is shown rather than that all behind it is decoded, as a thumbnail."""
_EXACT_HEIGHT = 360
_SOUGHT = ("mpegts", "avi", "flv", "asf")
"""Containers in which libav finds a time well enough for a picture; what it found is looked at."""
_KEPT_BYTES = 48 * 2**20
_QUALITY = 82


class Stills:
    """Pictures of any files, for any threads; the last ones are kept in memory."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, float, int], bytes] = OrderedDict()
        self._room, self._lock = kept_bytes, Lock()

    def still(self, path: Path, at_s: float, height: int, stop: Stop = lambda: False) -> bytes:
        """The picture at a time as JPEG, upright, in square pixels; past the end the last one.

        height: of HEIGHTS, in pixels. The largest shows the very picture of that time; smaller ones may show a key
        frame up to NEAR_S before it (FAR_S and more where there is none so long).
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
            content = _jpeg(*_Search(path, exact(at_s), height >= _EXACT_HEIGHT, stop).found(), height)
        except av.FFmpegError as error:
            raise VideoError(path, f"its picture at {at_s:g} s cannot be shown: {error.strerror}") from error
        with self._lock:
            self._room += len(self._kept.pop(key, b"")) - len(content)
            self._kept[key] = content
            while self._room < 0 and len(self._kept) > 1:
                self._room += len(self._kept.popitem(last=False)[1])
        return content


class _Search:
    """Looks for the picture of a time."""

    def __init__(self, path: Path, time: Fraction, exactly: bool, stop: Stop) -> None:
        self.path, self.time, self.exactly, self.stop = path, time, exactly, stop

    def found(self) -> tuple[VideoFrame, Fraction]:
        """The picture and the proportions of its pixels."""
        frame, aspect = self._near() if not self.exactly else (None, Fraction(1))
        if frame is not None:
            return frame, aspect
        for back in (Fraction(SEEK_MARGIN_S), Fraction(6), None):
            with opened(self.path, "AUTO") as (container, stream):
                if back is not None and not (
                    self.time > 2 * back and self._sought(container, stream, self.time - back)
                ):
                    continue
                frame = self._on_screen(container, stream, first_counts=back is None)
                if frame is not None:
                    return frame, Fraction(stream.sample_aspect_ratio or 1)
        raise VideoError(self.path, f"no frame of its video can be decoded; the file is damaged, {AGAIN}")

    def _near(self) -> tuple[VideoFrame | None, Fraction]:
        """A key frame close before the time, or one far before it where there is none so long; None for others."""
        with opened(self.path, "NONE") as (container, stream):
            if self.time > 0 and not self._sought(container, stream, self.time):
                return None, Fraction(1)
            stream.codec_context.skip_frame = "NONKEY"
            shown = next(self._keys(container, stream), None)
            before = None if shown is None else self.time - shown.start
            if shown is None or before is None or before < 0 or NEAR_S < before <= FAR_S:
                return None, Fraction(1)
            return shown.frame, Fraction(stream.sample_aspect_ratio or 1)

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

    def _on_screen(self, container: InputContainer, stream: VideoStream, first_counts: bool) -> VideoFrame | None:
        """The last picture that begins by the time. first_counts: the first of all, where none does; else None."""
        last: VideoFrame | None = None
        for shown in self._keys(container, stream) if not first_counts else timed_frames(container, stream):
            if self.stop():
                raise Stopped
            if shown.start > self.time and (last is not None or not first_counts):
                return last
            last = shown.frame
            if shown.start > self.time:
                return last
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
    graph = Graph()
    entry: Any = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=frame.time_base)
    filters = [
        ("setparams", "color_primaries=unknown:color_trc=unknown"),
        *turned.filters(),
        ("scale", f"{width}:{height}:flags=bicubic+accurate_rnd"),
        ("format", "rgb24"),
        ("buffersink", ""),
    ]
    graph.link_nodes(entry, *(graph.add(name, options) for name, options in filters)).configure()
    graph.vpush(frame)
    file = io.BytesIO()
    Pillow.fromarray(graph.vpull().to_ndarray()).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
