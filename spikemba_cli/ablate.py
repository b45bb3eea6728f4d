"""`spikemba ablate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba_cli.console import JsonOption, print_error, print_json, print_note, print_table
from spikemba_cli.run_options import (
    ConfigOption,
    DataOption,
    ProcessesOption,
    RestartsOption,
    SettingsOption,
    config_file,
)
from spikemba_cli.seeds import parse_seeds
from spikemba_cli.train import Processes, check_prepared

if TYPE_CHECKING:
    from pipelines.studies.ablation_tables import Ablation


def ablate(
    dataset: Annotated[str | None, typer.Argument(help="Name of a configuration that comes with spikemba.")] = None,
    config: ConfigOption = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A part such as slots, or one value, slots=0; may be repeated.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, as 0-4 or 0,1,2; by default the configuration's.")] = None,
    settings: SettingsOption = None,
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all runs; by default runs/<name>-ablations.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what is finished there, go on with what is not.")
    ] = False,
    processes: ProcessesOption = 1,
    restarts: RestartsOption = 3,
    show: Annotated[bool, typer.Option("--list", help="List the variants and their settings, and train none.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train with and without each part of the network; print mean and deviation, and paired differences to the base.

    Example: spikemba ablate shapes --only detector --only slots --seeds 0-2
    """
    numbers = parse_seeds(seeds)
    from pipelines.studies.ablations import settings_of, variants  # torch loads here, not for --help

    if show:
        columns, rows = ["part", "value", "setting"], settings_of(only or [])
        if as_json:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        else:
            print_table("", columns, rows)
        return
    path = config_file(dataset, config, called="NAME")
    from pipelines.runs.config import prepared_config
    from pipelines.studies.ablation_runs import ablate as run_all
    from pipelines.studies.ablation_tables import document

    wanted = variants(path, settings or [], only or [], prepared_config(dataset, data))
    base = wanted[0].config
    if dataset:
        check_prepared(dataset, base)
    folder = out or Path("runs") / f"{base.name}-ablations"
    found = run_all(
        wanted,
        folder,
        numbers,
        resume=resume,
        run=Processes(processes, restarts),
        starting=lambda name, done, total: print_note(f"variant {done + 1} of {total}: {name}"),
        failed=lambda name, problem: print_error(f"{name}: {problem}"),
    )
    if as_json:
        print_json(document(found))
    else:
        _print(found, f"{base.name} -> {folder}")
    if any(one.problem for one in found.outcomes):
        raise typer.Exit(1)


def _print(found: "Ablation", title: str) -> None:
    from pipelines.studies.ablation_tables import kinds_table, notes, table

    for said in notes(found):
        print_note(said)
    print_table(title, *table(found))
    columns, rows = kinds_table(found)
    if rows:
        sys.stdout.write("\n")  # between the tables, also in a pipe
        print_table("by kind of query", columns, rows)
