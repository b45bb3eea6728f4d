"""Cutting parts out of a video, exact to the frame, with their sound."""

import errno
import math
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from spikemba.errors import OutputError, VideoError
from spikemba.files import writing
from spikemba.video.clock import shown_from
from spikemba.video.decoding import Join, TimedFrame, opened, rate, seekable
from spikemba.video.picture import PictureWriter
from spikemba.video.sampling import exact
from spikemba.video.sound import Chunk, SoundReader, SoundWriter

AT_ONCE = 4
"""Parts that are encoded beside each other in one pass, at most."""
_KEPT_S = 2  # sound that is kept for a part which is about to begin
_USUAL_FPS = Fraction(25)
_DISK_FAULTS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


class Part(NamedTuple):
    """What to cut out, in seconds of the source, and the file to write."""

    out: Path
    start_s: float
    end_s: float


class Cut(NamedTuple):
    """What was cut out."""

    out: Path
    start_s: float
    """In the source; earlier than asked for where packets are copied."""
    end_s: float
    note: str = ""
    """What a person should know of it; empty where it is as they expect."""


def cut_video(source: Path, out: Path, start_s: float, end_s: float, *, crf: int = 20) -> Cut:
    """Write what is shown and heard from `start_s` to `end_s` as an MP4 (H.264 and AAC), whole or not at all.

    It is encoded anew, since copied packets could only begin at key frames; the first frame is the one on screen at
    `start_s`. Colours, their depth (8 or 10 bits), pixel proportions and fields are the source's; sound is that of its
    default track. Raises VideoError when the source cannot be read or shows nothing there, OutputError.
    """
    return cut_parts(source, [Part(out, start_s, end_s)], crf=crf)[0]


def cut_parts(source: Path, parts: Sequence[Part], *, crf: int = 20) -> list[Cut]:
    """`cut_video` for several parts. A file that cannot be sought is read once for all (of each AT_ONCE that overlap).

    Parts with the same times are encoded once. Raises as `cut_video` does; parts that were finished before stay.
    """
    for folder in {part.out.parent for part in parts}:
        _make(folder)
    with opened(source, "NONE") as (container, stream):
        one_by_one = seekable(container)
        shape = _Shape(Fraction(stream.sample_aspect_ratio or 1), _sensible(rate(stream)))
    firsts: dict[tuple[float, float], Part] = {}
    for part in parts:
        firsts.setdefault((part.start_s, part.end_s), part)
    made: dict[tuple[float, float], Cut] = {}
    for together in _passes(list(firsts.values()), 1 if one_by_one else AT_ONCE):
        for cut in _Pass(source, together, shape, crf).cuts():
            made[cut.start_s, cut.end_s] = cut
    return [_as(made[part.start_s, part.end_s], part.out) for part in parts]


