"""`spikemba ground`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import spikemba
from spikemba_cli import completion
from spikemba_cli.console import print_error, print_json, print_note, print_table, print_text, progress
from spikemba_cli.encoder_options import (
    AskingPrecisionOption,
    DeviceOption,
    WeightsOption,
    asking_options,
    parse_weights,
)
from spikemba_cli.example import example_or
from spikemba_cli.timeline_options import RelativeOption, ShapeOption, check_timeline

if TYPE_CHECKING:
    from pipelines.grounding.answer_files import Answers, Outputs

Format = Literal["table", "json", "csv", "srt", "vtt", "chapters", "otio", "fcpxml", "xml", "edl", "markers.csv"]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        help="Run folder, checkpoint folder, bundled name, or OWNER/NAME on the hub.",
        autocompletion=completion.checkpoints,
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        help="Ask this encoder without any checkpoint: clip, siglip2, xclip, mini ...",
        autocompletion=completion.encoders,
    ),
]
CutModeOption = Annotated[
    Literal["exact", "copy"],
    typer.Option(help="exact: to the frame, encoded anew; copy: quick, from the key frame before, as it is."),
]
QueriesOption = Annotated[
    Path | None, typer.Option(help="File of sentences: one per line, or a csv, tsv, xlsx or jsonl with `query`.")
]
BestOption = Annotated[
    int | None, typer.Option(min=1, help="Only so many per sentence, the best of all videos; of calibrated scores.")
]
MinExistsOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Below this probability there is no such moment.")
]
ShowAllOption = Annotated[bool, typer.Option("--all", help="Moments, too, where there is probably no such moment.")]


def ground(
    video: Annotated[Path, typer.Argument(help="Video file to search, or a folder of them.")],
    text: Annotated[str | None, typer.Argument(help="One sentence: what to look for.")] = None,
    queries: QueriesOption = None,
    checkpoint: CheckpointOption = None,
    encoder: EncoderOption = None,
    top: Annotated[int, typer.Option(min=1, help="How many moments per video and sentence, at most.")] = 5,
    best: BestOption = None,
    min_exists: MinExistsOption = None,
    show_all: ShowAllOption = False,
    form: Annotated[Format, typer.Option("--format", help="How to print them.")] = "table",
    shape: ShapeOption = None,
    relative: RelativeOption = False,
    out: Annotated[Path | None, typer.Option(help="Folder for a file per video, or FILE of all.")] = None,
    cut: Annotated[Path | None, typer.Option(help="Folder into which each moment is cut out, with its sound.")] = None,
    cut_mode: CutModeOption = "exact",
    plot: Annotated[Path | None, typer.Option(help="Picture of the answers, or a folder for one per video.")] = None,
    cache: Annotated[bool, typer.Option(help="Keep the video's features, so that the next question is quick.")] = True,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: AskingPrecisionOption = "fp32",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Find the moments of VIDEO that TEXT describes.

    Without a checkpoint, CLIP compares the sentence with the frames. In JSON one question to one file is one object,
    a folder or --queries a list of them.

    Example: spikemba ground kitchen.mp4 "she cracks two eggs" --checkpoint runs/qvhighlights
    """
    if (text is None) == (queries is None):
        raise typer.BadParameter("give either a sentence or --queries FILE", param_hint="TEXT")
    check_pairs(checkpoint, encoder, min_exists, show_all)
    form, video = "json" if as_json else form, example_or(video)
    _check_files(plot, cut, cut_mode)
    from pipelines.grounding.answer_files import AnswerEvents, Outputs, answer  # torch loads here, not for --help
    from pipelines.grounding.formats import PER_VIDEO

    if form in PER_VIDEO and video.is_dir() and out is None:
        raise typer.BadParameter(f"{form} is a file per video; name a folder for them", param_hint="--out")
    check_timeline(form, shape, relative)
    asked, several = [text or ""] if queries is None else _read(queries), video.is_dir() or queries is not None
    how = asking_options(precision, device) | {"weights": parse_weights(weights)}
    outputs = Outputs(_file_form(form, out), out, shape, relative, cut, cut_mode, plot)
    outputs.check()
    grounder = spikemba.load(checkpoint, encoder=encoder, **how)
    if not grounder.trained:
        _note_untrained(named=encoder is not None, shows_best=not show_all and min_exists is None)
    limit = 0.0 if show_all else min_exists
    with progress("reading", "videos", "clips") as report:
        events = AnswerEvents(report.of_unit, report, failed=_say, refused=_say)
        ask = partial(answer, grounder, [video], asked, top=top, best=best, min_exists=limit, cache=cache)
        answers = ask(outputs=outputs, events=events)
    _print(answers, form, several, outputs, in_one_order=best is not None)
    _print_notes(answers, form, several, outputs)
    if grounder.limits and answers.found:
        print_note(grounder.limits)
    if answers.failed or answers.refused:
        raise typer.Exit(1)


def _check_files(plot: Path | None, cut: Path | None, cut_mode: str) -> None:
    """Raises BadParameter for a mode of no cuts, SpikeMbaError for files that cannot be made; torch does not load."""
    from pipelines.grounding.output_names import refuse_other_files

    if cut_mode != "exact" and cut is None:
        raise typer.BadParameter("says how moments are cut out; give --cut DIR, too", param_hint="--cut-mode")
    refuse_other_files(plot, cut)


