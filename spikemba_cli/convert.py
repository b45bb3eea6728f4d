"""`spikemba convert`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikemba_cli import completion
from spikemba_cli.console import print_error, print_note, print_text
from spikemba_cli.timeline_options import RelativeOption, ShapeOption

ToOption = Annotated[
    str,
    typer.Option(
        help="Form of predictions (jsonl, json, lighthouse, timelens, text) or format of `ground` (srt, csv, edl ...).",
        autocompletion=completion.conversions,
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", help="Form of FILES; by default seen by what is in them.", autocompletion=completion.forms),
]
UnitsOption = Annotated[
    Literal["seconds", "milliseconds", "fractions", "frames"] | None,
    typer.Option(help="What times are that are not seconds; fractions of the duration."),
]


def convert(
    files: Annotated[list[Path], typer.Argument(help="Predictions; several are read as one.")],
    to: ToOption,
    form: FromOption = None,
    out: Annotated[Path | None, typer.Option(help="File to write, or of subtitles a folder; else printed.")] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Annotations (jsonl) that rows get ids, durations and true windows from.")
    ] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos, for timelines, durations, rates.")] = None,
    video: Annotated[str | None, typer.Option(help="Name of the video of rows that say none.")] = None,
    units: UnitsOption = None,
    fps: Annotated[float | None, typer.Option(min=0.001, help="Frames per second, for --units frames.")] = None,
    drop_faulty: Annotated[
        bool, typer.Option("--drop-faulty", help="Leave out moments that end before they begin.")
    ] = False,
    shape: ShapeOption = None,
    relative: RelativeOption = False,
) -> None:
    """Bring predictions of any model from one form into another, or into subtitles, tables and timelines.

    Example: spikemba convert timelens.jsonl --to jsonl --annotations val.jsonl --out predictions.jsonl
    """
    from pipelines.grounding.conversion import convert as convert_files
    from pipelines.grounding.conversion_options import ConversionOptions

    if fps is not None and units != "frames":
        raise typer.BadParameter("is the rate of frames; give --units frames, too", param_hint="--fps")
    how = ConversionOptions(to, out, form, annotations, videos, video, units, fps, drop_faulty, shape, relative)
    done = convert_files(files, how)
    if done.text is not None:
        print_text(done.text)
    for note in dict.fromkeys(done.notes):
        print_note(note)
    for path in done.written:
        print_note(f"wrote {path}")
    for problem in done.failed:
        print_error(problem)
    if done.failed:
        raise typer.Exit(1)
