"""What `spikemba train` can train: each kind's configuration, task and evaluation, imported when they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from pipelines.runs.config import GROUNDING, AnyRunConfig, config_tree, parse_over
from pipelines.scoring.evaluate_files import EvaluateOptions, Evaluation
from pipelines.training.task import Task
from spikemba.config import load_yaml, merge, parse_overrides
from spikemba.errors import UnknownName
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

RECOGNITION = "recognition"
ADAPTATION = "adaptation"


@dataclass(frozen=True)
class Kind:
    """A kind of training: a folder beside this file, found by its name, with these three files in it."""

    name: str

    @property
    def config(self) -> type[AnyRunConfig]:
        """The class `RunConfig` of config.py."""
        found: type[AnyRunConfig] = self._load("config", "RunConfig")
        return found

    @property
    def make_task(self) -> Callable[[Any], Task]:
        """The function of task.py that makes a Task of a configuration; draws the weights, so set the seed before."""
        found: Callable[[Any], Task] = self._load("task", "make_task")
        return found

    @property
    def evaluate_run(self) -> Callable[[Path, Any, EvaluateOptions | None], Evaluation]:
        """The function of evaluate.py: the scores of a run or a checkpoint on a split."""
        found: Callable[[Path, Any, EvaluateOptions | None], Evaluation] = self._load("evaluate", "evaluate_run")
        return found

    def _load(self, file: str, name: str) -> Any:
        return getattr(import_module(f"pipelines.tasks.{self.name}.{file}"), name)


def kinds() -> list[str]:
    """What `task:` can say in a configuration: the names of the folders beside this file."""
    return sorted(module.name for module in iter_modules([str(Path(__file__).parent)]) if module.ispkg)


def kind(name: str) -> Kind:
    """The kind of that name. Raises UnknownName with the list."""
    if name not in kinds():
        raise UnknownName("task", name, kinds())
    return Kind(name)


def load_run_config(path: Path | None, overrides: Sequence[str] = (), *, prepared: Path | None = None) -> AnyRunConfig:
    """The same for any kind of training, by its `task`. Raises UnknownName for a task that there is not."""
    tree = config_tree(path, prepared)
    task = merge(tree, parse_overrides(overrides)).get("task", GROUNDING)
    return parse_over(kind(str(task)).config, tree, overrides, str(path or "the configuration"))


def kind_of_run(folder: Path) -> Kind:
    """The kind of the run that a folder holds or lies in; of a checkpoint that lies in none, what it is."""
    for path in (folder / "config.yaml", folder.parent / "config.yaml"):
        if path.is_file():
            return kind(str(load_yaml(path).get("task", GROUNDING)))
    return kind(RECOGNITION if _is_video(folder) else GROUNDING)


def _is_video(folder: Path) -> bool:
    """Whether the folder is a checkpoint of a video encoder."""
    try:
        tree = read_json(folder / "config.json")
    except (OSError, Unreadable):
        return False
    return isinstance(tree, dict) and tree.get("kind") == "video"
