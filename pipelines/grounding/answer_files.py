"""Several videos and queries: ask, write the answers, cut the moments out, draw them. One bad video stops no other."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.events import unheard
from pipelines.grounding.formats import FORMATS, rendered
from pipelines.grounding.timeline import SUFFIXES, draw_timeline
from pipelines.timelines.forms import TIMELINES, check_form
from pipelines.timelines.plan import Layout, Shape
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.files import write_text
from spikemba.grounder.grounder import Grounder
from spikemba.grounder.result import Grounding
from spikemba.progress import Report, silent
from spikemba.video.cuts import cut_video
from spikemba.video.files import find_videos


@dataclass(frozen=True)
class Outputs:
    """What to make of the answers, beside returning them."""

    format: str = "json"
    """A key of FORMATS, for files below `out`."""
    out: Path | None = None
    """Folder for one file per video; of timelines also one file for all, by its suffix."""
    shape: Shape | None = None
    """Of timelines; None: what the format is mostly for."""
    relative: bool = False
    """Timelines name the videos from the folder that they lie in themselves."""
    cut: Path | None = None
    """Folder for one video file per moment."""
    plot: Path | None = None
    """Picture of one video, or a folder for one per video."""

    def timeline_of_all(self) -> Path | None:
        """The one file into which all videos go, where `out` is one."""
        if self.out is None or self.format not in TIMELINES or self.out.is_dir():
            return None
        ending = self.out.suffix.lower()
        own = f".{TIMELINES[self.format].suffix.rpartition('.')[2]}"
        if ending != own:
            if ending in (form.suffix for form in TIMELINES.values()):
                raise SpikeMbaError(f"--out {self.out} does not end as --format {self.format} does, in {own}")
            return None
        return self.out

    def layout(self, folder: Path) -> Layout:
        """How a timeline is laid out that is read from a folder."""
        return Layout(self.shape, folder if self.relative else None)


@dataclass
class Answers:
    """What was found."""

    found: list[Grounding] = field(default_factory=list)
    """By video, then by query."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Videos that could not be read, and why."""
    written: list[Path] = field(default_factory=list)
    """Files that were made."""


@dataclass(frozen=True)
class AnswerEvents:
    """What a caller can be told."""

    clips: Report = silent
    failed: Callable[[Path, str], None] = unheard


def answer(
    grounder: Grounder,
    videos: Sequence[Path],
    queries: Sequence[str],
    *,
    top: int | None = None,
    cache: bool = True,
    outputs: Outputs | None = None,
    events: AnswerEvents | None = None,
) -> Answers:
    """Ask every query of every video (files, or folders that are searched); each video is decoded once.

    Raises VideoError when there is no video, QueryError, OutputError.
    """
    outputs, events = outputs or Outputs(), events or AnswerEvents()
    sentences = grounder.check(queries)
    # a single file is opened as it is, so that what is wrong with it is said in full
    files = list(videos) if not any(path.is_dir() for path in videos) else find_videos(videos)
    if outputs.plot is not None and len(files) > 1 and outputs.plot.suffix in SUFFIXES:
        raise SpikeMbaError(f"--plot {outputs.plot} is one picture and there are {len(files)} videos; name a folder")
    check_form(outputs.format)
    together, answers = outputs.timeline_of_all(), Answers()
    for path in files:
        try:
            found = grounder.ground(path, sentences, top=top, cache=cache, report=events.clips)
            answers.written += _write(path, found, outputs)
        except VideoError as error:
            answers.failed[path] = str(error)
            events.failed(path, str(error))
            continue
        answers.found += found
    if together is not None and answers.found:
        write_text(together, rendered(outputs.format, answers.found, outputs.layout(together.parent)))
        answers.written.append(together)
    return answers


def _write(video: Path, found: Sequence[Grounding], outputs: Outputs) -> list[Path]:
    """Write, cut and draw what was found in one video; returns the files made."""
    made = []
    if outputs.out is not None and outputs.timeline_of_all() is None:
        suffix, _ = FORMATS[outputs.format]
        made.append(outputs.out / f"{video.stem}{suffix}")
        write_text(made[-1], rendered(outputs.format, found, outputs.layout(outputs.out)))
    if outputs.cut is not None:
        for one in found:
            for rank, moment in enumerate(one.moments, start=1):
                made.append(outputs.cut / f"{video.stem}_{_slug(one.query)}_{rank}.mp4")
                cut_video(video, made[-1], moment.start_s, moment.end_s)
    if outputs.plot is not None:
        single = outputs.plot.suffix in SUFFIXES
        made.append(outputs.plot if single else outputs.plot / f"{video.stem}.png")
        draw_timeline(made[-1], found)
    return made


def _slug(query: str) -> str:
    """The query as part of a file name."""
    return re.sub(r"\W+", "-", query.lower()).strip("-")[:40] or "query"
