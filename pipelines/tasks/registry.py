"""What `spikemba train` can train: each kind's configuration, task and evaluation, loaded when they are asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from pipelines.runs.config import GROUNDING, AnyRunConfig, config_tree
from spikemba.config import load_yaml, merge, parse_overrides
from spikemba.errors import UnknownName

RECOGNITION = "recognition"
ADAPTATION = "adaptation"


@dataclass(frozen=True)
class Kind:
    """Where the parts of one kind of training are, as `module:name`."""

    config: str
    """Class of its configurations, an AnyRunConfig."""
    task: str
    """Function of a configuration that returns its Task; weights are drawn here, after the seed was set."""
    evaluate: str
    """Function with the signature of `pipelines.tasks.grounding.evaluate.evaluate_run`."""

    def load(self, part: str) -> Any:
        """The object behind `config`, `task` or `evaluate`."""
        return resolve_name(getattr(self, part))


KINDS = {
    GROUNDING: Kind(
        config="pipelines.tasks.grounding.config:RunConfig",
        task="pipelines.tasks.grounding.task:make_task",
        evaluate="pipelines.tasks.grounding.evaluate:evaluate_run",
    ),
    ADAPTATION: Kind(
        config="pipelines.tasks.adaptation.config:AdaptationRunConfig",
        task="pipelines.tasks.adaptation.task:make_task",
        evaluate="pipelines.tasks.adaptation.evaluate:evaluate_run",
    ),
    RECOGNITION: Kind(
        config="pipelines.tasks.recognition.config:RecognitionConfig",
        task="pipelines.tasks.recognition.task:make_task",
        evaluate="pipelines.tasks.recognition.evaluate:evaluate_run",
    ),
}
"""Value of `task:` in a configuration -> what it means."""


def kind(name: str) -> Kind:
    """The kind of that name. Raises UnknownName with the list."""
    if name not in KINDS:
        raise UnknownName("task", name, sorted(KINDS))
    return KINDS[name]


def load_run_config(path: Path | None, overrides: Sequence[str] = (), *, prepared: Path | None = None) -> AnyRunConfig:
    """The same for any kind of training, by its `task`. Raises UnknownName for a task that there is not."""
    tree = merge(config_tree(path, prepared), parse_overrides(overrides))
    config_class: type[AnyRunConfig] = kind(str(tree.get("task", GROUNDING))).load("config")
    return config_class.parse(tree, str(path or "the configuration"))


def kind_of_run(folder: Path) -> Kind:
    """The kind of the run that a folder holds or lies in; of a checkpoint that lies in none, what it is."""
    for path in (folder / "config.yaml", folder.parent / "config.yaml"):
        if path.is_file():
            return kind(str(load_yaml(path).get("task", GROUNDING)))
    return kind(RECOGNITION if _is_video(folder) else GROUNDING)


def _is_video(folder: Path) -> bool:
    """Whether the folder is a checkpoint of a video encoder."""
    try:
        tree = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(tree, dict) and tree.get("kind") == "video"
