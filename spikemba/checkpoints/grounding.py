"""A checkpoint is a folder, `config.json` and `model.safetensors`, that rebuilds its model alone.

config.json holds the network's settings, the features it was trained on and how its predictions become moments.
Nothing in it is code, and loading runs none. A repository of the hub is such a folder, with a README.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from spikemba.checkpoints.hub import fetch, is_hub_name
from spikemba.config import Config
from spikemba.errors import CheckpointError, closest, command_line
from spikemba.features import FeatureSpec
from spikemba.files import CHECKPOINT_FILES, CONFIG_FILE, folder_with, write_json
from spikemba.grounding import GroundingConfig
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.weight_files import (
    built,
    load_state,
    parse_settings,
    read_settings,
    read_tensors,
    write_checkpoint,
)

BUNDLED = {"mini": Path(__file__).parents[1] / "weights" / "spikemba-mini"}
"""Name -> checkpoint that comes with the package."""


class CheckpointConfig(Config):
    """What config.json holds."""

    format: int = 1
    """Layout of this file."""
    model: SpikeMbaConfig
    features: FeatureSpec
    grounding: GroundingConfig
    trained: dict[str, Any] = Field(default_factory=dict)
    """Where it comes from: data, epoch, metrics, settings, version. For people: the model card shows it."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all that is needed to use it."""

    model: SpikeMba
    features: FeatureSpec
    grounding: GroundingConfig
    trained: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint, each file whole or not at all. Raises OutputError."""
    config = CheckpointConfig(
        model=checkpoint.model.config,
        features=checkpoint.features,
        grounding=checkpoint.grounding,
        trained=checkpoint.trained,
    )
    write_checkpoint(folder, config, checkpoint.model.state_dict())


def store_grounding(folder: Path, grounding: GroundingConfig) -> None:
    """Change how a stored checkpoint's predictions become moments; its weights stay. Raises OutputError."""
    config = parse_settings(folder, read_settings(folder), CheckpointConfig)
    changed = config.model_copy(update={"grounding": grounding})
    write_json(folder / CONFIG_FILE, changed.model_dump(mode="json"))


def load_checkpoint(name: str | Path, make: Callable[[SpikeMbaConfig, int, int], SpikeMba] = SpikeMba) -> Checkpoint:
    """Load a bundled model by its name, a checkpoint folder, the best checkpoint of a run folder, or one on the hub.

    make: builds the network from its settings and the widths of clips and tokens.
    Raises CheckpointError when there is none, or when it is incomplete or damaged.
    """
    folder = find_checkpoint(name)
    tree = read_settings(folder)
    if tree.get("kind") == "video":
        ask = command_line("spikemba", "recognize", "VIDEO", "--checkpoint", folder)
        raise CheckpointError(f"{folder} is a video encoder, not a grounding model; what it knows asks `{ask}`")
    config = parse_settings(folder, tree, CheckpointConfig)
    widths, state = (config.features.n_video_features, config.features.text.dim), read_tensors(folder)
    model = built(lambda: make(config.model, *widths), config.model, state, folder)
    load_state(model, state, folder)
    return Checkpoint(model.eval(), config.features, config.grounding, config.trained)


def find_checkpoint(name: str | Path) -> Path:
    """The folder of a checkpoint. Raises CheckpointError that says what was looked for."""
    folder = BUNDLED.get(str(name), Path(name))
    if not folder.exists() and is_hub_name(str(name)):
        folder = fetch(str(name))
    found = folder_with(folder, CHECKPOINT_FILES)
    if found is not None:
        return found
    if not folder.exists():
        beside = [str(path) for path in Path(name).parent.glob("*/")]
        hint = f"; did you mean {close[0]!r}?" if (close := closest(str(name), [*BUNDLED, *beside])) else ""
        known = ", ".join(sorted(BUNDLED))
        problem = f"it is neither a folder nor a bundled model ({known}){hint}"
        raise CheckpointError(f"no checkpoint {str(name)!r}: {problem}")
    raise CheckpointError(
        f"no checkpoint in {folder}: expected config.json and model.safetensors there, in best/ or in last/; "
        "make one with `spikemba train --dataset NAME`"
    )
