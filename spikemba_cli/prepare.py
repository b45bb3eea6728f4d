"""`spikemba prepare`: annotations to what training reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba_cli.console import err, print_json, progress

if TYPE_CHECKING:
    from pipelines.prepare import Prepared

app = typer.Typer(no_args_is_help=True, help="Bring a data set into the form that training reads.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def shapes(
    out: Annotated[Path, typer.Option(help="Folder for videos and annotations.")] = Path("data/shapes"),
    train: Annotated[int, typer.Option(min=1, help="Training videos.")] = 300,
    val: Annotated[int, typer.Option(min=1, help="Validation videos.")] = 40,
    test: Annotated[int, typer.Option(min=1, help="Test videos.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another corpus.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw the synthetic corpus: moving shapes in real video files, with sentences about what they do.

    Example: spikemba prepare shapes --train 100
    """
    from pipelines.prepare import prepare_shapes
    from pipelines.shapes_corpus import ShapesConfig

    with progress("drawing", "videos") as report:
        config = ShapesConfig(train=train, val=val, test=test, seed=seed)
        prepared = prepare_shapes(out, config, report)
    _print(prepared, "mini", as_json)


@app.command()
def custom(
    source: Annotated[Path, typer.Option(help="CSV or jsonl with video, start, end, query and, if you like, rating.")],
    out: Annotated[Path, typer.Option(help="Folder for the annotations.")],
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos; by default that of SOURCE.")] = None,
    encoder: Annotated[str, typer.Option(help="Encoder that the features will be made with.")] = "clip+slowfast",
    clip_length: Annotated[float, typer.Option(min=0.05, help="Seconds of video per clip.")] = 2.0,
    val_share: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the videos to validate on.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Decides which videos.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Check your own annotations and split them by video.

    Example: spikemba prepare custom --source my.csv --videos footage/ --out data/mine
    """
    from pipelines.prepare import prepare_custom

    with progress("reading", "videos") as report:
        prepared = prepare_custom(
            source,
            out,
            videos=videos,
            encoder=encoder,
            clip_s=clip_length,
            val_share=val_share,
            seed=seed,
            report=report,
        )
    _print(prepared, encoder, as_json)


def _print(prepared: "Prepared", encoder: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {"out": str(prepared.out), "queries": prepared.n_queries, "videos": str(prepared.videos)}
            | {"config": str(prepared.config)}
        )
        return
    counts = ", ".join(f"{name} {n}" for name, n in prepared.n_queries.items())
    files = " ".join(f"--queries {prepared.out / name}.jsonl" for name in prepared.n_queries)
    features = prepared.out / "features"
    err.print(f"queries: {counts} -> {prepared.out}")
    err.print(f"next: spikemba extract {prepared.videos} --encoder {encoder} --out {features} {files}")
    err.print(f"then: spikemba train --config {prepared.config}")
