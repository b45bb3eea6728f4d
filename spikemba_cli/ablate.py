"""`spikemba ablate`."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli.console import print_error, print_json, print_note, print_table
from spikemba_cli.seeds import parse_seeds
from spikemba_cli.train import Processes, check_prepared


def ablate(
    dataset: Annotated[str | None, typer.Argument(help="Name of a configuration that comes with spikemba.")] = None,
    config: Annotated[Path | None, typer.Option(help="A configuration of your own, YAML.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A part such as slots, or one value, slots=0; may be repeated.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, as 0-4 or 0,1,2; by default the configuration's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value for all variants; may be repeated.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that `spikemba prepare` wrote; by default data/<dataset>.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all runs; by default runs/<name>-ablations.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what is finished there, go on with what is not.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share every batch, as for train.")] = 1,
    restarts: Annotated[int, typer.Option(min=0, help="How often to start them again when one dies.")] = 3,
    show: Annotated[bool, typer.Option("--list", help="List the variants and their settings, and train none.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Train with and without each part of the network, and print a table of mean and deviation over the seeds.

    Example: spikemba ablate shapes --only detector --only slots --seeds 0-2
    """
    numbers = parse_seeds(seeds)
    from pipelines import ablations as pipeline  # torch loads here, not for --help

    if show:
        print_table("", ["part", "value", "setting"], pipeline.settings_of())
        return
    if (dataset is None) == (config is None):
        raise typer.BadParameter("give either NAME or --config FILE", param_hint="NAME")
    from pipelines.config import config_path, prepared_config

    path = config_path(dataset) if dataset else config
    wanted = pipeline.variants(path, settings or [], only or [], prepared_config(dataset, data))
    base = wanted[0].config
    if dataset:
        check_prepared(dataset, base)
    folder = out or Path("runs") / f"{base.name}-ablations"
    outcomes = pipeline.ablate(
        wanted,
        folder,
        numbers,
        resume=resume,
        run=Processes(processes, restarts),
        starting=lambda name, done, total: print_note(f"variant {done + 1} of {total}: {name}"),
        failed=lambda name, problem: print_error(f"{name}: {problem}"),
    )
    if as_json:
        print_json(pipeline.document(outcomes))
    else:
        print_table(f"{outcomes[0].split} of {base.name} -> {folder}", *pipeline.table(outcomes))
    if any(one.problem for one in outcomes):
        raise typer.Exit(1)
