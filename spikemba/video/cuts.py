"""Cutting parts out of a video, exact to the frame, with their sound."""

import math
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import av

from spikemba.errors import SpikeMbaError, VideoError
from spikemba.files import writing
from spikemba.video.clock import shown_from
from spikemba.video.copies import copy_part
from spikemba.video.decoding import Join, TimedFrame, opened, rate, seekable
from spikemba.video.footage import FileClock, clock_of
from spikemba.video.parts import Cut, NewFile, Part, make_folder
from spikemba.video.picture import PictureWriter
from spikemba.video.sampling import exact
from spikemba.video.sound import Chunk, SoundReader, SoundWriter

CutMode = Literal["exact", "copy"]

AT_ONCE = 4
"""Parts that are encoded beside each other in one pass, at most."""
_KEPT_S = 2  # sound that is kept for a part which is about to begin
_USUAL_FPS = Fraction(25)


def cut_video(source: Path, out: Path, start_s: float, end_s: float, *, crf: int = 20, mode: CutMode = "exact") -> Cut:
    """Write what is shown and heard from `start_s` to `end_s` into a file, whole or not at all.

    mode: `exact` encodes anew, as an MP4 of H.264 and AAC; the first frame is the one on screen at `start_s`. Colours,
    their depth (8 or 10 bits), pixel proportions, fields and timecode are the source's; sound is its default track's.
    `copy` copies packets, from the key frame before on, see `copy_part`.
    Raises VideoError when the source cannot be read or shows nothing there, OutputError.
    """
    (cut,) = cut_parts(source, [Part(out, start_s, end_s)], crf=crf, mode=mode)
    if cut.fault is not None:
        raise cut.fault
    return cut


def cut_parts(source: Path, parts: Sequence[Part], *, crf: int = 20, mode: CutMode = "exact") -> Iterator[Cut]:
    """`cut_video` for several parts, each given as soon as it is done; a part that fails stops no other.

    A file that cannot be sought is read once for all of them (of each AT_ONCE that overlap), and parts with the same
    times are encoded once. Raises VideoError when the source cannot be read, OutputError where no folder can be made.
    """
    for folder in {part.out.parent for part in parts}:
        make_folder(folder)
    alike: dict[tuple[float, float], list[Part]] = {}
    for part in parts:
        alike.setdefault((part.start_s, part.end_s), []).append(part)
    try:
        for cut in _cuts(source, [same[0] for same in alike.values()], crf, mode):
            yield cut
            yield from (_as(cut, part) for part in alike[cut.part.start_s, cut.part.end_s][1:])
    except av.FFmpegError as error:
        raise VideoError(source, f"cannot be cut: {error.strerror}") from error


def _cuts(source: Path, parts: list[Part], crf: int, mode: CutMode) -> Iterator[Cut]:
    with opened(source, "NONE") as (container, stream):
        one_by_one = seekable(container)
        aspect, fps = Fraction(stream.sample_aspect_ratio or 1), _sensible(rate(stream))
        shape = _Shape(aspect, fps, clock_of(container, stream))
    if mode == "copy":
        yield from (copy_part(source, part, shape.clock) for part in parts)
        return
    for together in _passes(parts, 1 if one_by_one else AT_ONCE):
        yield from _Pass(source, together, shape, crf).cuts()


class _Shape(NamedTuple):
    """What the container says of its pictures."""

    aspect: Fraction
    fps: Fraction
    clock: FileClock | None
    """Its timecode, which goes on in the cuts."""


def _sensible(fps: Fraction) -> Fraction:
    """The rate by which the encoder shares out its bits."""
    return exact(float(fps)) if 1 <= fps <= 240 else _USUAL_FPS


def _as(cut: Cut, part: Part) -> Cut:
    """The same times under another name."""
    if cut.fault is not None:
        return Cut.failed(part, cut.fault)
    out = part.out.with_suffix(cut.out.suffix)
    try:
        with writing(out) as temporary:
            shutil.copyfile(cut.out, temporary)
    except SpikeMbaError as error:
        return Cut.failed(part, error)
    return cut._replace(part=part, out=out)


def _passes(parts: list[Part], at_once: int) -> list[list[Part]]:
    """Parts that one pass can serve: not more than `at_once` of them overlap; with 1 each has a pass of its own."""
    if at_once == 1:
        return [[part] for part in parts]
    passes: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: part.start_s):
        free = (one for one in passes if sum(other.end_s > part.start_s - _KEPT_S for other in one) < at_once)
        found = next(free, None)
        if found is None:
            passes.append(found := [])
        found.append(part)
    return passes


