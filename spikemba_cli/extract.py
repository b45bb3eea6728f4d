"""`spikemba extract`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba.reading.printable import counted
from spikemba_cli import completion
from spikemba_cli.console import JsonOption, err, print_error, print_json, progress
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
    from pipelines.extraction.extract import ExtractResult


def extract(
    videos: Annotated[
        list[Path] | None, typer.Argument(help="Video files, or folders that are searched for them.")
    ] = None,
    encoder: EncodersOption = "clip+slowfast",
    out: Annotated[Path, typer.Option(help="Folder for the features.")] = Path("features"),
    clip_length: ClipLengthOption = 2.0,
    queries: Annotated[
        list[Path] | None, typer.Option(help="Annotations (jsonl) whose queries to encode too; may be repeated.")
    ] = None,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            help="Encoder of the queries, where those of the videos read no text.", autocompletion=completion.encoders
        ),
    ] = None,
    half: Annotated[bool, typer.Option("--float16", help="Store half precision, as published packs do.")] = False,
    weights: WeightsOption = None,
    frames: FramesOption = "published",
    resize: ResizeOption = "published",
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    shard: ShardOption = None,
    retry_failed: Annotated[bool, typer.Option(help="Try again the videos of failures.jsonl.")] = False,
    engine: EngineOption = "local",
    decoders: DecodersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn VIDEOS into feature files. Videos that have theirs are left alone.

    Example: spikemba extract videos/ --encoder mini --queries train.jsonl
    """
    if not videos and not queries:
        raise typer.BadParameter("give videos, or --queries FILE for sentences alone", param_hint="VIDEOS")
    from pipelines.extraction.extract import extract as run
    from pipelines.extraction.job import ExtractEvents

    options = encoder_options(frames, resize, precision, device)
    how = run_options(options, weights, shard, engine, decoders, retry_failed=retry_failed)
    with progress("encoding", "videos", "clips") as report:
        stages = report.of("encoding", "videos", "clips"), report.of_unit, report.of("encoding sentences", "queries")
        events = ExtractEvents(*stages, failed=lambda _, problem: print_error(problem))
        result = run(
            videos or [],
            encoder,
            out,
            clip_s=clip_length,
            queries=queries or [],
            text=text_encoder,
            dtype="float16" if half else "float32",
            run=how,
            events=events,
        )
    _print(result, as_json, asked=bool(queries))
    if result.failed:
        raise typer.Exit(1)


def _print(result: "ExtractResult", as_json: bool, *, asked: bool) -> None:
    if as_json:
        failed = {str(path): problem for path, problem in result.failed.items()}
        document = {"out": str(result.out), "encoded": result.encoded, "kept": result.kept, "failed": failed}
        lacking = {f"without_{what}": ids for what, ids in result.lacking.items()}
        print_json({**document, **lacking, "queries": result.n_queries})
        return
    queries = f", {counted(result.n_queries, 'query', 'queries')}" if asked else ""
    kept = f", {len(result.kept)} were there already" if result.kept else ""
    silent = "".join(f", {len(ids)} without {what}" for what, ids in result.lacking.items() if ids)
    failures = f", {len(result.failed)} failed" if result.failed else ""
    err.print(
        f"{counted(len(result.encoded), 'video', 'videos')} encoded{kept}{silent}{failures}{queries} -> {result.out}"
    )
