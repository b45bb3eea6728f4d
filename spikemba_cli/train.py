"""`spikemba train`."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikemba.errors import command_line
from spikemba.reading.printable import counted
from spikemba_cli.console import (
    JsonOption,
    err,
    print_json,
    print_line,
    print_note,
    print_table,
    print_warning,
    progress,
)
from spikemba_cli.dry_run import show_dry_run
from spikemba_cli.pace import Pace
from spikemba_cli.run_options import (
    ConfigOption,
    DataOption,
    DatasetOption,
    ProcessesOption,
    RestartsOption,
    ResumeOption,
    SettingsOption,
    VerboseOption,
    config_file,
)
from spikemba_cli.seeds import parse_seeds

if TYPE_CHECKING:
    from pipelines.events import BestYet
    from pipelines.runs.config import AnyRunConfig
    from pipelines.tasks.grounding.config import RunConfig
    from pipelines.training.loop import TrainResult
    from spikemba_cli.pace import Progress


def train(
    dataset: DatasetOption = None,
    config: ConfigOption = None,
    settings: SettingsOption = None,
    data: DataOption = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, as 0-4 or 0,1,2: a run each, and the mean and spread over them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default runs/<name>.")] = None,
    resume: ResumeOption = False,
    processes: ProcessesOption = 1,
    restarts: RestartsOption = 3,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Short for --set train.compile=true: fuse operations, slow at first.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print settings, shapes, parameters, memory and the time of one step.")
    ] = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train SpikeMba on extracted features.

    Example: spikemba train --dataset shapes --set train.epochs=20 --out runs/quick
    """
    path = config_file(dataset, config)
    numbers = parse_seeds(seeds)
    from pipelines.runs.config import prepared_config
    from pipelines.runs.effects import said_in_vain, untaught
    from pipelines.studies.study import is_study
    from pipelines.tasks.grounding.config import RunConfig
    from pipelines.tasks.registry import load_run_config
    from pipelines.training.distributed import is_first

    speaks = is_first()
    prepared = prepared_config(dataset, data)
    given = [*(settings or []), *(["train.compile=true"] if compiled else [])]
    resolved = load_run_config(path, given, prepared=prepared)
    if dataset and isinstance(resolved, RunConfig):
        check_prepared(dataset, resolved)
    if speaks:
        for said in [*said_in_vain([resolved], given), *untaught(resolved)]:
            print_warning(said)
    if dry_run:
        show_dry_run(resolved, processes, as_json)
        return
    folder = out or Path("runs") / resolved.name
    if isinstance(resolved, RunConfig) and is_study(resolved, numbers):
        _train_study(resolved, folder, numbers, resume, as_json, Processes(processes, restarts, verbose=verbose))
        return
    if numbers:
        raise typer.BadParameter(
            "is for grounding; train others with --set train.seed=N --out DIR", param_hint="--seeds"
        )
    result = Processes(processes, restarts, verbose=verbose)(resolved, folder, resume=resume)
    if speaks:
        _print(result, as_json)


def _print(result: "TrainResult", as_json: bool) -> None:
    best = {"best_epoch": result.best_epoch, "best": result.best}
    if as_json:
        watched = {"test": result.test, "best_on_test": result.best_on_test} if result.best_on_test else {}
        print_json({"run": str(result.run), "epochs": result.epochs, **best, **watched})
        return
    chosen = f"best epoch {result.best_epoch}: {_brief(result.best)}" if result.best_epoch else "not validated"
    err.print(f"{counted(result.epochs, 'epoch', 'epochs')}, {chosen} -> {result.run}")
    if result.best_on_test:
        err.print(f"test at that epoch: {_brief(result.test)}")
        err.print(f"test at epoch {result.best_on_test_epoch}, chosen on the test split: {_brief(result.best_on_test)}")


def check_prepared(dataset: str, config: "RunConfig") -> None:
    """Raise ConfigError that says how to make the annotations when they are not there."""
    from spikemba.errors import ConfigError

    if config.data.train is None:
        how = _prepare_command(dataset)
        raise ConfigError("data", [f"train: no annotations are named; make them with `{how}`, or give --data DIR"])
    if not config.data.train.is_file():
        how = _prepare_command(dataset)
        raise ConfigError("data", [f"train: there is no {config.data.train}; make it with `{how}`, or give --data DIR"])


def _prepare_command(dataset: str) -> str:
    """What makes the annotations of a configuration that comes with spikemba."""
    own = {"demo": "spikemba demo", "claims": "spikemba prepare claims --grammar far --out data/claims"}
    drawn = dataset in ("shapes", "motions")
    prepared = "qvhighlights" if dataset.startswith("qvhighlights_") else dataset
    return own.get(dataset) or command_line("spikemba", "prepare", prepared, *([] if drawn else ["--source", "DIR"]))


class Processes:
    """Trains in this process, or in several that are started for it."""

    def __init__(self, count: int, restarts: int, *, verbose: bool = False) -> None:
        self.count, self.restarts, self.verbose = count, restarts, verbose

    def __call__(
        self,
        config: "AnyRunConfig",
        out: Path,
        *,
        resume: bool = False,
        events: Any = None,  # noqa: ARG002
    ) -> "TrainResult":
        """The result of `pipelines.tasks.train.train`; its events are printed where they happen."""
        if self.count == 1:
            return _train_here(config, out, resume, self.verbose)
        from pipelines.training.launcher import launch

        asked = config, out, resume, self.verbose
        result: TrainResult = launch(self.count, _train_here, *asked, restarts=self.restarts)
        return result


