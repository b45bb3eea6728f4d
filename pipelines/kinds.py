"""What `spikemba train` can train: each kind's configuration, task and evaluation, loaded when they are asked for."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikemba.config import load_yaml
from spikemba.errors import UnknownName

GROUNDING = "grounding"


@dataclass(frozen=True)
class Kind:
    """Where the parts of one kind of training are, as `module:name`."""

    config: str
    """Class of its configurations, an AnyRunConfig."""
    task: str
    """Function of a configuration that returns its Task; weights are drawn here, after the seed was set."""
    evaluate: str
    """Function with the signature of `pipelines.evaluate.evaluate_run`."""

    def load(self, part: str) -> Any:
        """The object behind `config`, `task` or `evaluate`."""
        module, _, name = getattr(self, part).partition(":")
        return getattr(importlib.import_module(module), name)


KINDS = {
    GROUNDING: Kind(
        config="pipelines.config:RunConfig",
        task="pipelines.grounding_task:make_task",
        evaluate="pipelines.evaluate:evaluate_run",
    ),
}
"""Value of `task:` in a configuration -> what it means."""


def kind(name: str) -> Kind:
    """The kind of that name. Raises UnknownName with the list."""
    if name not in KINDS:
        raise UnknownName("task", name, sorted(KINDS))
    return KINDS[name]


def kind_of_run(folder: Path) -> Kind:
    """The kind of the run that a folder holds or lies in; grounding where no configuration says so."""
    for path in (folder / "config.yaml", folder.parent / "config.yaml"):
        if path.is_file():
            return kind(str(load_yaml(path).get("task", GROUNDING)))
    return kind(GROUNDING)
