"""Video files: what they say of themselves, and frames sampled at a steady rate, in memory that does not grow."""

# Shapes: H height, Wd width.

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spikemba.errors import UnknownName, VideoError
from spikemba.video.clock import LONGEST_S, SEEK_MARGIN_S, claims_more, measured_end, shown_from
from spikemba.video.completeness import is_whole
from spikemba.video.decoding import (
    AGAIN,
    Join,
    Threads,
    TimedFrame,
    declared_end,
    decoded,
    opened,
    rate,
    seekable,
)
from spikemba.video.orientation import Orientation, orientation
from spikemba.video.pillow_resize import FINISHES

Image = NDArray[np.uint8]  # (H, Wd, 3), RGB

_SEEK_MARGIN_S = SEEK_MARGIN_S
_SHORT_S = 3  # what claims to be so short is measured


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself; each number is a claim until the file is decoded."""

    path: Path
    width: int
    """Pixels, as displayed (after rotation)."""
    height: int
    """Pixels, as displayed (after rotation)."""
    fps: float
    """Average frames per second; 0 when the file does not say."""
    duration_s: float | None
    """Declared end of the video, or of the file when only that is known; None when the file does not say."""
    codec: str
    """As FFmpeg calls it: h264, hevc, vp9, av1."""
    rotation: int
    """Degrees, counter-clockwise, that the stored picture is turned for display."""
    has_audio: bool
    pixel_aspect: float = 1.0
    """Width of a pixel over its height, as displayed."""
    counts_frames: bool = True
    """Whether the container says how many frames there are, as MP4 and AVI do, and how long their stream is."""


class Frame(NamedTuple):
    """One sampled frame: number `index` at the rule's rate, shown by the source frame of `time_s`.

    image: (H, Wd, 3) uint8 RGB. Neighbours that show the same source frame share one array: copy before changing it.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which no one calls on a frame
    time_s: float
    image: Image


# Chains of libavfilter filters that make an RGB image of `size` pixels from an upright frame. Filters and not
# VideoFrame.reformat, which since PyAV 17 places chroma samples elsewhere than ffmpeg does (up to 30 of 255 apart).
RESIZES: dict[str, tuple[tuple[str, str], ...]] = {
    # Behind the published CLIP and SlowFast features of this field (linjieli222/HERO_Video_Feature_Extractor): the long
    # side loses its fraction, and the crop's corner too, which in yuv420p would also be rounded to an even number.
    "short_side_crop": (
        ("scale", "trunc(iw*{size}/min(iw,ih)):trunc(ih*{size}/min(iw,ih)):flags=bicubic"),
        ("format", "rgb24"),
        ("crop", "{size}:{size}:trunc((iw-{size})/2):trunc((ih-{size})/2)"),
    ),
    # What recognition crops from: the whole picture, whose short side is `size` pixels.
    "short_side": (
        ("scale", "trunc(iw*{size}/min(iw,ih)):trunc(ih*{size}/min(iw,ih)):flags=bicubic"),
        ("format", "rgb24"),
    ),
    # The models' own preprocessing, by Pillow: CLIP's keeps the proportions, SigLIP's does not.
    **dict.fromkeys(FINISHES, (("format", "rgb24"),)),
}
_MATRICES = (0, 1, 2, 4, 5, 6, 7, 9)  # AVColorSpace values that swscale can convert


@dataclass(frozen=True)
class FrameRule:
    """Which frames an encoder sees, and at what size.

    Frame k is the last source frame strictly before (k + 0.5) / fps, or the first frame where none is; as by ffmpeg's
    `fps` filter. A video has its decoded duration times `fps` of them, rounded (a half goes up), and at least one.
    Raises ValueError for a rate or a size that is not positive, UnknownName for an unknown resize.
    """

    fps: float | Fraction
    """Frames taken per second of video."""
    size_px: int
    """Side of the square image, or the short side of a whole picture."""
    resize: str = "short_side_crop"
    """How a source frame becomes that image: a key of RESIZES."""
    cycle: int = 1
    """Frames are counted in groups of this many, ..."""
    wanted: tuple[int, ...] = (0,)
    """... of which only these are made into images."""
    fill: bool = False
    """Fill the last group with the video's last frame, ..."""
    repeat: int = 1
    """... or, if more than 1, with the last frame that was taken, and only up to a multiple of this many; the last so
    many are then repeated until it is full. The frames that they come from must be wanted too."""

    def __post_init__(self) -> None:
        if not (0 < self.fps < math.inf and self.size_px > 0):
            raise ValueError(f"a frame rule needs a positive rate and size; got {self.fps} fps, {self.size_px} px")
        if self.resize not in RESIZES:
            raise UnknownName("resize", self.resize, sorted(RESIZES))
        if not self.wanted or not all(0 <= k < self.cycle for k in self.wanted):
            raise ValueError(f"of {self.cycle} frames a rule can want 0 to {self.cycle - 1}; got {self.wanted}")


