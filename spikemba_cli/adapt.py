"""`spikemba adapt`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikemba_cli.console import err, print_json, print_note
from spikemba_cli.train import Processes


def adapt(
    dataset: Annotated[str | None, typer.Option(help="Name of a configuration that comes with spikemba.")] = None,
    config: Annotated[Path | None, typer.Option(help="A configuration of your own, YAML.")] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of the raw videos.")] = None,
    backbone: Annotated[
        Path | None, typer.Option(help="Video checkpoint, run folder, or public file of VideoMamba's weights.")
    ] = None,
    method: Annotated[
        Literal["ssp", "prompts", "adapter", "linear", "full"] | None, typer.Option(help="What of it is trained.")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Grounding checkpoint to start from; by default new.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value, over the file; may be repeated.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that `spikemba prepare` wrote; by default data/<dataset>.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/<name>-adapted.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in that folder, if there is one.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share every batch.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Adapt VideoMamba to your videos: few new parameters, trained through the grounding loss.

    Queries are read as features, so encode them first: `spikemba extract --queries train.jsonl --encoder clip`.

    Example: spikemba adapt --config data/mine/config.yaml --videos videos/ --backbone runs/motions
    """
    if (dataset is None) == (config is None):
        raise typer.BadParameter("give either --dataset NAME or --config FILE", param_hint="--dataset")
    from pipelines.adapt import adaptation_config, parameter_count
    from pipelines.config import config_path, prepared_config
    from pipelines.distributed import is_first

    resolved = adaptation_config(
        config_path(dataset) if dataset else config,
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
    result = Processes(processes, restarts=3)(resolved, folder, resume=resume)
    if not is_first():
        return
    best = {"best_epoch": result.best_epoch, "best": result.best}
    if as_json:
        numbers = {"trained": count.trained, "total": count.total, "share": count.share}
        print_json({"run": str(result.run), "epochs": result.epochs, "encoder": numbers, **best})
        return
    chosen = f"best epoch {result.best_epoch}" if result.best_epoch else "not validated"
    err.print(f"{result.epochs} epochs, {chosen} -> {folder}; ask it with `spikemba ground --checkpoint {folder}`")
