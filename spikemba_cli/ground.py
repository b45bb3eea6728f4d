"""`spikemba ground`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import spikemba
from spikemba_cli.console import print_error, print_json, print_note, print_table, progress
from spikemba_cli.encoder_options import DeviceOption, PrecisionOption, WeightsOption, encoder_options, parse_weights
from spikemba_cli.example import example_or

if TYPE_CHECKING:
    from pipelines.grounding.answer_files import Answers

Format = Literal["table", "json", "csv", "srt", "vtt", "edl", "chapters"]
CutModeOption = Annotated[
    Literal["exact", "copy"],
    typer.Option(help="exact: to the frame, encoded anew; copy: quick, from the key frame before, as it is."),
]


def ground(
    video: Annotated[Path, typer.Argument(help="Video file to search, or a folder of them.")],
    text: Annotated[str | None, typer.Argument(help="One sentence: what to look for.")] = None,
    queries: Annotated[
        Path | None, typer.Option(help="File of sentences: one per line, or a csv or jsonl with `query`.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Run folder, checkpoint folder, bundled name, or OWNER/NAME on the hub.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Ask this encoder without any checkpoint: clip, siglip2, xclip, mini ...")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many moments to print, at most.")] = 5,
    form: Annotated[Format, typer.Option("--format", help="How to print them.")] = "table",
    out: Annotated[Path | None, typer.Option(help="Folder for one file of that format per video.")] = None,
    cut: Annotated[Path | None, typer.Option(help="Folder into which each moment is cut out, with its sound.")] = None,
    cut_mode: CutModeOption = "exact",
    plot: Annotated[Path | None, typer.Option(help="Picture of the answers, or a folder for one per video.")] = None,
    cache: Annotated[bool, typer.Option(help="Keep the video's features, so that the next question is quick.")] = True,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Find the moments of VIDEO that TEXT describes.

    Without a checkpoint, CLIP compares the sentence with the frames. In JSON one question to one file is one object,
    a folder or --queries a list of them.

    Example: spikemba ground kitchen.mp4 "she cracks two eggs" --checkpoint runs/qvhighlights
    """
    if (text is None) == (queries is None):
        raise typer.BadParameter("give either a sentence or --queries FILE", param_hint="TEXT")
    if checkpoint and encoder:
        raise typer.BadParameter("a checkpoint brings its own encoders; give one of the two", param_hint="--encoder")
    form, video = "json" if as_json else form, example_or(video)
    from pipelines.grounding.answer_files import AnswerEvents, Outputs, answer  # torch loads here, not for --help
    from pipelines.grounding.formats import PER_VIDEO
    from pipelines.grounding.queries import read_queries

    if form in PER_VIDEO and video.is_dir() and out is None:
        raise typer.BadParameter(f"{form} is a file per video; name a folder for them", param_hint="--out")
    asked = read_queries(queries) if queries else [text or ""]
    options = encoder_options("published", "published", precision, device)
    grounder = spikemba.load(checkpoint, encoder=encoder, options=options, weights=parse_weights(weights))
    if not grounder.trained and checkpoint is None and encoder is None:
        print_note("no checkpoint: CLIP compares the sentence with the frames (zero-shot)")
    with progress("reading the video", "clips") as report:
        several = video.is_dir()
        events = AnswerEvents(clips=report, failed=lambda _, problem: print_error(problem))
        outputs = Outputs("csv" if form == "table" else form, out, cut, cut_mode, plot)
        answers = answer(grounder, [video], asked, top=top, cache=cache, outputs=outputs, events=events)
    _print(answers, form, several or queries is not None, to_files=out is not None)
    for note in [*answers.notes, *(f"wrote {path}" for path in answers.written)]:
        print_note(note)
    if answers.failed:
        raise typer.Exit(1)


def _print(answers: "Answers", form: Format, several: bool, to_files: bool) -> None:
    from pipelines.grounding.formats import FORMATS
    from pipelines.grounding.moment_cuts import with_cuts

    if to_files or (answers.failed and not several):
        return
    if form == "json":
        documents = [with_cuts(one, answers.cuts) for one in answers.found]
        print_json(documents if several else documents[0])
    elif form != "table":
        sys.stdout.write(FORMATS[form][1](answers.found))
    else:
        _print_tables(answers, several)


def _print_tables(answers: "Answers", several: bool) -> None:
    from pipelines.grounding.moment_cuts import real_times

    titles, rows = ["video", "query", "start_s", "end_s", "score"], []
    real = [real_times(answers.cuts, one) for one in answers.found]
    for one, cuts in zip(answers.found, real, strict=True):
        for rank, m in enumerate(one.moments, start=1):
            rows.append([one.video.name, one.query, f"{m.start_s:.2f}", f"{m.end_s:.2f}", f"{m.score:.3f}"])
            if any(real):  # copies begin where a key frame lies
                rows[-1] += [f"{time:.2f}" for time in cuts[rank]] if rank in cuts else ["", ""]
    titles += ["cut_start_s", "cut_end_s"] if any(real) else []
    if several:
        print_table("", titles, rows)
    else:
        (one,) = answers.found
        print_table(f"{one.video.name}: {one.query}", titles[2:], [row[2:] for row in rows])
