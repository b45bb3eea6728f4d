"""The Spiking Saliency Detector: which positions of text and video deserve attention, said in spikes."""

# Shapes: S spike steps, B pairs, M positions of text and video, D width, H heads, d = D / H.

from typing import Literal

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from spikemba.batch import Spikes
from spikemba.config import Config
from spikemba.model.masked_norm import MaskedBatchNorm
from spikemba.ops.spiking import NeuronConfig, lif_spikes


class SpikingSaliencyConfig(Config):
    """The Spiking Saliency Detector."""

    enabled: bool = True
    """Off: the relevant Mamba is gated by its own input instead of spikes (ablation)."""
    share: Literal["per_block", "once"] = "per_block"
    """One detector per block, or one for all."""
    n_spike_steps: PositiveInt = 8
    """S, simulation steps of the neurons."""
    n_heads: PositiveInt = 8
    """Attention heads; must divide the width."""
    attention_scale: PositiveFloat = 0.125
    """The source's Scale, a constant as in Spikformer."""
    scale_by_length: bool = True
    """Also divide by n / 64 for n real positions: without softmax, longer inputs would drive neurons harder."""
    norm: Literal["batch", "layer"] = "batch"
    """Normalisation of the currents: over the real positions of a batch (the source's BN), or per position."""
    norm_qkv: bool = True
    """Normalise the currents of the query, key and value neurons too; the source's formula shows only the last one."""
    attention_neurons: bool = False
    """Another neuron layer right after the attention, with half the threshold, as in Spikformer."""
    neuron: NeuronConfig = NeuronConfig()
    """The neurons of every layer."""


class SpikingSaliencyDetector(nn.Module):
    """q, k, v = SNN(W X);  G = scale q (k^T v);  S = SNN(BN(W G)).

    Products of spikes are sums of ones, so the attention is exact whatever the padding and the order of sums.
    """

    def __init__(self, width: int, config: SpikingSaliencyConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.qkv_norm = _norm(3 * width, config) if config.norm_qkv else None
        self.out_proj = nn.Linear(width, width, bias=False)
        self.out_norm = _norm(width, config)

    def forward(self, x: Tensor, mask: Tensor) -> Spikes:
        """x: (B, M, D).  mask: (B, M) bool, True = real.  Padding never fires and is never attended to."""
        config, real = self.config, mask[..., None].to(x.dtype)
        current = self.qkv_proj(x)  # the same at every step, so it is computed once (direct encoding)
        if self.qkv_norm is not None:
            current = _normalise(self.qkv_norm, current, mask)
        qkv = lif_spikes(current, config.neuron, config.n_spike_steps) * real  # (S, B, M, 3D)
        attended = self._attend(qkv, mask)
        if config.attention_neurons:
            half = config.neuron.model_copy(update={"threshold": config.neuron.threshold / 2})
            attended = lif_spikes(attended, half) * real
        current = _normalise(self.out_norm, self.out_proj(attended), mask)
        trains = lif_spikes(current, config.neuron) * real  # (S, B, M, D)
        layers = {**dict(zip(("query", "key", "value"), qkv.chunk(3, dim=-1), strict=True)), "saliency": trains}
        rates = {name: _rate(spikes, mask) for name, spikes in layers.items()}
        return Spikes(trains=trains, rates=trains.mean(0), layer_rates=rates)

    def _attend(self, qkv: Tensor, mask: Tensor) -> Tensor:
        """qkv: (S, B, M, 3D) spikes, zero at padding -> (S, B, M, D). No softmax; cost is linear in M."""
        heads = (self.config.n_heads, -1)
        q, k, v = (z.unflatten(-1, heads).transpose(2, 3) for z in qkv.chunk(3, dim=-1))  # (S, B, H, M, d)
        attended: Tensor = (q @ (k.transpose(-1, -2) @ v)).transpose(2, 3).flatten(3)
        scale: Tensor = self.config.attention_scale * attended.new_ones(len(mask))
        if self.config.scale_by_length:
            scale = scale * 64 / mask.sum(1).clamp(min=1)
        return attended * scale[:, None, None]


def _norm(width: int, config: SpikingSaliencyConfig) -> MaskedBatchNorm | nn.LayerNorm:
    return MaskedBatchNorm(width) if config.norm == "batch" else nn.LayerNorm(width)


def _normalise(norm: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    out: Tensor = norm(x, mask) if isinstance(norm, MaskedBatchNorm) else norm(x)
    return out


def _rate(spikes: Tensor, mask: Tensor) -> Tensor:
    """Share of steps and real positions at which each channel fired. spikes: (S, B, M, D) -> (D,)."""
    return spikes.sum((0, 1, 2)) / (len(spikes) * mask.sum().clamp(min=1))
