"""`spikemba evaluate`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spikemba_cli.console import print_json, print_table


def evaluate(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="Run folder, checkpoint folder, or name of a bundled model.")
    ] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Split to evaluate on.")] = "val",
    config: Annotated[Path | None, typer.Option(help="YAML whose data section to use; by default the run's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value of that configuration; may be repeated.")
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="Score this predictions file (jsonl) instead.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Annotations (jsonl) to score it against.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the checkpoint's predictions to this jsonl.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the official evaluator's document.")] = False,
) -> None:
    """Score a checkpoint on a split, or a predictions file against annotations.

    Example: spikemba evaluate runs/shapes --split test
    """
    if (checkpoint is None) == (predictions is None):
        raise typer.BadParameter("give either a checkpoint or --predictions FILE", param_hint="CHECKPOINT")
    if (predictions is None) != (annotations is None):
        raise typer.BadParameter("--predictions and --annotations go together", param_hint="--annotations")
    document: dict[str, Any]
    if predictions is not None and annotations is not None:
        from pipelines.scoring import score_files  # without torch

        document = score_files(predictions, annotations)
    else:
        from pipelines.config import load_config
        from pipelines.evaluate import evaluate as run

        assert checkpoint is not None
        data = load_config(config, settings or []).data if config or settings else None
        document = run(checkpoint, split, data=data, out=out)
    if as_json:
        print_json(document)
    else:
        print_table("", ["metric", "%"], [[name, f"{value:.2f}"] for name, value in document["brief"].items()])
