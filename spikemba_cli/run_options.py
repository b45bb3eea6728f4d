"""Options of the commands that train."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli import completion

DatasetOption = Annotated[
    str | None,
    typer.Option(help="Name of a configuration that comes with spikemba.", autocompletion=completion.configurations),
]
ConfigOption = Annotated[Path | None, typer.Option(help="A configuration of your own, YAML.")]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value, over the file; may be repeated.")
]
DataOption = Annotated[
    Path | None, typer.Option(help="Folder that `spikemba prepare` wrote; by default data/<dataset>.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder, if there is one.")]
ProcessesOption = Annotated[
    int, typer.Option(min=1, help="Processes that share every batch, one per GPU or set of CPU cores.")
]
RestartsOption = Annotated[
    int, typer.Option(min=0, help="With --processes: how often to start them again when one dies.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Of every epoch also speed, all metrics, and each layer's neurons.")
]


def config_file(dataset: str | None, config: Path | None, *, called: str = "--dataset NAME") -> Path:
    """The YAML file that one of the two names. Raises typer.BadParameter unless it is one, UnknownName."""
    if config is not None and dataset is None:
        return config
    if dataset is None or config is not None:
        raise typer.BadParameter(f"give either {called} or --config FILE", param_hint=called.split()[0])
    from pipelines.runs.config import config_path

    return config_path(dataset)
