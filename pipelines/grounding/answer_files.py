"""Several videos and queries: ask, write the answers, cut the moments out, draw them. One bad video stops no other."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipelines.events import unheard
from pipelines.grounding.answer_order import Order, best_first, best_of, check_best, order_of
from pipelines.grounding.formats import FORMATS, PER_VIDEO, rendered
from pipelines.grounding.moment_cuts import MomentCut, cut_moments, json_with_cuts
from pipelines.grounding.output_names import OutputNames, is_picture, refuse_other_files
from pipelines.grounding.timeline import draw_timeline
from pipelines.timelines.forms import check_form
from pipelines.timelines.plan import Layout, Shape
from spikemba.errors import QueryError, SpikeMbaError, problem_with
from spikemba.files import refuse_file_name, write_text
from spikemba.grounder.grounder import Grounder
from spikemba.grounder.result import Grounding
from spikemba.progress import Report, reported, silent
from spikemba.video.cuts import CutMode
from spikemba.video.folders import FoundVideo, search
from spikemba.video.names import shown_name, video_ids


@dataclass(frozen=True)
class Outputs:
    """What to make of the answers, beside returning them."""

    format: str = "json"
    """A key of FORMATS, for files below `out`."""
    out: Path | None = None
    """Folder for one file per video; where it ends as the format's files do, one file for all."""
    shape: Shape | None = None
    """Of timelines; None: what the format is mostly for."""
    relative: bool = False
    """Timelines name the videos from the folder that they lie in themselves."""
    cut: Path | None = None
    """Folder for one video file per moment."""
    cut_mode: CutMode = "exact"
    """`exact` to the frame, encoded anew; `copy`: packets as they are, from the key frame before."""
    plot: Path | None = None
    """Picture of one video, or a folder for one per video."""

    def file_of_all(self) -> Path | None:
        """The one file into which all videos go, where `out` is one."""
        is_file = self.out is not None and not self.out.is_dir() and self.out.suffix.lower() == self.ending
        return self.out if is_file else None

    @property
    def ending(self) -> str:
        """With which files of the format end, from their last point on."""
        return f".{FORMATS[self.format][0].rpartition('.')[2]}"

    def picture_of_all(self) -> Path | None:
        """The picture into which one video goes, where `plot` is one."""
        return self.plot if self.plot is not None and is_picture(self.plot) else None

    def check(self) -> None:
        """Raises SpikeMbaError for what cannot be written, or not here, whatever the answers are."""
        if self.out is not None and not self.file_of_all():
            refuse_file_name("--out", self.out, f"a file of --format {self.format}, in {self.ending}")
        refuse_other_files(self.plot, self.cut)
        check_form(self.format)

    def layout(self, folder: Path) -> Layout:
        """How a timeline is laid out that is read from a folder."""
        return Layout(self.shape, folder if self.relative else None)


@dataclass
class Answers:
    """What was found."""

    found: list[Grounding] = field(default_factory=list)
    """By video, then by query; of several videos in the order that `order` names."""
    order: Order = "name"
    """Of several videos."""
    names: dict[Path, str] = field(default_factory=dict)
    """What each video is called in tables: its file's name, with the folders that tell it from others of that name."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Videos that could not be read, or files about them that could not be written, and why."""
    refused: dict[str, str] = field(default_factory=dict)
    """Sentences that cannot be asked, and why; the others were."""
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
    """Of one video."""
    videos: Report = silent
    failed: Callable[[Path, str], None] = unheard
    refused: Callable[[str, str], None] = lambda sentence, problem: None
    """A sentence of several cannot be asked, and why."""


def answer(
    grounder: Grounder,
    videos: Sequence[Path],
    queries: Sequence[str],
    *,
    top: int | None = None,
    best: int | None = None,
    min_exists: float | None = None,
    cache: bool = True,
    outputs: Outputs | None = None,
    events: AnswerEvents | None = None,
) -> Answers:
    """Ask every query of every video (files, or folders that are searched); each video is decoded once.

    Of several videos one that fails stops no other, whatever fails; of several queries neither does one.
    top: moments per video and query.  best: of all videos together, per query; needs scores that can be compared.
    Raises VideoError when there is no video, QueryError when there is no query that can be asked, SpikeMbaError.
    """
    outputs, events = outputs or Outputs(), events or AnswerEvents()
    answers = Answers()
    grounder.check_min_exists(min_exists)
    check_best(grounder, best)
    sentences = _askable(grounder, queries, answers, events)
    folders = any(path.is_dir() for path in videos)
    # a single file is opened as it is, so that what is wrong with it is said in full
    files = video_ids(search(videos) if folders else [FoundVideo(path) for path in dict.fromkeys(videos)])
    _check(outputs, len(files))
    names = OutputNames(files, sentences)
    answers.names = {path: shown_name(path, video_id) for video_id, path in files.items()}
    for video_id, path in reported(files.items(), len(files), events.videos):
        with _reported(path, answers, events, alone=not folders and len(files) == 1):
            found = grounder.ground(path, sentences, top=top, min_exists=min_exists, cache=cache, report=events.clips)
            answers.found += found
            if best is None:  # at once, so that a run that is broken off leaves what it found
                _write_about(video_id, path, found, outputs, names, answers, events)
    if len(files) > 1:
        answers.found.sort(key=best_first)
        answers.order = order_of(grounder, answers.found)
    if best is not None:
        answers.found = best_of(answers.found, best)
        _write_each(answers, files, outputs, names, events)
    _write_together(answers, outputs)
    return answers