def probe(path: Path | str) -> VideoInfo:
    """What the file says of its best video stream; one frame is decoded to know that it is a video.

    Raises VideoError when the file cannot be read as a video.
    """
    return VideoReader(path).info


class VideoReader:
    """One video file; each iteration is one decoding pass, which serves any number of rules.

    threads: "AUTO" is fastest for one video; "NONE" when several are read at once, each in its own thread.
    Raises VideoError when the file cannot be read as a video.
    """

    info: VideoInfo
    duration_s: float | None
    """End of the last frame that decoded, in seconds; None until a pass has reached it."""
    joins: list[Join]
    """Where the clock of a broadcast file changes, as far as the last pass came."""

    def __init__(self, path: Path | str, *, threads: Threads = "AUTO") -> None:
        self.path, self.threads, self.duration_s, self.joins = Path(path), threads, None, []
        with opened(self.path, "NONE") as (container, stream):  # threads would read ahead by several frames
            first = next(decoded(container, stream), None)
            if first is None:
                raise self._undecodable()
            declared, self._seekable = declared_end(container, stream), seekable(container)
            if declared is not None and declared < _SHORT_S:  # or the writer was stopped before it could say more
                measured = measured_end(self.path)
                declared = measured if claims_more(measured, declared) else declared
            self._declared_end = declared
            self.info = _describe(self.path, container, stream, first, self._declared_end)

    def measured_end_s(self) -> float:
        """End of the last picture, in seconds, as a pass over the file finds it; the header is not believed.

        Raises VideoError when it cannot be read.
        """
        return float(measured_end(self.path)) if self.duration_s is None else self.duration_s

    def timed(self) -> float:
        """`duration_s` and `joins` as a pass over all frames leaves them, without making an image of any.

        Raises VideoError as `frames_for` does.
        """
        if self.duration_s is None:
            end = Fraction(0)
            if self._seekable:
                end = measured_end(self.path)
            else:
                for shown in self._from_before(Fraction(0)):
                    end = shown.end
            self._check_end(end)
            self.duration_s = float(end)
        return self.duration_s

    def frames(self, rule: FrameRule, *, start_s: float | None = None, end_s: float | None = None) -> Iterator[Frame]:
        """The frames of one rule, in order; arguments and errors as for `frames_for`."""
        return (frame for _, frame in self.frames_for([rule], start_s=start_s, end_s=end_s))

    def frames_for(
        self, rules: Sequence[FrameRule], *, start_s: float | None = None, end_s: float | None = None
    ) -> Iterator[tuple[int, Frame]]:
        """Decode once and yield (index of the rule, its next frame), each as soon as its source frame is known.

        start_s, end_s: only frames k with start_s <= k / fps < end_s, the same ones as without limits; decoding
        begins at a key frame before `start_s` and ends when nothing more is wanted.
        Raises VideoError, after the frames that could be read, when the file ends long before it says it does.
        """
        samplers = [_Sampler(rule, start_s, end_s) for rule in rules]
        needed = min((s.boundary for s in samplers if not s.done), default=None)
        if needed is None:
            return
        shown = None
        for shown in self._from_before(needed):
            for i, sampler in enumerate(samplers):
                yield from ((i, frame) for frame in sampler.until(shown.end, shown))
            if all(s.done for s in samplers):
                return
        if shown is None:
            raise self._undecodable()
        self._check_end(shown.end)
        self.duration_s = float(shown.end)
        for i, sampler in enumerate(samplers):
            # A video shorter than half a period still has its frame 0.
            yield from ((i, frame) for frame in sampler.until(max(shown.end, 1 / (2 * sampler.fps)), shown))
            yield from ((i, frame) for frame in sampler.filled(shown))

    def at(self, times_s: Sequence[float | Fraction], size_px: int, resize: str = "short_side") -> list[Image]:
        """The image shown at each time: of the last source frame that starts by then, or of the first of all.

        times_s: ascending; past the end they show the last frame, and equal frames share one array. size_px, resize:
        as in FrameRule.  Raises VideoError when nothing can be decoded.
        """
        resizer, wanted = _Resizer(FrameRule(1, size_px, resize)), [exact(time) for time in times_s]
        images: list[Image] = []
        shown: TimedFrame | None = None
        for shown in self._from_before(wanted[0]) if wanted else ():
            images += _while_shown(shown, resizer, wanted[len(images) :], shown.end)
            if len(images) == len(wanted):
                return images
        if shown is None:
            raise self._undecodable()
        return images + _while_shown(shown, resizer, wanted[len(images) :], None)

    def stills(self, times_s: Sequence[float | Fraction], size_px: int, resize: str = "short_side") -> list[Image]:
        """What `at` gives, for times all over the file: sought where it can be, or else in one pass."""
        if not self._seekable:
            return self.at(times_s, size_px, resize)
        return [image for time in times_s for image in self.at([time], size_px, resize)]

    def source_frames(self, size_px: int, resize: str = "short_side") -> Iterator[Image]:
        """Every frame of the file as an image, however long each is shown. Raises VideoError when there is none."""
        resizer = _Resizer(FrameRule(1, size_px, resize))
        with opened(self.path, self.threads) as (container, stream):
            for frame in decoded(container, stream):
                yield resizer(frame)

    def _from_before(self, needed: Fraction) -> Iterator[TimedFrame]:
        """Source frames in order, beginning with one before `needed` (or with the first of all)."""
        self.joins = []
        return shown_from(self.path, self.threads, needed, Fraction(_SEEK_MARGIN_S), self.joins)

    def _check_end(self, end: Fraction) -> None:
        """Raise VideoError where pictures are missing. Where only the header speaks of more, the file is as it is."""
        declared = self._declared_end
        if declared is None or not claims_more(declared, end):
            return
        if is_whole(self.path) and not claims_more(measured_end(self.path), end):
            return
        read = f"only {float(end):.1f} s of {float(declared):.1f} s could be read"
        raise VideoError(self.path, f"{read}; the file is cut short or damaged, {AGAIN}")

    def _undecodable(self) -> VideoError:
        return VideoError(self.path, f"no frame of its video can be decoded; the file is damaged, {AGAIN}")