def check_pairs(checkpoint: str | None, encoder: str | None, min_exists: float | None, show_all: bool) -> None:
    """Raises BadParameter for two options that say different things."""
    if checkpoint and encoder:
        raise typer.BadParameter("a checkpoint brings its own encoders; give one of the two", param_hint="--encoder")
    if show_all and min_exists is not None:
        raise typer.BadParameter("--all shows every moment; give one of the two", param_hint="--min-exists")


def _file_form(form: Format, out: Path | None) -> str:
    """The format of files: of a table that of the file that is named, or csv."""
    from pipelines.grounding.formats import FORMATS

    if form != "table":
        return form
    named = [name for name, (suffix, _) in FORMATS.items() if out is not None and suffix == out.suffix.lower()]
    return named[0] if named and out is not None and not out.is_dir() else "csv"


def _read(queries: Path) -> list[str]:
    """The sentences of a file; says how it was read."""
    from pipelines.grounding.queries import read_queries_of

    asked, how = read_queries_of(queries)
    print_note(f"read {how}")
    return asked


def _say(what: object, problem: str) -> None:  # noqa: ARG001
    print_error(problem)


def _note_untrained(*, named: bool, shows_best: bool) -> None:
    """Say in one line that no checkpoint answers, unless an encoder was asked for, and what that means for moments."""
    said = [] if named else ["no checkpoint: CLIP compares the sentence with the frames (zero-shot)"]
    if shows_best:
        said.append("untrained, it cannot know whether a video shows that at all: these are its best moments")
    if said:
        print_note("; ".join(said))


def _print_notes(answers: "Answers", form: Format, several: bool, outputs: "Outputs") -> None:
    """Beside the answers: that there is nothing, or not all, where the form has no place for it; then the files."""
    from pipelines.grounding.losses import note_of

    nothing = [one for one in answers.found if not one.moments]
    if nothing and (outputs.out is not None or form not in ("table", "json")):
        first = f"{answers.names[nothing[0].video]}: {nothing[0].nothing}"
        print_note(f"{len(nothing)} of {len(answers.found)} answers: no such moment" if several else first)
    if lost := note_of(outputs.format, answers.found, outputs.shape) if form != "table" else None:
        print_note(f"{form}: {lost}")
    if answers.order == "name" and len(answers.names) > 1:
        print_note("videos stand in the order of their names: their scores are no probabilities, so none is the better")
    for query, words, model in dict.fromkeys((one.query, one.unknown_words, one.model) for one in answers.found):
        if words:
            about = f" (“{query}”)" if len({one.query for one in answers.found}) > 1 else ""
            print_note(f"{model} does not know: {', '.join(words)}{about}")
    for note in answers.notes:
        print_note(note)
    for path in answers.written:
        print_note("wrote " + str(path).replace("\n", "\\n"))


def _print(answers: "Answers", form: Format, several: bool, outputs: "Outputs", *, in_one_order: bool) -> None:
    from pipelines.grounding.formats import rendered
    from pipelines.grounding.moment_cuts import with_cuts

    if outputs.out is not None or not (answers.found or several):
        return
    if form == "json":
        documents = [with_cuts(one, answers.cuts) for one in answers.found]
        print_json(documents if several else documents[0])
    elif form != "table":
        print_text(rendered(form, answers.found, outputs.layout(Path.cwd())))
    else:
        _print_tables(answers, several, in_one_order)


def _print_tables(answers: "Answers", several: bool, in_one_order: bool) -> None:
    """in_one_order: moments by score, whichever video they are of."""
    from pipelines.grounding.moment_cuts import real_times
    from spikemba.reading.amounts import MINUTE_S, clock_span, shown_score

    titles, rows = ["video", "query", "start_s", "end_s", "score"], []
    scores: list[float] = []
    real = [real_times(answers.cuts, one) for one in answers.found]
    clocks = any(m.end_s >= MINUTE_S for one in answers.found for m in one.moments)
    for one, cuts in zip(answers.found, real, strict=True):
        named = [answers.names[one.video], one.query]
        if not one.moments:
            rows.append([*named, one.nothing, "", "", *([""] * (2 * any(real) + clocks))])
            scores.append(-1.0)
        for rank, m in enumerate(one.moments, start=1):
            row = [*named, f"{m.start_s:.2f}", f"{m.end_s:.2f}", shown_score(m.score)]
            if any(real):  # copies begin where a key frame lies
                row += [f"{time:.2f}" for time in cuts[rank]] if rank in cuts else ["", ""]
            rows.append([*row, clock_span(m.start_s, m.end_s)] if clocks else row)
            scores.append(m.score)
    titles += ["cut_start_s", "cut_end_s"] if any(real) else []
    titles += ["time"] if clocks else []
    if in_one_order:
        rows = [rows[i] for i in sorted(range(len(rows)), key=lambda i: -scores[i])]
    if several:
        print_table("", titles, rows)
    else:
        (one,) = answers.found
        print_table(f"{answers.names[one.video]}: {one.query}", titles[2:], [row[2:] for row in rows])
