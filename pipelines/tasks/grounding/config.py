"""The configuration of a grounding run, with the presets that fill it.

Precedence: defaults < preset < `base` of the YAML file < the file < `--set section.key=value` < the command's flags.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from pipelines.runs.config import AnyRunConfig, config_tree, parse_over
from pipelines.scoring.metric_names import long_name
from spikemba.config import Tree, from_preset, merge
from spikemba.datasets.base import DataConfig
from spikemba.datasets.registry import OWN, benchmark_names
from spikemba.grounding import GroundingConfig
from spikemba.losses import LossConfig
from spikemba.model import SpikeMbaConfig

PRESETS: dict[str, Tree] = {
    # The source's blocks, slots, position and closed gate, its three losses and its optimiser; saliency alone ranks.
    "paper": {
        "model": {
            "n_blocks": 6,
            "slots": {"n_slots": 16},
            "moment_reasoner": {"position": "sine"},
            "relevant_mamba": {"gate_bias": 0.0},
            "heads": {"reads": "states"},
            "proposals": {"read": "rates"},
        },
        "loss": {"foreground": 0.0, "overlap": 0.0, "negative_pair": 0.0, "proposal": 0.0},
        "train": {"optimizer": "adam"},
        "grounding": {"score": "saliency"},
    },
    # What the source leaves unsaid, filled in from its ancestors and from measurements; the defaults.
    "full": {},
}


class GrounderConfig(AnyRunConfig):
    """What every training with the grounding losses has."""

    preset: Literal["full", "paper"] = "full"
    """Values that the other sections start from."""
    data: DataConfig = DataConfig()
    model: SpikeMbaConfig = SpikeMbaConfig()
    loss: LossConfig = LossConfig()
    grounding: GroundingConfig = GroundingConfig()

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, tree: Any) -> Any:
        if isinstance(tree, Mapping) and "model" in tree:  # a preset is of this version and may know more than a file
            tree = {**tree, "model": SpikeMbaConfig.as_it_was(tree["model"])}
        return _with_long_metric(from_preset(tree, PRESETS, "full"))


def _with_long_metric(tree: Any) -> Any:
    """The tree with `train.best_metric` as a key of the brief, where it says what tables call it."""
    train, data = (tree.get(name) if isinstance(tree, Mapping) else None for name in ("train", "data"))
    benchmark = (isinstance(data, Mapping) and data.get("benchmark")) or OWN
    name = isinstance(train, Mapping) and train.get("best_metric")
    if not isinstance(name, str) or benchmark not in benchmark_names():
        return tree
    return merge(tree, {"train": {"best_metric": long_name(name, benchmark)}})


class RunConfig(GrounderConfig):
    """Everything that decides the training of a grounding model on features."""

    task: Literal["grounding"] = "grounding"
    """Find the moments of a video that a sentence describes."""

    @model_validator(mode="after")
    def _similarity_needs_the_sentence(self) -> "RunConfig":
        if self.model.query_similarity and not self.data.sentence_token:
            raise ValueError(
                "model.query_similarity compares clips with the sentence; set data.sentence_token=true too"
            )
        return self

    @model_validator(mode="after")
    def _quality_needs_its_head(self) -> "RunConfig":
        if self.grounding.score == "quality" and not self.model.heads.quality:
            raise ValueError("grounding.score is 'quality', which no head tells; set model.heads.quality=true too")
        return self


def load_config(path: Path | None, overrides: Sequence[str] = (), *, prepared: Path | None = None) -> RunConfig:
    """A grounding configuration: a YAML file with `section.key=value` overrides. Raises ConfigError with every fault.

    prepared: the YAML that `spikemba prepare` wrote; its data section stands over that of the file.
    """
    return parse_over(RunConfig, config_tree(path, prepared), overrides, str(path or "the configuration"))
