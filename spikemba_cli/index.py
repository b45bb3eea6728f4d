"""`spikemba index`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikemba.reading.printable import counted
from spikemba_cli.console import JsonOption, err, print_error, print_json, print_note, print_warning, progress
from spikemba_cli.encoder_options import (
    DeviceOption,
    FramesOption,
    PrecisionOption,
    ResizeOption,
    WeightsOption,
    encoder_options,
    parse_weights,
)

if TYPE_CHECKING:
    from pipelines.library.index import IndexResult

LibraryOption = Annotated[Path, typer.Option(help="Folder of the library.")]


def index(
    videos: Annotated[list[Path], typer.Argument(help="Video files, or folders that are searched for them.")],
    encoder: Annotated[
        str, typer.Option(help="Encoder, or several joined by +; `spikemba config encoders` lists them.")
    ] = "clip",
    library: LibraryOption = Path("library"),
    clip_length: Annotated[float, typer.Option(min=0.05, help="Seconds of video per row.")] = 2.0,
    weights: WeightsOption = None,
    frames: FramesOption = "published",
    resize: ResizeOption = "published",
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    shard: Annotated[
        str | None, typer.Option(help="i/n: the i-th of n parts; under torchrun and SLURM each process takes its own.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try again the videos that could not be read.")] = False,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This process, or the workers of Ray.")] = "local",
    decoders: Annotated[int | None, typer.Option(min=1, help="Videos decoded at once.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a library up to date with VIDEOS, for `spikemba search`: new, changed, moved and removed ones.

    Example: spikemba index videos/ --encoder mini
    """
    from pipelines.extraction.job import ExtractEvents, RunOptions
    from pipelines.library.index import index as run
    from pipelines.shards import launched_shard, parse_shard

    part = parse_shard(shard) if shard else launched_shard(os.environ)
    if part.count > 1:
        print_note(f"part {part.index + 1} of {part.count}")
    options = encoder_options(frames, resize, precision, device)
    how = RunOptions(options, parse_weights(weights), part, retry_failed, engine, decoders)
    with progress("indexing", "videos") as report:
        events = ExtractEvents(videos=report, failed=lambda _, problem: print_error(problem))
        result = run(videos, encoder, library, clip_s=clip_length, run=how, events=events)
    _print(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def _print(result: "IndexResult", as_json: bool) -> None:
    if result.unreachable:
        n = counted(len(result.unreachable), "video", "videos")
        print_warning(
            f"{n} cannot be reached now and stay in the library, the first is {result.unreachable[0]}; where they are "
            f"gone for good, run `spikemba library drop --below FOLDER --library {result.library}`"
        )
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
