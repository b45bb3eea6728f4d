"""What can be left out of the network or put in another's place: variants of one configuration, by part and value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.tasks.grounding.config import RunConfig, load_config
from spikemba.errors import UnknownName
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
    # the source compares with a transformer of the same width; the others tell the scan from its convolution
    "mixer": {value: f"model.mixer.kind={value}" for value in ("scan", "conv", "attention", "attention_conv")},
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
    """Below the output; that of an earlier variant when both are the same configuration."""


def variants(path: Path | None, settings: Sequence[str], only: Sequence[str], prepared: Path | None) -> list[Variant]:
    """The base and the chosen variants of a configuration, each with its own setting put last.

    only: parts of ABLATIONS, or part=value; all when empty. Raises UnknownName, ConfigError.
    """
    chosen = {f"{part}={value}": setting for part, value, setting in settings_of(only)}
    found: list[Variant] = []
    for name, setting in {BASE: "", **chosen}.items():
        config = load_config(path, [*settings, *setting.split()], prepared=prepared)
        same = next((one for one in found if _same(one.config, config)), None)
        folder = same.folder if same else name.replace("=", "-")
        found.append(Variant(name, setting, config, folder))
    return found


def _same(a: RunConfig, b: RunConfig) -> bool:
    """Whether two configurations train the same; a preset is no more than the values that it fills in."""
    left_out = {"name", "preset"}
    return a.model_dump(exclude=left_out) == b.model_dump(exclude=left_out)


def settings_of(only: Sequence[str] = ()) -> list[list[str]]:
    """Part, value and setting of each variant there is, or of the parts and single values named.

    only: parts of ABLATIONS, or part=value; all when empty. Raises UnknownName.
    """
    rows = [[part, value, setting] for part, values in ABLATIONS.items() for value, setting in values.items()]
    names = {name for part, value, _ in rows for name in (part, f"{part}={value}")}
    for name in only:
        if name not in names:
            raise UnknownName("ablation", name, [*ABLATIONS, "or one value of them, as slots=0"])
    return [row for row in rows if not only or row[0] in only or f"{row[0]}={row[1]}" in only]
