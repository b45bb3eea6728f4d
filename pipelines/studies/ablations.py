"""What can be left out of the network or put in another's place: variants of one configuration, by part and value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipelines.runs.config import GROUNDING, config_tree
from pipelines.runs.effects import in_effect, said_in_vain
from pipelines.tasks.grounding.config import RunConfig, load_config
from spikemba.config import merge, parse_overrides
from spikemba.errors import SpikeMbaError, UnknownName, command_line
from spikemba.model.mamba_block import OPEN_GATE_BIAS

ABLATIONS: dict[str, dict[str, str]] = {
    # off: the relevant Mamba is gated by its own input instead of spikes; silent: trained with S = 0 everywhere
    "detector": {
        "on": "model.spiking_saliency.enabled=true",
        "off": "model.spiking_saliency.enabled=false",
        "silent": "model.spiking_saliency.silent=true",
    },
    # none_wider: the parameters of the slots put elsewhere, into one tap more of every convolution; reaching: slots at
    # both ends that write more, so that it lasts tens of clips, and hand what they read to the next block
    "slots": {
        **{value: f"model.slots.n_slots={value}" for value in ("0", "4", "8", "16", "32")},
        "none_wider": "model.slots.n_slots=0 model.mixer.conv_width=5",
        "reaching": "model.slots.n_slots=8 model.slots.place=both model.slots.step_offset=4 model.slots.carry=true",
    },
    "slots_place": {value: f"model.slots.place={value}" for value in ("front", "source", "both")},
    "slots_carry": {"off": "model.slots.carry=false", "on": "model.slots.carry=true"},
    "spike_steps": {value: f"model.spiking_saliency.n_spike_steps={value}" for value in ("1", "2", "4", "8", "10")},
    "blocks": {value: f"model.n_blocks={value}" for value in ("2", "4", "6", "8")},
    "scan": {value: f"model.mixer.directions={value}" for value in ("both", "forward")},
    # closed: the source's form, where silence closes the gate
    "gate": {
        "open": f"model.relevant_mamba.gate_bias={OPEN_GATE_BIAS}",
        "closed": "model.relevant_mamba.gate_bias=0.0",
    },
    "spike_gate": {value: f"model.relevant_mamba.spike_norm={value}" for value in ("layer", "none")},
    # newer state spaces; the source compares with a transformer of the same width; the others tell the scan from its
    # convolution
    "mixer": {
        value: f"model.mixer.kind={value}"
        for value in ("scan", "mamba2", "hydra", "conv", "attention", "attention_conv")
    },
    "position": {value: f"model.moment_reasoner.position={value}" for value in ("sine", "once", "read", "none")},
    "heads": {value: f"model.heads.reads={value}" for value in ("states", "spikes", "both")},
    "negatives": {value: f"loss.negative_pair={value}" for value in ("0.0", "1.0")},
    "preset": {value: f"preset={value}" for value in ("full", "paper")},
}
"""Part -> value -> the setting that a person would type after --set; several with a space between them."""

BASE = "base"


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    """`base`, or part=value."""
    setting: str
    """What it changes, one setting or several with a space between them; empty for the base."""
    config: RunConfig
    folder: str
    """Below the output; shared by variants that are the same configuration in effect."""
    idle: str = ""
    """Why it is the same as another, where its setting has no effect."""


def variants(
    path: Path | None,
    settings: Sequence[str],
    only: Sequence[str],
    prepared: Path | None,
    folders: Mapping[str, str] = MappingProxyType({}),
) -> list[Variant]:
    """The base and the chosen variants of a configuration, each with its own setting put last.

    only: parts of ABLATIONS, or part=value, or part=value,value; all when empty.
    folders: of variants by name, where they have been trained before.
    Raises UnknownName, ConfigError, and SpikeMbaError for what is not grounding.
    """
    task = merge(config_tree(path, prepared), parse_overrides(settings)).get("task", GROUNDING)
    if task != GROUNDING:
        train = command_line("spikemba", "train", "--config", path or "CONFIG")
        raise SpikeMbaError(f"ablate is for grounding, and {path} is of task {task!r}; train that with `{train}`")
    chosen = {BASE: ""} | {f"{part}={value}": setting for part, value, setting in settings_of(only)}
    configs = {
        name: load_config(path, [*settings, *setting.split()], prepared=prepared) for name, setting in chosen.items()
    }
    same: list[list[str]] = []
    for name, config in configs.items():
        group = next((names for names in same if _effect(configs[names[0]]) == _effect(config)), None)
        same.append([name]) if group is None else group.append(name)
    place = {name: _folder(names, folders) for names in same for name in names}
    return [
        Variant(name, setting, configs[name], place[name], _idle(configs[name], setting))
        for name, setting in chosen.items()
    ]


def is_variant(name: str) -> bool:
    """Whether there is a variant of that name; tables of earlier versions may have others."""
    part, _, value = name.partition("=")
    return value in ABLATIONS.get(part, {})


def _effect(config: RunConfig) -> Mapping[str, Any]:
    """What of a configuration decides the training; a preset is no more than the values that it fills in."""
    return in_effect(config, "name", "preset")


def _folder(names: Sequence[str], folders: Mapping[str, str]) -> str:
    """Where variants that are the same in effect lie: with the base, or where one of them lies already."""
    known = next((folders[name] for name in names if name in folders), names[0])
    return BASE if BASE in names else known.replace("=", "-")


def _idle(config: RunConfig, setting: str) -> str:
    return "; ".join(said_in_vain([config], setting.split()))


def settings_of(only: Sequence[str] = ()) -> list[list[str]]:
    """Part, value and setting of each variant there is, or of the parts and single values named.

    only: parts of ABLATIONS, part=value, or part=value,value; all when empty. Raises UnknownName.
    """
    wanted: set[tuple[str, str]] = set()
    for name in only:
        part, equals, values = name.partition("=")
        if part not in ABLATIONS:
            raise UnknownName("ablation", name, list(ABLATIONS), "or one value of them, as slots=0")
        for value in values.split(",") if equals else ABLATIONS[part]:
            if value.strip() not in ABLATIONS[part]:
                raise UnknownName(f"value of {part}", value, list(ABLATIONS[part]), "or several, as slots=0,4")
            wanted.add((part, value.strip()))
    rows = [[part, value, setting] for part, values in ABLATIONS.items() for value, setting in values.items()]
    return [row for row in rows if not only or (row[0], row[1]) in wanted]
