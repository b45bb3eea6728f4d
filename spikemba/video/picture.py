"""Pictures of a cut: turned upright, in the colours, the depth and the proportions of the source, as H.264."""

from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from spikemba.video.decoding import TimedFrame
from spikemba.video.orientation import Orientation, orientation

TICK = Fraction(1, 90_000)
_SMALL_PX = 320 * 240  # more threads are slower on smaller pictures
_UNSAID = 2  # as ITU-T H.273 counts matrices, primaries and transfers
_BT709 = 1
_LIMITED, _FULL = 1, 2
_MATRICES = frozenset(range(15)) - {3}
_PRIMARIES = frozenset((*range(1, 13), 22)) - {3}
_TRANSFERS = frozenset(range(1, 19)) - {3}
_NAMED = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
"""Matrices between which swscale converts, as it calls them."""


class Colours(NamedTuple):
    """What the numbers of a picture mean; matrix, primaries and transfer as ITU-T H.273 counts them."""

    range: int
    """0 unsaid, 1 limited (16 to 235), 2 full."""
    matrix: int
    primaries: int
    transfer: int

    @property
    def filter(self) -> tuple[str, str]:
        """Tells libavfilter what comes, and no value that it would refuse."""
        names = ("range", "colorspace", "color_primaries", "color_trc")
        return "setparams", ":".join(f"{name}={value}" for name, value in zip(names, self, strict=True))


def colours(frame: VideoFrame) -> Colours:
    """The meaning of a frame's numbers, reserved values left out."""
    full = frame.format.name.startswith("yuvj")
    return Colours(
        _FULL if full else frame.color_range if frame.color_range in (_LIMITED, _FULL) else 0,
        frame.colorspace if frame.colorspace in _MATRICES else _UNSAID,
        frame.color_primaries if frame.color_primaries in _PRIMARIES else _UNSAID,
        frame.color_trc if frame.color_trc in _TRANSFERS else _UNSAID,
    )


class Target(NamedTuple):
    """How the pictures of a cut are written: as its first one says."""

    width: int
    height: int
    pix_fmt: str
    colours: Colours
    aspect: Fraction
    """Width of a pixel over its height."""
    interlaced: bool
    one_field: bool = False
    """Whether of interlaced pictures one field is shown, its missing lines drawn from their neighbours."""


