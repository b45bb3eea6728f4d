"""What every form writes: sources, clips and marks in whole frames."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from spikemba.grounder.result import Grounding
from spikemba.moments import suppress
from spikemba.video.footage import Footage, footage
from spikemba.video.timecode import EditRate, Timecode

Shape = Literal["cut", "markers"]


@dataclass(frozen=True)
class Layout:
    """How answers become a timeline."""

    shape: Shape | None = None
    """cut: the moments one after the other, of two that overlap the better one. markers: whole sources, each moment a
    marker on them. None: what the form is mostly for."""
    relative_to: Path | None = None
    """Folder from which the sources are named; None: by their full address."""


@dataclass(frozen=True)
class Source:
    """A video file on a timeline."""

    number: int
    """From 1, in the order of the timeline."""
    footage: Footage
    name: str
    """The file's name, fit to be shown."""
    n_frames: int
    """Length, in frames of its rate."""

    @property
    def rate(self) -> EditRate:
        """How its frames are counted."""
        return self.footage.rate


@dataclass(frozen=True)
class Mark:
    """A moment of a source, in frames of its rate."""

    start: int
    """From the source's first picture."""
    n_frames: int
    """At least 1."""
    score: float
    """In [0, 1]."""
    query: str
    """The sentence in one line."""

    @property
    def words(self) -> str:
        """The sentence and its score."""
        return f"{self.query} ({self.score:.2f})"


@dataclass(frozen=True)
class Clip:
    """A part of a source on the timeline."""

    source: Source
    start: int
    """In frames of the source, from its first picture."""
    n_frames: int
    """In frames of the source."""
    at: int
    """In frames of the timeline, from its beginning."""
    length: int
    """In frames of the timeline."""
    name: str
    """What it is called."""
    moment: Mark | None = None
    """What it shows, where it shows one moment."""
    marks: tuple[Mark, ...] = ()
    """Moments that are marked on it, in the order of time."""

    @property
    def source_timecode(self) -> Timecode:
        """Of its first picture, by the source's clock."""
        return self.source.footage.start.plus(self.start)


@dataclass(frozen=True)
class Timeline:
    """Clips one after the other, in picture and sound."""

    name: str
    """Fit to be shown."""
    start: Timecode
    """Of its first frame; its rate is the timeline's: that of the first source."""
    clips: tuple[Clip, ...]
    """Without gaps, in the order of time."""
    layout: Layout

    @property
    def rate(self) -> EditRate:
        """How its frames are counted."""
        return self.start.rate

    @property
    def length(self) -> int:
        """In frames."""
        return self.clips[-1].at + self.clips[-1].length if self.clips else 0

    @property
    def sources(self) -> list[Source]:
        """Each once, in order."""
        return list({clip.source.number: clip.source for clip in self.clips}.values())

    @property
    def channels(self) -> int:
        """Of the source that has most of them."""
        return max((source.footage.channels for source in self.sources), default=0)


def plan(found: Sequence[Grounding], layout: Layout) -> Timeline:
    """Lay out what was found, video by video.  Raises VideoError when a video cannot be read any more."""
    videos = list(dict.fromkeys(one.video for one in found))
    clips: list[Clip] = []
    start: Timecode | None = None
    for number, video in enumerate(videos, start=1):
        of_it = [one for one in found if one.video == video]
        source = _source(number, video, max(one.duration_s for one in of_it))
        start = start or Timecode(0, source.rate, source.footage.start.drop)
        if layout.shape == "markers":
            if len(videos) == 1:  # its timeline is the source, down to its clock
                start = source.footage.start
            whole = (0, source.n_frames, source.name, None, tuple(_marks(source, of_it)))
            parts: list[tuple[int, int, str, Mark | None, tuple[Mark, ...]]] = [whole]
        else:
            parts = [(m.start, m.n_frames, m.words, m, ()) for m in apart(_marks(source, of_it))]
        for first, n_frames, title, moment, marks in parts:
            at = clips[-1].at + clips[-1].length if clips else 0
            length = converted(n_frames, source.rate, start.rate)
            clips.append(Clip(source, first, n_frames, at, length, title, moment, marks))
    name = plain(videos[0].stem) if len(videos) == 1 else "moments"
    return Timeline(name, start or Timecode(0, EditRate(25)), tuple(clips), layout)


def converted(n_frames: int, rate: EditRate, to: EditRate) -> int:
    """A length at another rate: the nearest, and at least a frame."""
    return n_frames if rate == to else max(1, to.frame(rate.seconds(n_frames)))


def apart(marks: Sequence[Mark]) -> list[Mark]:
    """Of marks that overlap, the better one (of equals, the first), in the order of time."""
    windows = np.array([(mark.start, mark.start + mark.n_frames) for mark in marks], np.float64)
    kept = suppress(windows, np.array([mark.score for mark in marks]), max_iou=0.0, keep=len(marks))
    return [marks[k] for k in sorted(kept)]


def plain(text: str) -> str:
    """The text in one line, without what no file of a text format may hold: control characters, halves of pairs."""
    shown = ("\ufffd" if unicodedata.category(c) == "Cs" or c in "\ufffe\uffff" else c for c in " ".join(text.split()))
    return "".join(c for c in shown if unicodedata.category(c) != "Cc")


def _source(number: int, video: Path, duration_s: float) -> Source:
    file = footage(video)
    # the last picture's end falls on a frame, or a rounding beside it
    n_frames = math.ceil(Fraction(duration_s) * file.rate.fps - Fraction(1, 20))
    return Source(number, file, plain(video.name), max(1, n_frames))


def _marks(source: Source, found: Sequence[Grounding]) -> list[Mark]:
    """All moments in the order of time."""
    marks = []
    for one in found:
        for moment in one.moments:
            start = min(max(source.rate.frame(moment.start_s), 0), source.n_frames - 1)
            end = min(max(source.rate.frame(moment.end_s), start + 1), source.n_frames)
            marks.append(Mark(start, end - start, float(moment.score), plain(one.query)))
    return sorted(marks, key=lambda mark: (mark.start, mark.n_frames))