def write_answers(found: Sequence[Grounding], outputs: Outputs, events: AnswerEvents | None = None) -> Answers:
    """Write answers that are there already, in their order, about one video each; what `answer` makes of its own.

    A video of which nothing can be written stops no other. Raises SpikeMbaError where nothing can start.
    """
    events, answers = events or AnswerEvents(), Answers(list(found))
    files = video_ids([FoundVideo(path) for path in dict.fromkeys(one.video for one in found)])
    _check(outputs, len(files))
    names = OutputNames(files, list(dict.fromkeys(one.query for one in found)))
    answers.names = {path: shown_name(path, video_id) for video_id, path in files.items()}
    _write_each(answers, files, outputs, names, events)
    _write_together(answers, outputs)
    return answers


def _check(outputs: Outputs, n_videos: int) -> None:
    """Raises SpikeMbaError for what cannot be written about so many videos, or not here."""
    if n_videos > 1 and outputs.picture_of_all():
        raise SpikeMbaError(f"--plot {outputs.plot} is one picture and there are {n_videos} videos; name a folder")
    if n_videos > 1 and outputs.format in PER_VIDEO and outputs.file_of_all():
        what = f"one file of {outputs.format}, which is about one video, and there are {n_videos}"
        raise SpikeMbaError(f"--out {outputs.out} is {what}; name a folder")
    outputs.check()


def _write_each(
    answers: Answers, files: Mapping[str, Path], outputs: Outputs, names: OutputNames, events: AnswerEvents
) -> None:
    """What is written about each video, of answers that are all there."""
    for video_id, path in files.items():
        own = [one for one in answers.found if one.video == path]
        if own:
            _write_about(video_id, path, own, outputs, names, answers, events)


def _write_about(
    video_id: str,
    path: Path,
    found: Sequence[Grounding],
    outputs: Outputs,
    names: OutputNames,
    answers: Answers,
    events: AnswerEvents,
) -> None:
    """The cuts and the files about one video."""
    if outputs.cut is not None:
        name = partial(names.of_moment, outputs.cut, video_id, suffix=".mp4")
        with _reported(path, answers, events, alone=False):
            _cut_out(cut_moments(path, found, name, outputs.cut_mode), answers)
    for made, make in _files_of(video_id, found, outputs, names, answers.cuts):
        with _reported(path, answers, events, alone=False):
            make()
            answers.written.append(made)


def _write_together(answers: Answers, outputs: Outputs) -> None:
    """The one file into which all videos go, where one was asked for."""
    together = outputs.file_of_all()
    if together is not None and answers.found:
        _write_rendered(together, answers.found, outputs, answers.cuts)
        answers.written.append(together)


def _askable(grounder: Grounder, queries: Sequence[str], answers: Answers, events: AnswerEvents) -> list[str]:
    """The queries as they are asked; of several, what cannot be is noted. Raises QueryError when none is left."""
    if len(queries) < 2:
        return grounder.check(queries)
    sentences: list[str] = []
    for query in queries:
        try:
            sentences += grounder.check([query])
        except QueryError as error:
            answers.refused[query] = f"{_beginning(query)}: {error}"
    if not sentences:
        raise QueryError("; ".join(answers.refused.values()))
    for query, problem in answers.refused.items():
        events.refused(query, problem)
    return list(dict.fromkeys(sentences))


def _beginning(query: str) -> str:
    words = " ".join(query.split())
    return repr(words if len(words) <= 60 else words[:59] + "…")


@contextmanager
def _reported(path: Path, answers: Answers, events: AnswerEvents, *, alone: bool) -> Iterator[None]:
    """Note what fails about a video, and go on. alone: a fault of the program keeps its traceback."""
    try:
        yield
    except Exception as error:
        if alone and not isinstance(error, SpikeMbaError):
            raise
        problem = problem_with(path, error)
        if path not in answers.failed:
            answers.failed[path] = problem
        events.failed(path, problem)


def _cut_out(cuts: Iterable[MomentCut], answers: Answers) -> None:
    """Note what became of each moment. Raises the first fault, after the others."""
    faults: list[SpikeMbaError] = []
    for done in cuts:
        if done.cut.fault is not None:
            faults.append(done.cut.fault)
            continue
        answers.cuts.append(done)
        answers.written.append(done.cut.out)
        note = f"{answers.names[done.video]}: {done.cut.note}"
        if done.cut.note and note not in answers.notes:
            answers.notes.append(note)
    if faults:
        raise faults[0]


def _files_of(
    video_id: str, found: Sequence[Grounding], outputs: Outputs, names: OutputNames, cuts: Sequence[MomentCut]
) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The files about all answers of one video that are to be made, each with what makes it."""
    if outputs.out is not None and outputs.file_of_all() is None:
        suffix, _ = FORMATS[outputs.format]
        path = names.of_video(outputs.out, video_id, suffix)
        yield path, partial(_write_rendered, path, found, outputs, cuts)
    if outputs.plot is not None:
        path = outputs.picture_of_all() or names.of_video(outputs.plot, video_id, ".png")
        yield path, partial(draw_timeline, path, found)


def _write_rendered(path: Path, found: Sequence[Grounding], outputs: Outputs, cuts: Sequence[MomentCut]) -> None:
    if outputs.format == "json":
        write_text(path, json_with_cuts(found, cuts))
    else:
        write_text(path, rendered(outputs.format, found, outputs.layout(path.parent)))
