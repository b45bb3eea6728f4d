"""The Multi-modal Relevant Mamba: text and video in one scan, gated by what the detector's spikes mark."""

# Shapes: B pairs, M positions of text and video, D width.

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from spikemba.config import Config
from spikemba.model.mamba_block import OPEN_GATE_BIAS, MixerConfig
from spikemba.model.mixers import make_mixer


class RelevantMambaConfig(Config):
    """The Multi-modal Relevant Mamba."""

    gate_bias: float = Field(OPEN_GATE_BIAS, ge=-100, le=100)
    """Initial bias of the spike gate. 0 is the source's form, where silence closes the gate and the block does nothing;
    the default opens it fully at silence (SiLU = 1), so dead spikes cannot kill a block."""
    spike_norm: Literal["layer", "none"] = "layer"
    """What stands before the gate's projection: the source's LayerNorm, which keeps the pattern of a position's spikes
    and drops their amount, or nothing."""
    spike_norm_eps: float = Field(1e-3, gt=0, le=1000)
    """Floor of the variance in the normalisation of the spikes; a lone spike would otherwise become sqrt(width)."""


class RelevantMamba(nn.Module):
    """T' = T + Linear(scan(Linear_x LN(T)) * SiLU(Linear_z LN(S))); the gate is the only place where S acts."""

    def __init__(self, width: int, config: RelevantMambaConfig, mixer: MixerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.spike_norm: nn.Module = nn.Identity()
        if config.spike_norm == "layer":
            self.spike_norm = nn.LayerNorm(width, eps=config.spike_norm_eps)
        self.mixer = make_mixer(width, mixer, gate="other", gate_bias=config.gate_bias)

    def forward(self, x: Tensor, mask: Tensor, gate: Tensor) -> Tensor:
        """x: (B, M, D).  mask: (B, M) bool, True = real.  gate: (B, M, D), firing rates.  Returns (B, M, D)."""
        out: Tensor = x + self.mixer(self.norm(x), mask, self.spike_norm(gate))
        return out * mask[..., None]
