"""`spikemba adapt`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikemba.errors import command_line
from spikemba.reading.printable import counted
from spikemba_cli import completion
from spikemba_cli.console import JsonOption, err, print_json, print_note
from spikemba_cli.run_options import (
    ConfigOption,
    DataOption,
    DatasetOption,
    ProcessesOption,
    ResumeOption,
    SettingsOption,
    VerboseOption,
    config_file,
)
from spikemba_cli.train import Processes

BackboneOption = Annotated[
    Path | None,
    typer.Option(
        help="Video checkpoint, run folder, or public file of VideoMamba's weights.", autocompletion=completion.runs
    ),
]
StartOption = Annotated[
    Path | None,
    typer.Option(help="Grounding checkpoint to start from; by default new.", autocompletion=completion.checkpoints),
]


def adapt(
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of the raw videos.")] = None,
    backbone: BackboneOption = None,
    method: Annotated[
        Literal["ssp", "prompts", "adapter", "linear", "full"] | None, typer.Option(help="What of it is trained.")
    ] = None,
    start: StartOption = None,
    settings: SettingsOption = None,
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/<name>-adapted.")] = None,
    resume: ResumeOption = False,
    processes: ProcessesOption = 1,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Adapt VideoMamba to your videos: few new parameters, trained through the grounding loss.

    Queries are read as features, so encode them first: `spikemba extract --queries train.jsonl --encoder clip`.

    Example: spikemba adapt --config data/mine/config.yaml --videos videos/ --backbone runs/motions
    """
    path = config_file(dataset, config)
    from pipelines.runs.config import prepared_config
    from pipelines.tasks.adaptation.adapt import adaptation_config, parameter_count
    from pipelines.training.distributed import is_first

    resolved = adaptation_config(
        path,
        settings or [],
        prepared=prepared_config(dataset, data),
        videos=videos,
        backbone=backbone,
        method=method,
        start=start,
    )
    count = parameter_count(resolved)
    if is_first():
        print_note(f"encoder: {count}")
    folder = out or Path("runs") / f"{resolved.name}-adapted"
    result = Processes(processes, restarts=3, verbose=verbose)(resolved, folder, resume=resume)
    if not is_first():
        return
    best = {"best_epoch": result.best_epoch, "best": result.best}
    if as_json:
        numbers = {"trained": count.trained, "total": count.total, "share": count.share}
        print_json({"run": str(result.run), "epochs": result.epochs, "encoder": numbers, **best})
        return
    chosen = f"best epoch {result.best_epoch}" if result.best_epoch else "not validated"
    epochs = counted(result.epochs, "epoch", "epochs")
    ask = command_line("spikemba", "ground", "VIDEO", "SENTENCE", "--checkpoint", folder)
    err.print(f"{epochs}, {chosen} -> {folder}; ask it with `{ask}`")
