"""`spikemba runs`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikemba_cli import completion
from spikemba_cli.console import JsonOption, print_json, print_note, print_table, print_warning

Order = Literal["path", "best", "date"]


def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, or folders of them; by default runs.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ] = None,
    curves: Annotated[
        Path | None, typer.Option(help="Draw losses, metrics and firing rates: .png, .svg, .pdf or .html.")
    ] = None,
    sort: Annotated[Order, typer.Option(help="By path, by the best value, or by the last change.")] = "path",
    as_json: JsonOption = False,
) -> None:
    """List runs: data set, state, epochs, best metric, date; draw the curves of one, or of several side by side.

    Example: spikemba runs runs/shapes --curves curves.html
    """
    from pipelines.runs.overview import find_runs
    from pipelines.studies.curves import listing, write_curves  # without torch

    found = [run for folder in folders or [Path("runs")] for run in find_runs(folder)]
    if sort == "date":
        found.sort(key=lambda run: run.changed.timestamp() if run.changed else 0.0, reverse=True)
    elif sort == "best":
        found.sort(key=lambda run: run.best["val"][run.metric] if run.best else float("-inf"), reverse=True)
    if as_json:
        print_json([run.to_dict() for run in found])
    else:
        print_table("", *listing(found))
    for run in found:
        if run.problem:
            print_warning(f"{run.path}: {run.problem}")
    if curves is not None:
        write_curves(curves, found)
        print_note(f"wrote {curves}")
