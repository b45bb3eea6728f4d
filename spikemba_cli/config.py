"""`spikemba config`: what there is to set, and whether a file is right."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli import completion
from spikemba_cli.console import JsonOption, err, out, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="List, show and check configurations.")


@app.command("list")
def list_configs(as_json: JsonOption = False) -> None:
    """Names that `train --dataset` knows, one per line; as JSON with the file of each and what it trains."""
    from pipelines.runs.config import config_names, config_path, config_tree

    if as_json:
        paths = {name: config_path(name) for name in config_names()}
        tasks = {name: config_tree(path).get("task", "grounding") for name, path in paths.items()}
        print_json([{"name": name, "task": tasks[name], "file": str(path)} for name, path in paths.items()])
        return
    for name in config_names():
        out.print(name)


@app.command("encoders")
def list_encoders(as_json: JsonOption = False) -> None:
    """Names that `extract --encoder` knows, each with the package that brings it."""
    from spikemba.encoders.registry import brought_by, encoder_names

    if as_json:
        print_json([{"name": name, "package": brought_by(name)} for name in encoder_names()])
        return
    print_table("", ["encoder", "package"], [[name, brought_by(name)] for name in encoder_names()])


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="Name of a configuration, or a YAML file.", autocompletion=completion.configurations),
    ],
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
) -> None:
    """Print a configuration with every key, as it would be used."""
    from pipelines.runs.config import config_path
    from pipelines.tasks.registry import load_run_config
    from spikemba.config import to_yaml

    path = Path(name) if name.endswith((".yaml", ".yml")) else config_path(name)
    out.out(to_yaml(load_run_config(path, settings or [])), end="")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="YAML file to check.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
) -> None:
    """Report every fault of a configuration at once."""
    from pipelines.tasks.registry import load_run_config

    load_run_config(file, settings or [])
    err.print(f"{file}: no faults")
