"""Settings that do nothing under the others: the one table of them, for those who would otherwise measure nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spikemba.config import Config, flat, parse_overrides
from spikemba.model.mamba_block import STATE_SPACES

Settings = Mapping[str, Any]
"""`section.key` -> value, of a whole configuration."""


@dataclass(frozen=True)
class Unless:
    """Settings that have no effect unless others have some values."""

    names: Sequence[str]
    """`section.key`; with a dot at the end, a section."""
    acts: Callable[[Settings], bool]
    """Asked only where one of the names is there."""
    said: str
    """When they act, in words."""

    def of(self, name: str) -> bool:
        """Whether it is about a setting."""
        return any(name.startswith(one) if one.endswith(".") else name == one for one in self.names)


def _fires(s: Settings) -> bool:
    return bool(s["model.spiking_saliency.enabled"] and not s["model.spiking_saliency.silent"])


def _has_neuron(s: Settings) -> bool:
    return bool(s["model.proposals.read"] == "neuron")


def _all(prefix: str, *names: str) -> list[str]:
    return [f"{prefix}.{name}" for name in names]


_DETECTOR = _all(
    "model.spiking_saliency",
    *("share", "n_spike_steps", "n_heads", "attention_scale", "scale_by_length", "norm", "norm_qkv"),
    "attention_neurons",
)
_FIRES = "model.spiking_saliency.enabled is true and .silent false"

TABLE = (
    Unless(
        _all("model.slots", "per_block", "carry", "place", "step_offset"),
        lambda s: s["model.slots.n_slots"] > 0,
        "model.slots.n_slots is above 0",
    ),
    Unless(_all("model.slots", "per_block", "carry"), lambda s: s["model.n_blocks"] > 1, "model.n_blocks is above 1"),
    Unless(
        ["model.slots.step_offset", "model.mixer.state_size"],
        lambda s: s["model.mixer.kind"] in STATE_SPACES,
        "model.mixer.kind is scan, mamba2 or hydra",
    ),
    Unless(["model.mixer.step_rank"], lambda s: s["model.mixer.kind"] == "scan", "model.mixer.kind is scan"),
    Unless(
        _all("model.mixer", "head_width", "n_groups"),
        lambda s: s["model.mixer.kind"] in ("mamba2", "hydra"),
        "model.mixer.kind is mamba2 or hydra",
    ),
    Unless(
        _all("model.mixer", "directions", "conv_width"),
        lambda s: s["model.mixer.kind"] != "attention",
        "model.mixer.kind is another than attention",
    ),
    Unless(
        ["model.mixer.n_heads"],
        lambda s: s["model.mixer.kind"].startswith("attention"),
        "model.mixer.kind is attention or attention_conv",
    ),
    Unless(
        ["model.spiking_saliency.silent", "model.heads.reads"],
        lambda s: s["model.spiking_saliency.enabled"],
        "model.spiking_saliency.enabled is true",
    ),
    Unless([*_DETECTOR, "loss.firing_rate"], _fires, _FIRES),
    Unless(
        ["model.spiking_saliency.share"],
        lambda s: s["model.n_blocks"] > s["model.joint_from"],
        "more than one block has a detector (model.n_blocks, .joint_from)",
    ),
    Unless(
        ["model.spiking_saliency.neuron."],
        lambda s: _fires(s) or _has_neuron(s),
        f"{_FIRES}, or model.proposals.read is neuron",
    ),
    Unless(
        ["model.relevant_mamba.spike_norm_eps"],
        lambda s: s["model.relevant_mamba.spike_norm"] == "layer",
        "model.relevant_mamba.spike_norm is layer",
    ),
    Unless(
        ["model.moment_reasoner.position_scale"],
        lambda s: s["model.moment_reasoner.position"] != "none",
        "model.moment_reasoner.position is another than none",
    ),
    Unless(
        _all("loss", "contrastive_form", "contrastive_temperature"),
        lambda s: s["loss.contrastive"] > 0,
        "loss.contrastive is above 0",
    ),
    Unless(["loss.boundary_unit"], lambda s: s["loss.boundary"] > 0, "loss.boundary is above 0"),
    Unless(
        _all("loss", "entropy_form", "entropy_temperature"), lambda s: s["loss.entropy"] > 0, "loss.entropy is above 0"
    ),
    Unless(
        ["loss.background_weight"],
        lambda s: s["loss.foreground"] > 0 or (s["loss.proposal"] > 0 and _has_neuron(s)),
        "loss.foreground is above 0",
    ),
    Unless(
        _all("loss", "negatives", "negatives_every", "negatives_norm", "negatives_read"),
        lambda s: s["loss.negative_pair"] > 0,
        "loss.negative_pair is above 0",
    ),
    Unless(["loss.quality"], lambda s: s["model.heads.quality"], "model.heads.quality is true"),
    Unless(["loss.proposal"], _has_neuron, "model.proposals.read is neuron"),
    Unless(["grounding.chunk_overlap"], lambda s: s["grounding.chunk_clips"] != "whole", "chunks are less than whole"),
    Unless(["data.accept_misfit"], lambda s: s["data.lengths"] == "cut", "data.lengths is cut"),
    Unless(["train.drop_epoch"], lambda s: s["train.schedule"] == "step", "train.schedule is step"),
    Unless(
        ["train.lowest_learning_rate"],
        lambda s: s["train.warmup"] > 0 or s["train.schedule"] == "cosine",
        "train.warmup is above 0 or train.schedule is cosine",
    ),
    Unless(
        _all("train", "validate_every", "best_metric", "watch_test"),
        lambda s: s.get("data.val", "") is not None,
        "data.val names a split to validate on",
    ),
)
"""Each is true of what is computed, to the last bit: runs that differ in nothing else are taken for one."""

UNTAUGHT = {"quality": "loss.quality", "foreground": "loss.foreground", "both": "loss.foreground"}
"""What ranks windows -> the loss without which its head learns nothing."""


def without_effect(config: Config) -> dict[str, str]:
    """The settings of a run's configuration that do nothing, each with when it would act."""
    return _found(flat(config.model_dump(mode="json")))


def _found(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    for rule in TABLE:
        names = [name for name in settings if rule.of(name)]
        if names and not rule.acts(settings):
            found = dict.fromkeys(names, rule.said) | found
    return found


def in_effect(config: Config, *left_out: str) -> Settings:
    """The settings that act. left_out: others that are not looked at. Equal ones train the same network."""
    settings = flat(config.model_dump(mode="json"))
    idle = _found(settings)
    return {name: value for name, value in settings.items() if name not in idle and name not in left_out}


def said_in_vain(configs: Iterable[Config], given: Sequence[str]) -> list[str]:
    """A line for each `section.key=value` that does nothing in any of these configurations."""
    names = flat(parse_overrides(given))
    idle = [without_effect(config) for config in configs]
    return [
        f"{name} has no effect unless {idle[0][name]}"
        for name in names
        if idle and all(name in of_config for of_config in idle)
    ]


def untaught(config: Config) -> list[str]:
    """What to say of a ranking whose head learns nothing."""
    settings = flat(config.model_dump(mode="json"))
    score = settings.get("grounding.score", "")
    loss = UNTAUGHT.get(score)
    if loss is None or settings[loss] > 0:
        return []
    return [f"grounding.score is {score}, and while {loss} is 0 what it ranks by learns nothing"]
