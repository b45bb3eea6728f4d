"""Every mixer there is, by the name that `mixer.kind` has for it."""

from spikemba.model.hydra_mixer import HydraMixer
from spikemba.model.mamba2_mixer import Mamba2Mixer
from spikemba.model.mamba_block import AttentionMixer, ConvMixer, GateSource, MambaMixer, MixerConfig

StateSpaceMixer = MambaMixer | Mamba2Mixer | HydraMixer
Mixer = StateSpaceMixer | ConvMixer | AttentionMixer

_STATE_SPACES: dict[str, type[StateSpaceMixer]] = {"scan": MambaMixer, "mamba2": Mamba2Mixer, "hydra": HydraMixer}
_MIXERS: dict[str, type[Mixer]] = {
    **_STATE_SPACES,
    "conv": ConvMixer,
    "attention": AttentionMixer,
    "attention_conv": AttentionMixer,
}


def make_mixer(width: int, config: MixerConfig, *, gate: GateSource = "input", gate_bias: float = 0.0) -> Mixer:
    """The mixer that `config.kind` names, whose forward takes x: (B, L, D), mask: (B, L) and gate: (B, L, D)."""
    return _MIXERS[config.kind](width, config, gate=gate, gate_bias=gate_bias)


def state_space_mixer(width: int, config: MixerConfig) -> StateSpaceMixer:
    """The same among those with states, which also take orders and tell their step sizes; a KeyError for others."""
    return _STATE_SPACES[config.kind](width, config)
