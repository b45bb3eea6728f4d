"""What runs there are below a folder, and how far each got. Needs no torch, so it starts at once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pipelines.runs.run_lock import is_locked
from spikemba.config import Tree, load_yaml
from spikemba.datasets.registry import OWN
from spikemba.errors import AnnotationError, CheckpointError, ConfigError
from spikemba.files import read_jsonl

State = Literal["running", "finished", "broken off", "damaged"]
CONFIG, METRICS = "config.yaml", "metrics.jsonl"


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path
    state: State
    config: Tree = field(default_factory=dict)
    """The resolved configuration."""
    rows: Sequence[Mapping[str, Any]] = ()
    """Of metrics.jsonl."""
    changed: datetime | None = None
    """When it last finished an epoch, or began."""
    problem: str = ""
    """What is wrong with a damaged one."""

    @property
    def name(self) -> str:
        """Its path, as it was asked for."""
        return str(self.path)

    @property
    def epochs(self) -> tuple[int, int]:
        """Done and wanted."""
        return len(self.rows), int(self.config.get("train", {}).get("epochs", 0))

    @property
    def metric(self) -> str:
        """The one that chooses the best epoch."""
        return str(self.config.get("train", {}).get("best_metric", ""))

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The row of the best epoch: the first with the highest value; None before any validation."""
        scored = [row for row in self.rows if self.metric in row.get("val", {})]
        return max(scored, key=lambda row: row["val"][self.metric]) if scored else None

    @property
    def data_set(self) -> str:
        """The benchmark and domain; for other sets the folder of the training annotations, else what is learned."""
        data = self.config.get("data", {})
        own = data.get("benchmark", OWN) == OWN and data.get("train")
        named = Path(str(data["train"])).parent.name if own else data.get("benchmark", "")
        parts = [named or self.config.get("task", ""), data.get("domain")]
        return "/".join(str(part) for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """What `runs --json` prints."""
        done, wanted = self.epochs
        best = self.best
        return {
            "run": str(self.path),
            "state": self.state,
            "data": self.data_set,
            "epochs": done,
            "of_epochs": wanted,
            "metric": self.metric,
            "best_epoch": best and best["epoch"],
            "val": best and dict(best["val"]),
            "test": best and dict(best.get("test", {})),
            "changed": self.changed and self.changed.isoformat(timespec="seconds"),
            **({"problem": self.problem} if self.problem else {}),
        }


def find_runs(folder: Path) -> list[Run]:
    """The runs in a folder or below it, in the order of their paths. Raises CheckpointError when there are none."""
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}; those that `spikemba train` makes lie in runs/")
    found = [read_run(path) for path in _run_folders(folder)]
    if not found:
        raise CheckpointError(f"no run in {folder} or below it; expected folders that `spikemba train` wrote")
    return found


def read_run(path: Path) -> Run:
    """One run folder; what cannot be read makes it a damaged one."""
    try:
        config = load_yaml(path / CONFIG)
        rows = [row for _, row in read_jsonl(path / METRICS)] if (path / METRICS).exists() else []
        run = Run(path, "broken off", config, rows, _date(path / METRICS if rows else path / CONFIG))
        run.to_dict()  # a value of another kind than we write comes out here
        return replace(run, state=_state(run))
    except (ConfigError, AnnotationError) as error:
        return Run(path, "damaged", problem=" ".join(str(error).split()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Run(path, "damaged", problem=f"not what `spikemba train` writes ({type(error).__name__})")


def _state(run: Run) -> State:
    if is_locked(run.path):
        return "running"
    done, wanted = run.epochs
    return "finished" if done >= wanted or _out_of_patience(run) else "broken off"


def _out_of_patience(run: Run) -> bool:
    """Whether training ended early because no validation was better for long enough."""
    patience, best = run.config.get("train", {}).get("patience"), run.best
    if patience is None or best is None:
        return False
    since = [row for row in run.rows if "val" in row and row["epoch"] > best["epoch"]]
    return len(since) >= int(patience)


def _run_folders(root: Path) -> Iterator[Path]:
    """Folders that hold a run; none is looked for inside a run."""
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if CONFIG in files and _is_run(Path(folder), files):
            below.clear()
            yield Path(folder)


def _is_run(folder: Path, files: Sequence[str]) -> bool:
    """A config.yaml is a run's when it is resolved, with every key of `train`; `prepare` writes others."""
    if METRICS in files:
        return True
    try:
        train = load_yaml(folder / CONFIG).get("train")
    except ConfigError:
        return False
    return isinstance(train, dict) and "seed" in train


def _date(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
