"""`spikemba train`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from spikemba_cli.console import err, print_json, print_warning, progress


def train(
    dataset: Annotated[str | None, typer.Option(help="Name of a configuration that comes with spikemba.")] = None,
    config: Annotated[Path | None, typer.Option(help="A configuration of your own, YAML.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, over the file; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/<name>.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in that folder, if there is one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Train SpikeMba on extracted features.

    Example: spikemba train --dataset shapes --set train.epochs=20 --out runs/quick
    """
    if (dataset is None) == (config is None):
        raise typer.BadParameter("give either --dataset NAME or --config FILE", param_hint="--dataset")
    from pipelines.config import config_path, load_config
    from pipelines.train import train as run

    resolved = load_config(config_path(dataset) if dataset else config, settings or [])
    folder = out or Path("runs") / resolved.name
    with progress("training", "steps") as report:
        result = run(resolved, folder, resume=resume, events=Printed(report))
    best = {"best_epoch": result.best_epoch, "best": result.best}
    if as_json:
        print_json({"run": str(result.run), "epochs": result.epochs, **best})
    else:
        chosen = f"best epoch {result.best_epoch}: {_brief(result.best)}" if result.best_epoch else "not validated"
        err.print(f"{result.epochs} epochs, {chosen} -> {folder}")


class Printed:
    """Training events on stderr."""

    def __init__(self, report: Any) -> None:
        self.step = report

    def epoch(self, row: Mapping[str, Any]) -> None:
        """One line per epoch."""
        validated = f"  {_brief(row['val'])}" if "val" in row else ""
        err.print(f"epoch {row['epoch']:4d}  loss {row['loss']:.4f}  {row['pairs_per_s']:.0f} pairs/s{validated}")

    def warn(self, message: str) -> None:
        """One line per warning."""
        print_warning(message)


def _brief(metrics: Mapping[str, float]) -> str:
    """The few numbers that fit a line."""
    shown = ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP", "HL-min-VeryGood-mAP", "HL-min-VeryGood-Hit1")
    return "  ".join(f"{_short(name)} {metrics[name]:.2f}" for name in shown if name in metrics)


def _short(name: str) -> str:
    return name.replace("MR-full-", "").replace("HL-min-VeryGood-", "HL-")
