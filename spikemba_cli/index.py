"""`spikemba index`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikemba.errors import command_line
from spikemba.reading.printable import counted
from spikemba_cli.console import JsonOption, err, print_error, print_json, print_note, print_warning, progress
from spikemba_cli.encoder_options import (
    DeviceOption,
    FramesOption,
    PrecisionOption,
    ResizeOption,
    WeightsOption,
    encoder_options,
)
from spikemba_cli.extraction_options import (
    ClipLengthOption,
    DecodersOption,
    EncodersOption,
    EngineOption,
    ShardOption,
    run_options,
)

if TYPE_CHECKING:
    from pipelines.library.index import IndexResult

LibraryOption = Annotated[
    str, typer.Option(metavar="PLACE", help="Folder of the library, or s3://BUCKET/PLACE (gs://, az://) of LanceDB.")
]
FormOption = Annotated[
    Literal["local", "lance"] | None,
    typer.Option(help="Of a new library in a folder: local, or lance (LanceDB); what is there keeps its own."),
]


def index(
    videos: Annotated[list[Path], typer.Argument(help="Video files, or folders that are searched for them.")],
    encoder: EncodersOption = "clip",
    library: LibraryOption = "library",
    form: FormOption = None,
    clip_length: ClipLengthOption = 2.0,
    weights: WeightsOption = None,
    frames: FramesOption = "published",
    resize: ResizeOption = "published",
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    shard: ShardOption = None,
    retry_failed: Annotated[bool, typer.Option(help="Try again the videos that could not be read.")] = False,
    engine: EngineOption = "local",
    decoders: DecodersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a library up to date with VIDEOS, for `spikemba search`: new, changed, moved and removed ones.

    Example: spikemba index videos/ --encoder mini
    """
    from pipelines.extraction.job import ExtractEvents
    from pipelines.library.index import index as run

    options = encoder_options(frames, resize, precision, device)
    how = run_options(options, weights, shard, engine, decoders, retry_failed=retry_failed)
    with progress("indexing", "videos", "clips") as report:
        events = ExtractEvents(report, report.of_unit, failed=lambda _, problem: print_error(problem))
        result = run(videos, encoder, library, form=form, clip_s=clip_length, run=how, events=events)
    _print(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def _print(result: "IndexResult", as_json: bool) -> None:
    if result.unreachable:
        n = counted(len(result.unreachable), "video", "videos")
        drop = command_line("spikemba", "library", "drop", "--below", "FOLDER", "--library", result.library)
        print_warning(
            f"{n} cannot be reached now and stay in the library, the first is {result.unreachable[0]}; where they are "
            f"gone for good, run `{drop}`"
        )
    for note in result.notes:
        print_note(note)
    if as_json:
        print_json(result.to_dict())
        return
    for path, original in result.copies.items():
        print_note(f"{path} is a copy of {original}")
    names = {"renewed": "renewed", "moved": "moved", "copies": "copied", "dropped": "dropped", "failed": "failed"}
    parts = [f"{counted(len(result.added), 'video', 'videos')} added"]
    parts += [f"{len(getattr(result, name))} {word}" for name, word in names.items() if getattr(result, name)]
    parts += [f"{len(result.kept)} as they were"] if result.kept else []
    err.print(f"{', '.join(parts)} -> {result.library}")