def sample_frames(
    path: Path | str, rule: FrameRule, *, start_s: float | None = None, end_s: float | None = None
) -> Iterator[Frame]:
    """`VideoReader(path).frames(rule)`: the frames of one rule, when the decoded duration is not wanted."""
    return VideoReader(path).frames(rule, start_s=start_s, end_s=end_s)


class _Sampler:
    """Picks the frames of one rule from the source frames as they pass."""

    def __init__(self, rule: FrameRule, start_s: float | None, end_s: float | None) -> None:
        self.fps, self.resize, self.rule = exact(rule.fps), _Resizer(rule), rule
        self.index = max(0, math.ceil(exact(start_s or 0) * self.fps))
        self.stop = math.inf if end_s is None else math.ceil(exact(end_s) * self.fps)
        self._latest: dict[int, Frame] = {}
        self._shown: TimedFrame | None = None

    @property
    def boundary(self) -> Fraction:
        """The next frame is the last source frame strictly before this time."""
        return (2 * self.index + 1) / (2 * self.fps)

    @property
    def done(self) -> bool:
        return self.index >= self.stop

    def until(self, time: Fraction, shown: TimedFrame) -> Iterator[Frame]:
        """The frames due at `time`, when `shown` is replaced; only a frame that is taken is converted."""
        image = None
        while not self.done and self.boundary <= time:
            if self.index % self.rule.cycle in self.rule.wanted:
                if image is None:
                    image = self.resize(shown.frame)
                yield self._kept(Frame(self.index, float(shown.start), image))
            self.index += 1
            self._shown = shown

    def filled(self, last: TimedFrame) -> Iterator[Frame]:
        """The wanted frames that the last group still lacks, if the rule asks for them."""
        missing = -self.index % self.rule.cycle
        if not self.rule.fill or not missing or self.done:
            return
        end, repeat = self.index + missing, self.rule.repeat
        held = end if repeat == 1 else min(end, math.ceil(self.index / repeat) * repeat)
        if held > self.index:
            # what is repeated are frames of the rule's rate, of which the file's last need not be one
            held_frame = last if repeat == 1 else self._shown or last
            yield from self.until(Fraction(2 * held - 1) / (2 * self.fps), held_frame)
        for index in range(held, end):
            if index % self.rule.cycle in self.rule.wanted:
                again = self._latest[held - repeat + (index - held) % repeat]
                yield Frame(index, again.time_s, again.image)

    def _kept(self, frame: Frame) -> Frame:
        """The frame, remembered for as long as it may have to be repeated."""
        if self.rule.repeat > 1:
            oldest = frame.index - self.rule.repeat
            self._latest = {k: one for k, one in self._latest.items() if k > oldest} | {frame.index: frame}
        return frame