def _train_here(config: "AnyRunConfig", out: Path, resume: bool, verbose: bool) -> "TrainResult":
    """Train, with the events on stderr; of several processes the first one speaks."""
    from pipelines.tasks.train import train
    from pipelines.training.distributed import is_first

    if not is_first():
        return train(config, out, resume=resume)
    with progress("training", "epochs", "steps") as report:
        return train(config, out, resume=resume, events=Printed(report, verbose=verbose))


def _train_study(
    config: "RunConfig", folder: Path, seeds: list[int], resume: bool, as_json: bool, run: Processes
) -> None:
    """Train every domain and seed; print each number with what it is chosen on."""
    from pipelines.studies.study import run_study
    from pipelines.training.distributed import launched
    from spikemba.errors import SpikeMbaError

    if launched():
        raise SpikeMbaError("torchrun cannot train several runs in turn; leave it out, and give --processes N")

    study = run_study(config, folder, seeds, resume=resume, run=run, starting=starting("run"))
    summary = study.summary()
    if as_json:
        print_json({"study": str(folder), "runs": len(study.runs), **summary})
        return
    titles = {"val": "held out", "test": "test", "best_on_test": "test, chosen on test"}
    columns = [name for name in titles if name in summary]
    metrics = list(summary[columns[0]]) if columns else []
    rows = [[metric, *(_cell(summary[name].get(metric), len(seeds)) for name in columns)] for metric in metrics]
    runs = counted(len(study.runs), "run", "runs")
    print_table(f"{runs} -> {folder}", ["metric", *(titles[name] for name in columns)], rows)


def starting(what: str) -> Callable[[str, int, int], None]:
    """Says which of several trainings begins, and, once one is done, about how long all will take."""
    pace = Pace(what)

    def begins(name: str, done: int, total: int) -> None:
        pace.count(done, total)
        left_s = pace.seconds_left
        left = "" if left_s is None else f", about {timedelta(seconds=round(left_s))} left for all"
        print_note(f"{what} {done + 1} of {total}: {name}{left}")

    return begins


def _cell(value: Mapping[str, float] | None, n_seeds: int) -> str:
    if value is None:
        return ""
    return f"{value['mean']:.2f} ± {value['std']:.2f}" if n_seeds > 1 else f"{value['mean']:.2f}"


class Printed:
    """Training events on stderr."""

    def __init__(self, report: "Progress", *, verbose: bool = False) -> None:
        self.step, self.epochs = report.of_unit, report
        self._report, self._verbose = report, verbose

    def epoch(self, row: Mapping[str, Any], best: "BestYet") -> None:
        """One line per epoch; before the first, what is trained, where the task says so. Verbose: all of its row."""
        if "parameters" in row and row["epoch"] == 1:
            print_note(row["parameters"])
        total = str(self._report.pace.total or "?")
        said = [f"epoch {row['epoch']:>{len(total)}}/{total}", f"loss {row['loss']:.4f}"]
        if "val" in row and best.value is not None:
            said.append(_chosen(row["val"][best.metric], row["epoch"], best))
        said.append(f"{row['seconds'] + row.get('validation_seconds', 0.0):.1f} s")
        if row["seconds_left"]:
            said.append(f"{timedelta(seconds=round(row['seconds_left']))} left")
        print_line("  ".join(said))
        if self._verbose:
            for line in _details(row):
                print_note(f"  {line}")

    def note(self, message: str) -> None:
        """One line."""
        print_note(message)

    def warn(self, message: str) -> None:
        """One line per warning."""
        print_warning(message)


def _chosen(value: float, epoch: int, best: "BestYet") -> str:
    """The metric that chooses the epoch, and what the best one has."""
    from pipelines.scoring.scores import short_name

    kept = "best so far" if best.epoch == epoch else f"best {best.value:.2f} in epoch {best.epoch}"
    return f"{short_name(best.metric)} {value:.2f} ({kept})"


def _details(row: Mapping[str, Any]) -> list[str]:
    """The rest of a row of metrics.jsonl: speed, metrics, terms of the loss, layers of neurons."""
    speed = f"{row['pairs_per_s']:.0f} pairs/s  {row['peak_memory_mb']} MB"
    lines = [f"lr {row['learning_rate']:.1e}  gradient {row['gradient_norm']:.3g}  {speed}"]
    lines += [f"{split}  {_brief(row[split])}" for split in ("val", "test") if split in row]
    if row["terms"]:
        lines.append("  ".join(f"{name} {value:.3f}" for name, value in row["terms"].items()))
    firing = row.get("firing", {}).items()
    return [*lines, *(f"{name} fires {layer['rate']:.0%}, {layer['dead']:.0%} dead" for name, layer in firing)]


def _brief(metrics: Mapping[str, float]) -> str:
    """The few numbers that fit a line."""
    from pipelines.scoring.scores import MAIN, short_name  # numpy loads here, not for --help

    return "  ".join(f"{short_name(name)} {metrics[name]:.2f}" for name in MAIN if name in metrics)
