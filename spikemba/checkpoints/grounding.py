"""A checkpoint is a folder, `config.json` and `model.safetensors`, that rebuilds its model alone.

config.json holds the network's settings, the features it was trained on and how its predictions become moments.
Nothing in it is code, and loading runs none. A repository of the hub is such a folder, with a README.md.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from spikemba.checkpoints.hub import fetch, is_hub_name
from spikemba.config import Config
from spikemba.errors import CheckpointError, ConfigError
from spikemba.features import FeatureSpec
from spikemba.files import folder_with, write_json, writing
from spikemba.grounding import GroundingConfig
from spikemba.model import SpikeMba, SpikeMbaConfig

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
    with writing(folder / "model.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in checkpoint.model.state_dict().items()}, temporary)
    write_json(folder / "config.json", config.model_dump(mode="json"))


def load_checkpoint(name: str | Path, make: Callable[[SpikeMbaConfig, int, int], SpikeMba] = SpikeMba) -> Checkpoint:
    """Load a bundled model by its name, a checkpoint folder, the best checkpoint of a run folder, or one on the hub.

    make: builds the network from its settings and the widths of clips and tokens.
    Raises CheckpointError when there is none, or when it is incomplete or damaged.
    """
    folder = find_checkpoint(name)
    try:
        tree = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if isinstance(tree, dict) and tree.get("kind") == "video":
            raise CheckpointError(f"{folder} is a video encoder, not a grounding model; see `spikemba recognize`")
        config = CheckpointConfig.parse(tree, f"{folder / 'config.json'}")
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, ConfigError) as error:
        raise CheckpointError(f"{folder}: its config.json cannot be read ({_first_line(error)})") from None
    model = make(config.model, config.features.n_video_features, config.features.text.dim)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except OSError as error:
        raise CheckpointError(f"{folder}: its model.safetensors cannot be read ({_first_line(error)})") from None
    except SafetensorError as error:
        raise CheckpointError(f"{folder}: its model.safetensors is damaged ({_first_line(error)})") from None
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: its weights do not fit its config.json ({_first_line(error)})") from None
    return Checkpoint(model.eval(), config.features, config.grounding, config.trained)


def find_checkpoint(name: str | Path) -> Path:
    """The folder of a checkpoint. Raises CheckpointError that says what was looked for."""
    folder = BUNDLED.get(str(name), Path(name))
    if not folder.exists() and is_hub_name(str(name)):
        folder = fetch(str(name))
    found = folder_with(folder, ("config.json", "model.safetensors"))
    if found is not None:
        return found
    if not folder.exists():
        known = ", ".join(sorted(BUNDLED))
        raise CheckpointError(f"no checkpoint {str(name)!r}: it is neither a folder nor a bundled model ({known})")
    raise CheckpointError(
        f"no checkpoint in {folder}: expected config.json and model.safetensors there, in best/ or in last/; "
        "make one with `spikemba train`"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200]
