"""`spikemba calibrate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikemba_cli import completion
from spikemba_cli.console import print_json, print_note, print_table, print_warning, progress


def calibrate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="Run folder or checkpoint folder; its config.json is changed.", autocompletion=completion.runs
        ),
    ],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Split whose answers are known.")] = "val",
    config: Annotated[
        Path | None, typer.Option(help="YAML whose data to use; by default what it was trained with.")
    ] = None,
    method: Annotated[
        Literal["platt", "isotonic"], typer.Option(help="A scale and an offset, or a rising curve from many queries.")
    ] = "platt",
    min_exists: Annotated[
        float, typer.Option(min=0, max=1, help="Below this probability `ground` says: no such moment.")
    ] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was stored.")] = False,
) -> None:
    """Make probabilities of a checkpoint's scores, and of whether a video shows a moment at all.

    Fitted on queries with known answers, some of them about nothing in their video; stored in the checkpoint, with a
    picture of what probabilities were worth before and after. From then on a moment's score is the probability that it
    overlaps a true one by half.

    Example: spikemba calibrate runs/shapes
    """
    from pipelines.reports.reliability import DRAWN, draw_reliability
    from pipelines.tasks.grounding.calibrate import calibrate as fit  # torch loads here, not for --help
    from pipelines.tasks.registry import load_run_config

    data = None if config is None else getattr(load_run_config(config), "data", None)
    with progress("answering", "queries") as report:
        found = fit(checkpoint, split, data=data, method=method, min_exists=min_exists, report=report)
    picture = found.checkpoint / "calibration.png"
    draw_reliability(picture, {name: found.said[name] for name in DRAWN if name in found.said})
    for note in found.notes:
        print_warning(note)
    if as_json:
        print_json(found.calibration.model_dump(mode="json"))
        return
    title = f"expected calibration error on {split}, {found.n_queries} queries, {found.n_nulls} without a moment"
    rows = [[name, f"{before:.2f}", f"{after:.2f}"] for name, (before, after) in found.errors.items()]
    print_table(title, ["", "before, %", "after, %"], rows)
    print_note(f"stored in {found.checkpoint / 'config.json'}")
    print_note(f"wrote {picture}")