def target_of(frame: VideoFrame, aspect: Fraction) -> Target:
    """aspect: of the stored pixels. Sides lose a row or a column where 4:2:0, or its fields, need even ones."""
    turned = orientation(frame)
    interlaced = frame.interlaced_frame and not turned.filters()
    width, height = (frame.height, frame.width) if turned.swaps_sides else (frame.width, frame.height)
    unit = 4 if interlaced else 2
    return Target(
        max(2, width // 2 * 2),
        max(2, height // unit * unit),
        "yuv420p10le" if max((part.bits for part in frame.format.components), default=8) > 8 else "yuv420p",
        _written_colours(frame),
        1 / aspect if turned.swaps_sides else aspect,
        interlaced,
    )


def _written_colours(frame: VideoFrame) -> Colours:
    """The source's own where they can be, BT.709 in limited range for pictures in red, green and blue."""
    own, components = colours(frame), frame.format.components
    if frame.format.is_rgb or frame.format.has_palette or own.matrix == 0:
        matrix = own.primaries if own.primaries == 9 else _BT709
        return own._replace(range=_LIMITED, matrix=matrix)
    if len(components) < 3:  # grey is in full range unless it says otherwise
        return own._replace(range=own.range or _LIMITED)
    return own


def top_field_first(frame: VideoFrame) -> bool:
    """Whether the upper field of an interlaced frame is the earlier one; a filter changes the others, and only them."""
    as_it_is, ordered = (_in_grey(frame, filters) for filters in ([], [("fieldorder", "tff")]))
    return bool(np.array_equal(as_it_is, ordered))


def _in_grey(frame: VideoFrame, filters: list[tuple[str, str]]) -> NDArray[np.uint8]:
    """(H, W) after some filters, of which not all take pictures in colour."""
    graph = Graph()
    entry = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=TICK)
    chain = [_sayable(colours(frame)).filter, ("format", "gray"), *filters, ("buffersink", "")]
    graph.link_nodes(entry, *(graph.add(name, options) for name, options in chain)).configure()
    _say(frame, _sayable(colours(frame)))
    graph.vpush(frame)
    return np.asarray(graph.vpull().to_ndarray(), np.uint8)


def _sayable(seen: Colours) -> Colours:
    """Colours as libavfilter takes them; it refuses matrices between which it cannot convert."""
    return seen if seen.matrix == 0 or seen.matrix in _NAMED else seen._replace(matrix=_UNSAID)


def _say(frame: VideoFrame, seen: Colours) -> None:
    frame.color_range, frame.colorspace = seen.range, seen.matrix
    frame.color_primaries, frame.color_trc = seen.primaries, seen.transfer


class UprightPictures:
    """Source frames as one target wants them, whatever they turn into on the way."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._key: tuple[object, ...] | None = None
        self._graph = Graph()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        key = (frame.width, frame.height, frame.format.name, orientation(frame), colours(frame), frame.interlaced_frame)
        if key != self._key:
            self._key, self._graph = key, self._made(frame, orientation(frame))
        _say(frame, _sayable(colours(frame)))
        self._graph.vpush(frame)
        if self.target.one_field and frame.interlaced_frame:  # its filter gives a picture when the next one comes
            with suppress(av.BlockingIOError):
                self._graph.vpull()
            self._graph.vpush(frame)
        picture: VideoFrame = self._graph.vpull()
        picture.pict_type = 0  # the source's key frames mean nothing here
        return picture

    def _made(self, frame: VideoFrame, turned: Orientation) -> Graph:
        graph, to, seen = Graph(), self.target, colours(frame)
        width, height = (frame.height, frame.width) if turned.swaps_sides else (frame.width, frame.height)
        entry = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=TICK)
        fields = [("bwdif", "mode=send_frame:deint=all")] if to.one_field and frame.interlaced_frame else []
        filters = [_sayable(seen).filter, *fields, *turned.filters()]
        if 0 <= width - to.width < 4 and 0 <= height - to.height < 4:
            filters.append(("crop", f"{to.width}:{to.height}:0:0"))
        scale = [f"{to.width}:{to.height}", "flags=bicubic+accurate_rnd+full_chroma_int"]
        if to.interlaced:
            scale.append("interl=1")
        if seen != to.colours or frame.format.name not in (to.pix_fmt, "yuvj420p"):
            scale += _conversion(frame, seen, to.colours)
        filters += [("scale", ":".join(scale)), ("format", to.pix_fmt), to.colours.filter, ("buffersink", "")]
        graph.link_nodes(entry, *(graph.add(name, options) for name, options in filters)).configure()
        return graph


def _conversion(frame: VideoFrame, seen: Colours, to: Colours) -> list[str]:
    """What swscale is told where the numbers themselves change."""
    options = []
    if to.range:
        options.append(f"out_range={'full' if to.range == _FULL else 'limited'}")
    coloured = len(frame.format.components) > 2 or frame.format.has_palette
    if coloured and seen.matrix != to.matrix and to.matrix in _NAMED:
        options.append(f"out_color_matrix={_NAMED[to.matrix]}")
    return options


class PictureWriter:
    """The pictures of one part into a container, each for exactly the time for which it is shown."""

    def __init__(
        self,
        container: Any,
        first: VideoFrame,
        aspect: Fraction,
        fps: Fraction,
        span: tuple[Fraction, Fraction],
        crf: int,
        target: Target | None = None,
        preset: str = "veryfast",
    ) -> None:
        """aspect: of the stored pixels.  fps: what the bits are shared out by.  span: the part, in seconds.

        target: what the pictures become, where that is not `target_of` the first.  preset: of libx264.
        """
        self.container, self.start, self.end = container, *span
        target = target or target_of(first, aspect)
        self._upright = UprightPictures(target)
        self._durations: dict[int, int] = {}
        # Without B-frames pictures lie in the file in the order in which they are shown, so that it can say of each how
        # long it stays, also of the last.
        options = {"crf": str(crf), "preset": preset, "bf": "0"}
        if target.interlaced:
            order = "tff=1" if top_field_first(first) else "bff=1"
            options |= {"flags": "+ildct+ilme", "x264-params": order}
        self.stream = container.add_stream("libx264", rate=fps, options=options)
        self.stream.width, self.stream.height, self.stream.pix_fmt = target.width, target.height, target.pix_fmt
        context = self.stream.codec_context
        context.time_base, context.sample_aspect_ratio = TICK, target.aspect
        context.color_range, context.colorspace = target.colours.range, target.colours.matrix
        context.color_primaries, context.color_trc = target.colours.primaries, target.colours.transfer
        if target.width * target.height <= _SMALL_PX:
            self.stream.thread_count = 1

    def write(self, shown: TimedFrame) -> None:
        """A picture, for as much of its time as lies in the part."""
        begins, ends = (round((min(max(at, self.start), self.end) - self.start) / TICK) for at in shown[:2])
        if ends <= begins:
            return
        picture = self._upright(shown.frame)
        picture.pts, picture.time_base = begins, TICK
        self._durations[begins] = ends - begins
        self._mux(self.stream.encode(picture))

    def finish(self) -> None:
        """What waits in the encoder."""
        self._mux(self.stream.encode(None))

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            self.container.mux(packet)
