"""`spikemba evaluate`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikemba.datasets.registry import OWN
from spikemba_cli.console import print_json, print_table, print_warning

if TYPE_CHECKING:
    from pipelines.scoring.evaluate_files import Evaluation

Table = Literal["text", "markdown", "csv"]


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
    annotations: Annotated[
        Path | None, typer.Option(help="Annotations to score it against: jsonl, or the official file.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help=f"Benchmark whose metrics to use; by default the run's, or {OWN}.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look for faults of the predictions file; exit 1 if there are any.")
    ] = False,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Also print 95 % intervals over this many resamples of the videos.")
    ] = 0,
    table: Annotated[
        Table | None, typer.Option(help="Print the numbers beside the published ones: text, markdown or csv.")
    ] = None,
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
    if check and predictions is None:
        raise typer.BadParameter("--check looks at a predictions file; give --predictions", param_hint="--check")
    if predictions is not None and annotations is not None:
        from pipelines.scoring.evaluate_files import evaluate_files  # without torch

        result = evaluate_files(predictions, annotations, dataset or OWN, bootstrap, only_check=check)
    else:
        assert checkpoint is not None
        data = _other_data(checkpoint, config, settings or [])
        result = _run(checkpoint, split, data, out, dataset, bootstrap)
    for fault in result.faults:
        print_warning(fault)
    if check:
        raise typer.Exit(int(bool(result.faults)))
    if not result.document:  # answers to a split without truth, which are written
        return
    if table:
        _print_table(result, table, "test" if predictions else split, str(checkpoint or predictions))
    elif as_json:
        intervals = {"intervals": {name: asdict(one) for name, one in result.intervals.items()}}
        print_json(result.document | (intervals if result.intervals else {}))
    else:
        _print_brief(result.brief, result.spread, result.intervals)


def _other_data(checkpoint: Path, config: Path | None, settings: list[str]) -> Any:
    """The data section to use in place of the run's own; None where nothing is given."""
    if not config and not settings:
        return None
    from pipelines.tasks.registry import load_run_config

    own = checkpoint / "config.yaml"
    return getattr(load_run_config(config or (own if own.is_file() else None), settings), "data", None)


def _run(checkpoint: Path, split: str, *asked: Any) -> "Evaluation":
    """What the checkpoint's kind of training makes of a split.  asked: the fields of EvaluateOptions."""
    from pipelines.scoring.evaluate_files import EvaluateOptions
    from pipelines.tasks.registry import kind_of_run

    return kind_of_run(checkpoint).evaluate_run(checkpoint, split, EvaluateOptions(*asked))


def _print_table(result: "Evaluation", form: Table, split: str, name: str) -> None:
    """The numbers beside the published ones."""
    from pipelines.scoring.published_table import render, results_table

    sys.stdout.write(render(results_table(result.benchmark, split, result.brief, name, result.spread), form))


def _print_brief(brief: dict[str, float], spread: dict[str, float], intervals: dict[str, Any]) -> None:
    columns = ["metric", "%"]
    rows = [[name, f"{value:.2f}"] for name, value in brief.items()]
    if spread:
        columns.append("±")
        rows = [[*row, f"{spread[row[0]]:.2f}" if row[0] in spread else ""] for row in rows]
    if intervals:
        columns += ["low", "high"]
        known = {name: [f"{one.low:.2f}", f"{one.high:.2f}"] for name, one in intervals.items() if one.low is not None}
        rows = [[*row, *known.get(row[0], ["", ""])] for row in rows]
    print_table("", columns, rows)
