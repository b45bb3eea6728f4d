"""A run folder: what one training writes, and what resuming reads.

config.yaml     the resolved configuration        best/, last/      checkpoints
metrics.jsonl   one row per epoch                 train_state.pt    all that resuming needs
events.*        TensorBoard                       best_on_test/     the paper's choice, with train.watch_test
"""

import os
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipelines.runs.config import GROUNDING, AnyRunConfig
from spikemba.config import Tree, flat, load_yaml, to_yaml
from spikemba.errors import CheckpointError, ConfigError, OutputError
from spikemba.files import read_jsonl, write_jsonl, write_text, writing
from spikemba.reading.torch_files import read_torch
from spikemba.reading.unreadable import Unreadable

C = TypeVar("C", bound=AnyRunConfig)

STATE = "train_state.pt"


class RunDir:
    """The folder of one run. Files are replaced whole; the folder itself is never emptied."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def best(self) -> Path:
        """Checkpoint of the best validation so far."""
        return self.path / "best"

    @property
    def best_on_test(self) -> Path:
        """Checkpoint of the epoch that is best on the test split, where that is watched."""
        return self.path / "best_on_test"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.path / "last"

    def start(self, config: AnyRunConfig, *, resume: bool) -> None:
        """Begin or continue a run here; what may differ from how it was started is what config.yaml then says.

        A folder with a configuration alone begins. Raises OutputError when the folder holds a run that is not to be
        continued, or results without the state to go on from, which a new beginning would overwrite; ConfigError when
        it was started with other settings; only those of MAY_DIFFER may.
        """
        if self.exists and not resume:
            raise OutputError(self.path, "it holds a run already; go on with --resume, or choose another --out")
        if self.exists:
            self.check(config)
        lost = [name for name, there in {"config.yaml": self.exists, STATE: self._has_state}.items() if not there]
        if lost and (kept := self.results()):
            raise OutputError(
                self.path,
                f"it holds {' and '.join(kept)} but no {' and no '.join(lost)}, so that run cannot go on and a new one "
                "would overwrite it; put the missing file back, or choose another --out",
            )
        write_text(self.path / "config.yaml", to_yaml(config))
        for half in self.path.glob(".train_state.*.pt"):  # what a killed process was writing
            half.unlink(missing_ok=True)

    def check(self, config: AnyRunConfig) -> None:
        """Raise ConfigError when the run was started with settings that may not differ."""
        _check_same(str(self.path), self.config(type(config)), config)

    def results(self) -> list[str]:
        """What a training has left here, by name."""
        folders = (self.best, self.last, self.best_on_test)
        found = [f"{folder.name}/" for folder in folders if folder.is_dir() and any(folder.iterdir())]
        rows = self.path / "metrics.jsonl"
        found += [rows.name] if rows.is_file() and rows.stat().st_size else []
        return found + [STATE] * self._has_state

    @property
    def _has_state(self) -> bool:
        return (self.path / STATE).is_file()

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / "config.yaml").is_file()

    def config_file(self) -> Path:
        """Its config.yaml. Raises CheckpointError when there is no run."""
        if not self.exists:
            raise CheckpointError(f"{self.path} holds no run; expected config.yaml, written by `spikemba train`")
        return self.path / "config.yaml"

    def config(self, kind: type[C]) -> C:
        """The configuration that a run of this kind was started with. Raises CheckpointError for no run or another."""
        path = self.config_file()
        tree = load_yaml(path)
        found, wanted = tree.get("task", GROUNDING), kind.model_fields["task"].default
        if found != wanted:
            raise CheckpointError(f"{self.path} holds a run of task {found!r}; expected one of task {wanted!r}")
        return kind.parse(tree, str(path))

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, one per finished epoch."""
        path = self.path / "metrics.jsonl"
        return [row for _, row in read_jsonl(path)] if path.exists() else []

    def write_rows(self, rows: list[dict[str, Any]]) -> None:
        """Replace metrics.jsonl."""
        write_jsonl(self.path / "metrics.jsonl", rows)

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace train_state.pt; the new one is on the disk before the old one goes."""
        with writing(self.path / STATE) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())

    def load_state(self) -> dict[str, Any] | None:
        """The saved state, or None when none was written. Runs no code from the file."""
        path = self.path / STATE
        if not path.is_file():
            return None
        try:
            state = read_torch(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from None
        except Unreadable as error:
            raise CheckpointError(f"{path} is damaged ({error}); start a new run with --out") from None
        if not isinstance(state, dict):
            raise CheckpointError(f"{path} is damaged (it holds no state); start a new run with --out")
        return state


def run_around(checkpoint: Path) -> RunDir:
    """The run that a checkpoint belongs to: the folder itself, or the one that it lies in."""
    own, outer = RunDir(checkpoint), RunDir(checkpoint.parent)
    return outer if outer.exists and not own.exists else own


MAY_DIFFER = ("train.epochs", "train.patience", "train.workers", "train.save_every_min")
"""Settings that a run may go on with other values of: they say how long and how, not what is computed in a step."""


def _is_left_open(key: str, *configs: Tree) -> bool:
    """Whether one of two configurations leaves the setting to the start of the run."""
    return key == "train.precision" and "auto" in (config.get(key) for config in configs)


def _check_same(source: str, old: AnyRunConfig, new: AnyRunConfig) -> None:
    """Raise ConfigError that lists the settings in which two configurations differ."""
    before, now = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    faults = [
        f"{key}: the run was started with {before.get(key)!r}, now it is {now.get(key)!r}"
        for key in {**before, **now}
        if key not in MAY_DIFFER and before.get(key) != now.get(key) and not _is_left_open(key, before, now)
    ]
    if faults:
        raise ConfigError(source, faults)
