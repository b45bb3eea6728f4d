"""Several videos and queries: ask, write the answers, cut the moments out, draw them. One bad video stops no other."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.events import unheard
from pipelines.grounding.formats import FORMATS
from pipelines.grounding.moment_cuts import MomentCut, cut_moments, json_with_cuts
from pipelines.grounding.timeline import SUFFIXES, draw_timeline
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.files import write_text
from spikemba.grounder.grounder import Grounder
from spikemba.grounder.result import Grounding
from spikemba.progress import Report, silent
from spikemba.video.cuts import CutMode
from spikemba.video.files import find_videos


@dataclass(frozen=True)
class Outputs:
    """What to make of the answers, beside returning them."""

    format: str = "json"
    """A key of FORMATS, for files below `out`."""
    out: Path | None = None
    """Folder for one file per video."""
    cut: Path | None = None
    """Folder for one video file per moment."""
    cut_mode: CutMode = "exact"
    """`exact` to the frame, encoded anew; `copy`: packets as they are, from the key frame before."""
    plot: Path | None = None
    """Picture of one video, or a folder for one per video."""


@dataclass
class Answers:
    """What was found."""

    found: list[Grounding] = field(default_factory=list)
    """By video, then by query."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Videos that could not be read, and why."""
    written: list[Path] = field(default_factory=list)
    """Files that were made."""
    cuts: list[MomentCut] = field(default_factory=list)
    """Where each cut really begins and ends."""
    notes: list[str] = field(default_factory=list)
    """What a person should know of the files, each once."""


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
    answers = Answers()
    for path in files:
        try:
            found = grounder.ground(path, sentences, top=top, cache=cache, report=events.clips)
            answers.found += found
            answers.written += _write(path, found, outputs, answers)
        except VideoError as error:
            answers.failed[path] = str(error)
            events.failed(path, str(error))
    return answers


def _write(video: Path, found: Sequence[Grounding], outputs: Outputs, answers: Answers) -> list[Path]:
    """Write, cut and draw what was found in one video; returns the files made."""
    made = []
    if outputs.cut is not None:
        folder = outputs.cut
        faults: list[SpikeMbaError] = []

        def name(query: str, rank: int) -> Path:
            return folder / f"{video.stem}_{_slug(query)}_{rank}.mp4"

        for done in cut_moments(video, found, name, outputs.cut_mode):
            if done.cut.fault is not None:
                faults.append(done.cut.fault)
                continue
            answers.cuts.append(done)
            answers.written.append(done.cut.out)
            note = f"{video.name}: {done.cut.note}"
            if done.cut.note and note not in answers.notes:
                answers.notes.append(note)
        if faults:
            raise faults[0]
    if outputs.out is not None:
        suffix, render = FORMATS[outputs.format]
        made.append(outputs.out / f"{video.stem}{suffix}")
        text = json_with_cuts(found, answers.cuts) if outputs.format == "json" else render(found)
        write_text(made[-1], text)
    if outputs.plot is not None:
        single = outputs.plot.suffix in SUFFIXES
        made.append(outputs.plot if single else outputs.plot / f"{video.stem}.png")
        draw_timeline(made[-1], found)
    return made


def _slug(query: str) -> str:
    """The query as part of a file name."""
    return re.sub(r"\W+", "-", query.lower()).strip("-")[:40] or "query"
