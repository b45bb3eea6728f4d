"""The Spiking Saliency Detector: which positions of text and video deserve attention, said in spikes."""

# Shapes: S spike steps, B pairs, M positions of text and video, D width, H heads, d = D / H.

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from spikemba.batch import Spikes
from spikemba.config import Config
from spikemba.model.masked_norm import MaskedBatchNorm
from spikemba.ops.batch_norm import BatchNorm
from spikemba.ops.precision import at_least_float32
from spikemba.ops.spiking import Layer, NeuronConfig, spiking_attention, spiking_layer


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


STRETCH = 512
"""Positions whose last neurons fire together in inference. Their currents and spikes at all steps are sixteen times as
many numbers as the sequence's own, and for hours of video more than everything else."""


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

    def forward(self, x: Tensor, mask: Tensor, *, trains_read: bool = True) -> Spikes:
        """x: (B, M, D).  mask: (B, M) bool, True = real.  Padding never fires and is never attended to.

        trains_read: whether anybody reads the trains; if not, those returned have no step.
        """
        config = self.config
        attended, counts = self._attend(x, mask)
        if config.attention_neurons:
            half = config.neuron.model_copy(update={"threshold": config.neuron.threshold / 2})
            attended = spiking_layer(attended, mask, half, None).trains
        if self._in_stretches(attended):
            saliency = self._fire_in_stretches(attended, mask, trains_read)
        else:
            saliency = self._fire(attended, mask)
        counted = dict(zip(("query", "key", "value"), counts.chunk(3), strict=True)) | {"saliency": saliency.counts}
        n = config.n_spike_steps * mask.sum().clamp(min=1)
        rates = {name: count / n for name, count in counted.items()}
        trains = saliency.trains if trains_read else saliency.trains.new_empty(0, *saliency.rates.shape)
        return Spikes(trains=trains, rates=saliency.rates, layer_rates=rates)

    def _attend(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The attention over spikes, (S, B, M, D), and the spikes of each channel of query, key and value, (3D,)."""
        config = self.config
        current = self.qkv_proj(x)  # the same at every step, so it is computed once (direct encoding)
        current, norm = _prepare(self.qkv_norm, current, mask)
        how = config.n_spike_steps, config.n_heads, self._factor(mask)
        return spiking_attention(current, mask, config.neuron, norm, *how)

    def _fire(self, attended: Tensor, mask: Tensor) -> Layer:
        """The last neurons. attended: (S, B, M, D).  mask: (B, M)."""
        current, norm = _prepare(self.out_norm, self.out_proj(attended), mask)
        return spiking_layer(current, mask, self.config.neuron, norm)

    def _in_stretches(self, attended: Tensor) -> bool:
        """Whether the last neurons may fire one stretch of positions after another: where no position needs another's
        and nothing of them is kept for a gradient. A trace would hold as many stretches as its example has."""
        alone = not self.training and not torch.is_grad_enabled() and attended.is_cpu
        if not alone or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return False
        return attended.shape[2] > STRETCH

    def _fire_in_stretches(self, attended: Tensor, mask: Tensor, trains_read: bool) -> Layer:
        """As `_fire`, bit for bit, with room for the currents and spikes of one stretch; overwrites `attended`."""
        positions = attended.shape[2]
        n = -(-positions // STRETCH)  # of nearly equal lengths: BLAS multiplies a few rows by another kernel
        rates, counts = attended.new_empty(attended.shape[1:]), attended.new_zeros(attended.shape[-1])
        for i in range(n):
            own = slice(i * positions // n, (i + 1) * positions // n)
            fired = self._fire(attended[:, :, own], mask[:, own])
            rates[:, own] = fired.rates
            counts += fired.counts
            if trains_read:
                attended[:, :, own] = fired.trains
        return Layer(attended, rates, counts)

    def _factor(self, mask: Tensor) -> Tensor:
        """What each pair's attention is multiplied by, (B,)."""
        weight = at_least_float32(self.qkv_proj.weight[:0])  # the factor is no product's part in half precision
        factor = weight.new_full((len(mask),), self.config.attention_scale)
        return factor * 64 / mask.sum(1).clamp(min=1) if self.config.scale_by_length else factor


class SilentDetector(nn.Module):
    """A detector of which no neuron ever fires, without a parameter: what the rest of the network does alone."""

    def forward(self, x: Tensor, mask: Tensor, *, trains_read: bool = True) -> Spikes:  # noqa: ARG002 - whatever it is
        """x: (B, M, D).  mask: (B, M).  Returns one step without a spike, or none where nobody reads it."""
        return Spikes(trains=x.new_zeros((int(trains_read), *x.shape)), rates=torch.zeros_like(x), layer_rates={})


def _norm(width: int, config: SpikingSaliencyConfig) -> MaskedBatchNorm | nn.LayerNorm:
    return MaskedBatchNorm(width) if config.norm == "batch" else nn.LayerNorm(width)


def _prepare(norm: nn.Module | None, x: Tensor, mask: Tensor) -> tuple[Tensor, BatchNorm | None]:
    """x, and the batch norm that the neurons apply to it; another norm is applied here."""
    if isinstance(norm, MaskedBatchNorm):
        return x, norm.prepare(x, mask)
    return x if norm is None else norm(x), None
