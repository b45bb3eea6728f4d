"""`spikemba ablate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba_cli import completion
from spikemba_cli.console import JsonOption, print_error, print_json, print_note, print_table, print_warning
from spikemba_cli.run_options import (
    ConfigOption,
    DataOption,
    ProcessesOption,
    RestartsOption,
    SettingsOption,
    VerboseOption,
    config_file,
)
from spikemba_cli.seeds import parse_seeds
from spikemba_cli.train import Processes, check_prepared, starting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.studies.ablation_tables import Ablation
    from pipelines.studies.ablations import Variant

NameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Name of a configuration that comes with spikemba.",
        autocompletion=completion.configurations,
    ),
]
OutOption = Annotated[Path | None, typer.Option(help="Folder for all runs; by default runs/<name>[-<data>]-ablations.")]


def ablate(
    dataset: NameArgument = None,
    config: ConfigOption = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A part such as slots, or values of it, slots=0,4; may be repeated.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, as 0-4 or 0,1,2; by default the configuration's.")] = None,
    settings: SettingsOption = None,
    data: DataOption = None,
    out: OutOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what is finished there, go on with what is not.")
    ] = False,
    processes: ProcessesOption = 1,
    restarts: RestartsOption = 3,
    show: Annotated[bool, typer.Option("--list", help="List the variants and their settings, and train none.")] = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train with and without each part of the network; print mean and deviation, and paired differences to the base.

    Example: spikemba ablate shapes --only detector --only slots --seeds 0-2
    """
    numbers = parse_seeds(seeds)
    from pipelines.studies.ablations import BASE, is_variant, settings_of, variants  # torch loads here, not for --help

    if show:
        _list(settings_of(only or []), as_json)
        return
    path = config_file(dataset, config, called="NAME")
    from pipelines.runs.config import prepared_config
    from pipelines.studies import ablation_runs

    given, prepared = settings or [], prepared_config(dataset, data)
    base = variants(path, given, only or [], prepared)[0].config
    if dataset:
        check_prepared(dataset, base)
    folder = out or Path("runs") / _folder_name(base.name, data)
    before = ablation_runs.trained_before(folder) if resume else {}
    asked = [f"{part}={value}" for part, value, _ in settings_of(only or [])]
    wanted = variants(path, given, [*asked, *filter(is_variant, before)], prepared, before)
    _warn(wanted, given)
    found = ablation_runs.ablate(
        wanted,
        folder,
        numbers,
        resume=resume,
        asked=(BASE, *asked),
        run=Processes(processes, restarts, verbose=verbose),
        starting=starting("variant"),
        failed=lambda name, problem: print_error(f"{name}: {problem}"),
        told=print_note,
    )
    _print(found, f"{base.name} -> {folder}", as_json)
    if any(one.problem for one in found.outcomes):
        raise typer.Exit(1)


def _warn(wanted: "Sequence[Variant]", given: list[str]) -> None:
    """Of settings that do nothing in any of the variants."""
    from pipelines.runs.effects import said_in_vain

    for said in said_in_vain([one.config for one in wanted], given):
        print_warning(said)


def _list(rows: list[list[str]], as_json: bool) -> None:
    columns = ["part", "value", "setting"]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table("", columns, rows)


def _folder_name(name: str, data: Path | None) -> str:
    """Below runs/; data of several folders, such as the grammars of claims, get one each."""
    of_data = [] if data is None or data.resolve().name in ("", name) else [data.resolve().name]
    return "-".join([name, *of_data, "ablations"])


def _print(found: "Ablation", title: str, as_json: bool) -> None:
    """The tables; nothing where no variant could be trained."""
    from pipelines.studies.ablation_tables import document, kinds_table, notes, table

    if as_json:
        print_json(document(found))
        return
    if all(one.n_parameters is None for one in found.outcomes):
        return
    for said in notes(found):
        print_note(said)
    print_table(title, *table(found))
    columns, rows = kinds_table(found)
    if rows:
        sys.stdout.write("\n")  # between the tables, also in a pipe
        print_table("by kind of query", columns, rows)