def _make(folder: Path) -> None:
    """The folder, before anything is decoded for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, (error.strerror or str(error)).lower()) from error


class _Shape(NamedTuple):
    """What the container says of its pictures."""

    aspect: Fraction
    fps: Fraction


def _sensible(fps: Fraction) -> Fraction:
    """The rate by which the encoder shares out its bits."""
    return exact(float(fps)) if 1 <= fps <= 240 else _USUAL_FPS


def _as(cut: Cut, out: Path) -> Cut:
    """The same part under another name."""
    if cut.out != out:
        with writing(out) as temporary:
            shutil.copyfile(cut.out, temporary)
    return cut._replace(out=out)


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
                yield from self._over(shown.start, sound, place)
                self._begin(shown, sound)
                for one in self.active:
                    one.show(shown)
                self._hear(sound, shown.end, place)
                if not (self.waiting or self.active):
                    return
            yield from self._over(math.inf, sound, math.inf)
            if shown is None:
                raise VideoError(self.source, "no frame of its video can be decoded")
            for part in self.waiting:
                raise VideoError(self.source, f"shows nothing from {part.start_s:g} to {part.end_s:g} s")

    def _begin(self, shown: TimedFrame, sound: SoundReader) -> None:
        """Open the parts of which this picture is the first."""
        while self.waiting and shown.end > exact(self.waiting[0].start_s):
            part = self.waiting.pop(0)
            one = _Writing(part, shown, sound, self.shape, self.crf, self.source)
            self.active.append(one)
            for chunk in self.heard:
                one.hear(chunk)

    def _over(self, time: Fraction | float, sound: SoundReader, place: float) -> Iterator[Cut]:
        """Finish the parts that end by a time."""
        for one in sorted((one for one in self.active if one.end <= time), key=lambda one: one.end):
            self._hear(sound, one.end, place)
            self.active.remove(one)
            yield one.finish()

    def _hear(self, sound: SoundReader, time: Fraction, place: float) -> None:
        """Take the sound up to a time, so that the two streams lie beside each other in the files."""
        for chunk in sound.until(time, place):
            for one in self.active:
                one.hear(chunk)
            self.heard.append(chunk)
            while chunk.time - self.heard[0].time > _KEPT_S:
                self.heard.popleft()

    def _abandon(self) -> None:
        for one in self.active:
            one.abandon()


def _stood_in(frames: Iterator[TimedFrame], begin: Fraction) -> Iterator[TimedFrame]:
    """The frames; where no picture has come yet, the first one stands in, as it does where features are made."""
    for k, shown in enumerate(frames):
        yield shown._replace(start=min(shown.start, begin)) if k == 0 else shown


class _Writing:
    """One part on its way into its file."""

    def __init__(
        self, part: Part, first: TimedFrame, sound: SoundReader, shape: _Shape, crf: int, source: Path
    ) -> None:
        self.part, self.end = part, exact(part.end_s)
        span = (exact(part.start_s), self.end)
        if self.end <= first.start or self.end <= span[0]:
            raise VideoError(source, f"shows nothing from {part.start_s:g} to {part.end_s:g} s")
        self.note = ""
        if sound.n_tracks > 1:
            self.note = f"of its {sound.n_tracks} sound tracks the cuts carry the default one, {sound.name}"
        self._source, self._stack = source, ExitStack()
        temporary = self._stack.enter_context(writing(part.out))
        try:
            self._container: Any = av.open(str(temporary.absolute()), "w", format="mp4")
            self._stack.callback(_close_quietly, self._container)
            with self._faults():
                self._picture = PictureWriter(self._container, first.frame, shape.aspect, shape.fps, span, crf)
                self._sound = SoundWriter(self._container, sound, span) if sound.rate_hz else None
        except BaseException:
            self.abandon()
            raise

    def show(self, shown: TimedFrame) -> None:
        """Take what of a picture's time lies in the part."""
        with self._faults():
            self._picture.write(shown)

    def hear(self, chunk: Chunk) -> None:
        """Take what of a chunk lies in the part."""
        if self._sound is not None:
            with self._faults():
                self._sound.write(chunk)

    def finish(self) -> Cut:
        """Put the file into its place."""
        try:
            with self._faults():
                self._picture.finish()
                if self._sound is not None:
                    self._sound.finish()
                self._container.close()
        except BaseException:
            self.abandon()
            raise
        self._stack.close()
        return Cut(self.part.out, self.part.start_s, self.part.end_s, self.note)

    def abandon(self) -> None:
        """Leave nothing behind."""
        with suppress(_Abandoned):
            self._stack.__exit__(_Abandoned, _Abandoned(), None)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except av.FFmpegError as error:
            if error.errno in _DISK_FAULTS:
                raise OutputError(self.part.out, error.strerror or "the disk failed") from error
            times = f"from {self.part.start_s:g} to {self.part.end_s:g} s"
            raise VideoError(self._source, f"cannot be cut {times}: {error.strerror or error}") from error


class _Abandoned(Exception):
    """Tells `writing` that its file is not wanted."""


def _close_quietly(container: Any) -> None:
    with suppress(OSError, av.FFmpegError, ValueError):
        container.close()