class _Resizer:
    """Turns a source frame upright and into the image of a rule; the filters are set up once per size and format."""

    def __init__(self, rule: FrameRule) -> None:
        self.filters = [(name, options.format(size=rule.size_px)) for name, options in RESIZES[rule.resize]]
        self.finish, self.size_px = FINISHES.get(rule.resize), rule.size_px
        self.source: tuple[int, int, str, Orientation] | None = None
        self.graph = Graph()

    def __call__(self, frame: VideoFrame) -> Image:
        source = (frame.width, frame.height, frame.format.name, orientation(frame))
        if source != self.source:
            self.source, self.graph = source, self._graph(frame)
        if frame.colorspace not in _MATRICES or frame.color_range > 2:
            frame.colorspace, frame.color_range = 2, 0  # unspecified; libav would refuse the frame
        self.graph.vpush(frame)
        image: Image = np.asarray(self.graph.vpull().to_ndarray(), np.uint8)
        return self.finish(image, self.size_px) if self.finish else image

    def _graph(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        entry = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=frame.time_base)
        # Light curves play no part here, but libav refuses the reserved values that some encoders write for them.
        ignored = ("setparams", "color_primaries=unknown:color_trc=unknown")
        filters = [ignored, *orientation(frame).filters(), *self.filters, ("buffersink", "")]
        graph.link_nodes(entry, *(graph.add(name, options) for name, options in filters)).configure()
        return graph


def _while_shown(
    shown: TimedFrame, resizer: _Resizer, times: Sequence[Fraction], until: Fraction | None
) -> list[Image]:
    """The frame's image, once for each of the times before `until`; only a frame that is taken is converted."""
    n = sum(1 for time in times if until is None or time < until)
    return [resizer(shown.frame)] * n if n else []


def exact(number: float | Fraction) -> Fraction:
    """The fraction that a person means by 29.97 or 0.1; same bound on the denominator as in ffmpeg's parser."""
    return Fraction(number).limit_denominator(1_001_000)


def _describe(
    path: Path, container: InputContainer, stream: VideoStream, first: VideoFrame, end: Fraction | None
) -> VideoInfo:
    if end is None and container.duration is not None:
        end = Fraction(container.duration, av.time_base)
    if end is not None and end > LONGEST_S:  # whoever counts by it would count for ever
        end = measured_end(path)
    sides, aspect = (first.width, first.height), stream.sample_aspect_ratio or Fraction(1)
    turned = orientation(first).swaps_sides
    width, height = sides[::-1] if turned else sides
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        fps=float(rate(stream)),
        duration_s=None if end is None else float(end),
        codec=stream.codec_context.codec.canonical_name,
        rotation=first.rotation if abs(first.rotation) <= 180 else 0,  # a matrix of zeros has no angle
        has_audio=bool(container.streams.audio),
        pixel_aspect=float(1 / aspect if turned else aspect),
        counts_frames=stream.frames > 0 and stream.duration is not None,
    )
