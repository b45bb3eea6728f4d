"""`spikemba extract`."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli.console import err, print_error, print_json, progress


def extract(
    videos: Annotated[list[Path], typer.Argument(help="Video files, or folders that are searched for them.")],
    encoder: Annotated[str, typer.Option(help="Encoder, or several joined by +.")] = "clip+slowfast",
    out: Annotated[Path, typer.Option(help="Folder for the features.")] = Path("features"),
    clip_length: Annotated[float, typer.Option(min=0.05, help="Seconds of video per row.")] = 2.0,
    queries: Annotated[
        list[Path] | None, typer.Option(help="Annotations (jsonl) whose queries to encode too; may be repeated.")
    ] = None,
    half: Annotated[bool, typer.Option("--float16", help="Store half precision, as published packs do.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Turn VIDEOS into feature files. Videos that have theirs are left alone.

    Example: spikemba extract videos/ --encoder mini --queries train.jsonl
    """
    from pipelines.extract import ExtractEvents
    from pipelines.extract import extract as run

    with progress("encoding", "videos") as report:
        events = ExtractEvents(videos=report, failed=lambda _, problem: print_error(problem))
        result = run(
            videos,
            encoder,
            out,
            clip_s=clip_length,
            queries=queries or [],
            dtype="float16" if half else "float32",
            events=events,
        )
    if as_json:
        failed = {str(path): problem for path, problem in result.failed.items()}
        document = {"out": str(out), "encoded": result.encoded, "kept": result.kept, "failed": failed}
        print_json({**document, "queries": result.n_queries})
    else:
        queries_done = f", {result.n_queries} queries" if queries else ""
        kept = f", {len(result.kept)} were there already" if result.kept else ""
        failures = f", {len(result.failed)} failed" if result.failed else ""
        err.print(f"{len(result.encoded)} videos encoded{kept}{failures}{queries_done} -> {out}")
    if result.failed:
        raise typer.Exit(1)
