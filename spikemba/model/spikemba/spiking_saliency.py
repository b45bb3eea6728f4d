"""The Spiking Saliency Detector: which positions of text and video deserve attention, said in spikes."""

# Shapes: S spike steps, B pairs, M positions of text and video, D width, H heads, d = D / H.

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from spikemba.batch import Spikes
from spikemba.config import Config
from spikemba.model.masked_norm import MaskedBatchNorm
from spikemba.ops.batch_norm import BatchNorm
from spikemba.ops.spiking import NeuronConfig, spiking_attention, spiking_layer


class SpikingSaliencyConfig(Config):
    """The Spiking Saliency Detector."""

    enabled: bool = True
    """Off: the relevant Mamba is gated by its own input instead of spikes (ablation)."""
    silent: bool = False
    """Its spikes are taken as 0 everywhere (ablation): the relevant Mamba's gates keep their bias alone."""
    share: Literal["per_block", "once"] = "per_block"
    """One detector per block, or one for all."""
    n_spike_steps: PositiveInt = 8
    """S, simulation steps of the neurons."""
    n_heads: PositiveInt = 8
    """Attention heads; must divide the width."""
    attention_scale: float = Field(0.125, gt=0, le=1000)
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
        config = self.config
        current = self.qkv_proj(x)  # the same at every step, so it is computed once (direct encoding)
        current, norm = _prepare(self.qkv_norm, current, mask)
        how = config.n_spike_steps, config.n_heads, self._factor(mask)
        attended, counts = spiking_attention(current, mask, config.neuron, norm, *how)
        if config.attention_neurons:
            half = config.neuron.model_copy(update={"threshold": config.neuron.threshold / 2})
            attended = spiking_layer(attended, mask, half, None).trains
        current, norm = _prepare(self.out_norm, self.out_proj(attended), mask)
        saliency = spiking_layer(current, mask, config.neuron, norm)
        counted = dict(zip(("query", "key", "value"), counts.chunk(3), strict=True)) | {"saliency": saliency.counts}
        n = config.n_spike_steps * mask.sum().clamp(min=1)
        rates = {name: count / n for name, count in counted.items()}
        return Spikes(trains=saliency.trains, rates=saliency.rates, layer_rates=rates)

    def _factor(self, mask: Tensor) -> Tensor:
        """What each pair's attention is multiplied by, (B,)."""
        factor = self.qkv_proj.weight.new_full((len(mask),), self.config.attention_scale)
        return factor * 64 / mask.sum(1).clamp(min=1) if self.config.scale_by_length else factor


class SilentDetector(nn.Module):
    """A detector of which no neuron ever fires, without a parameter: what the rest of the network does alone."""

    def forward(self, x: Tensor, mask: Tensor) -> Spikes:  # noqa: ARG002 - whatever they are
        """x: (B, M, D).  mask: (B, M).  Returns one step without a spike."""
        return Spikes(trains=x.new_zeros((1, *x.shape)), rates=torch.zeros_like(x), layer_rates={})


def _norm(width: int, config: SpikingSaliencyConfig) -> MaskedBatchNorm | nn.LayerNorm:
    return MaskedBatchNorm(width) if config.norm == "batch" else nn.LayerNorm(width)


def _prepare(norm: nn.Module | None, x: Tensor, mask: Tensor) -> tuple[Tensor, BatchNorm | None]:
    """x, and the batch norm that the neurons apply to it; another norm is applied here."""
    if isinstance(norm, MaskedBatchNorm):
        return x, norm.prepare(x, mask)
    return x if norm is None else norm(x), None
