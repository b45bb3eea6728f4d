"""Several videos and queries: ask, write the answers, cut the moments out, draw them. One bad video stops no other."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.events import Report, silent, unheard
from pipelines.grounding.formats import FORMATS
from pipelines.grounding.timeline import SUFFIXES, draw_timeline
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.files import write_text
from spikemba.grounder import Grounded, Grounder
from spikemba.video.cuts import cut_video
from spikemba.video.files import find_videos


@dataclass(frozen=True)
class Wishes:
    """What to do with the answers, beside returning them."""

    format: str = "json"
    """A key of FORMATS, for files below `out`."""
    out: Path | None = None
    """Folder for one file per video."""
    cut: Path | None = None
    """Folder for one video file per moment."""
    plot: Path | None = None
    """Picture of one video, or a folder for one per video."""


@dataclass
class Answers:
    """What was found."""

    found: list[Grounded] = field(default_factory=list)
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
    wishes: Wishes | None = None,
    events: AnswerEvents | None = None,
) -> Answers:
    """Ask every query of every video (files, or folders that are searched); each video is decoded once.

    Raises VideoError when there is no video, QueryError, OutputError.
    """
    wishes, events = wishes or Wishes(), events or AnswerEvents()
    sentences = grounder.check(queries)
    # a single file is opened as it is, so that what is wrong with it is said in full
    files = list(videos) if not any(path.is_dir() for path in videos) else find_videos(videos)
    if wishes.plot is not None and len(files) > 1 and wishes.plot.suffix in SUFFIXES:
        raise SpikeMbaError(f"--plot {wishes.plot} is one picture and there are {len(files)} videos; name a folder")
    answers = Answers()
    for path in files:
        try:
            found = grounder.ground(path, sentences, top=top, cache=cache, report=events.clips)
            answers.written += _carry_out(path, found, wishes)
        except VideoError as error:
            answers.failed[path] = str(error)
            events.failed(path, str(error))
            continue
        answers.found += found
    return answers


def _carry_out(video: Path, found: Sequence[Grounded], wishes: Wishes) -> list[Path]:
    """Write, cut and draw what was found in one video; returns the files made."""
    made = []
    if wishes.out is not None:
        suffix, render = FORMATS[wishes.format]
        made.append(wishes.out / f"{video.stem}{suffix}")
        write_text(made[-1], render(found))
    if wishes.cut is not None:
        for one in found:
            for rank, moment in enumerate(one.answer.moments, start=1):
                made.append(wishes.cut / f"{video.stem}_{_slug(one.query)}_{rank}.mp4")
                cut_video(video, made[-1], moment.start_s, moment.end_s)
    if wishes.plot is not None:
        single = wishes.plot.suffix in SUFFIXES
        made.append(wishes.plot if single else wishes.plot / f"{video.stem}.png")
        draw_timeline(made[-1], found)
    return made


def _slug(query: str) -> str:
    """The query as part of a file name."""
    return re.sub(r"\W+", "-", query.lower()).strip("-")[:40] or "query"