class _Pass:
    """One reading of the source, from the first of its parts to the last."""

    def __init__(self, source: Path, parts: list[Part], shape: _Shape, crf: int) -> None:
        self.source, self.shape, self.crf = source, shape, crf
        self.waiting = sorted(parts, key=lambda part: part.start_s)
        self.active: list[_Writing] = []
        self.heard: deque[Chunk] = deque()
        self.done: deque[Cut] = deque()

    def cuts(self) -> Iterator[Cut]:
        """Write the parts, each as soon as it is over."""
        joins: list[Join] = []
        begin = exact(self.waiting[0].start_s)
        shown = None
        with ExitStack() as stack:
            sound = SoundReader(self.source, begin, joins)
            stack.callback(sound.close)
            stack.callback(self._abandon)
            for shown in _stood_in(shown_from(self.source, "AUTO", begin, joins=joins), begin):
                position = shown.frame.opaque
                place = position if isinstance(position, int) else math.inf
                self._over(shown.start, sound, place)
                self._begin(shown, sound)
                for one in list(self.active):
                    self._try(one, one.show, shown)
                self._hear(sound, shown.end, place)
                yield from self._taken()
                if not (self.waiting or self.active):
                    return
            self._over(math.inf, sound, math.inf)
            yield from self._taken()
            if shown is None:
                raise VideoError(self.source, "no frame of its video can be decoded")
            yield from (Cut.failed(part, _nothing(self.source, part)) for part in self.waiting)

    def _taken(self) -> Iterator[Cut]:
        while self.done:
            yield self.done.popleft()

    def _begin(self, shown: TimedFrame, sound: SoundReader) -> None:
        """Open the parts of which this picture is the first."""
        while self.waiting and shown.end > exact(self.waiting[0].start_s):
            part = self.waiting.pop(0)
            try:
                one = _Writing(self.source, part, shown, sound, self.shape, self.crf)
            except SpikeMbaError as error:
                self.done.append(Cut.failed(part, error))
                continue
            self.active.append(one)
            for chunk in self.heard:
                self._try(one, one.hear, chunk)

    def _over(self, time: Fraction | float, sound: SoundReader, place: float) -> None:
        """Finish the parts that end by a time."""
        for one in sorted((one for one in self.active if one.end <= time), key=lambda one: one.end):
            self._hear(sound, one.end, place)
            if one in self.active:
                self._try(one, one.finish)

    def _hear(self, sound: SoundReader, time: Fraction, place: float) -> None:
        """Take the sound up to a time, so that the two streams lie beside each other in the files."""
        for chunk in sound.until(time, place):
            for one in list(self.active):
                self._try(one, one.hear, chunk)
            self.heard.append(chunk)
            while chunk.time - self.heard[0].time > _KEPT_S:
                self.heard.popleft()

    def _try(self, one: "_Writing", step: Callable[..., Cut | None], *given: object) -> None:
        """A step of one part; one that is finished or fails is done."""
        try:
            cut = step(*given)
        except SpikeMbaError as error:
            cut = Cut.failed(one.part, error)
        if cut is not None:
            self.active.remove(one)
            self.done.append(cut)

    def _abandon(self) -> None:
        for one in self.active:
            one.file.abandon()


def _nothing(source: Path, part: Part) -> VideoError:
    return VideoError(source, f"shows nothing {part}")


def _stood_in(frames: Iterator[TimedFrame], begin: Fraction) -> Iterator[TimedFrame]:
    """The frames; where no picture has come yet, the first one stands in, as it does where features are made."""
    for k, shown in enumerate(frames):
        yield shown._replace(start=min(shown.start, begin)) if k == 0 else shown


class _Writing:
    """One part on its way into its file."""

    def __init__(
        self, source: Path, part: Part, first: TimedFrame, sound: SoundReader, shape: _Shape, crf: int
    ) -> None:
        self.part, self.end = part, exact(part.end_s)
        span = (exact(part.start_s), self.end)
        if self.end <= max(first.start, span[0]):
            raise _nothing(source, part)
        self.reader = sound
        self.file = NewFile(source, part, part.out, "mp4")
        with self.file.faults():
            container = self.file.container
            self._picture = PictureWriter(container, first.frame, shape.aspect, shape.fps, span, crf)
            if shape.clock is not None and (label := shape.clock.at(max(first.start, span[0]))):
                self._picture.stream.metadata["timecode"] = label
            self._sound = SoundWriter(container, sound, span) if sound.rate_hz else None

    def show(self, shown: TimedFrame) -> None:
        """Take what of a picture's time lies in the part."""
        with self.file.faults():
            self._picture.write(shown)

    def hear(self, chunk: Chunk) -> None:
        """Take what of a chunk lies in the part."""
        if self._sound is not None:
            with self.file.faults():
                self._sound.write(chunk)

    def finish(self) -> Cut:
        """Put the file into its place."""
        with self.file.faults():
            self._picture.finish()
            if self._sound is not None:
                self._sound.finish()
        self.file.finish()
        return Cut(self.part, *self.part, note=self.reader.note)
