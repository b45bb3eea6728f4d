"""Spiking neurons and the Spiking Saliency Detector as a graph, unrolled over the spike steps."""

# Shapes: S spike steps, M positions of text and video, D width, H heads, d = D / H.

import torch
from torch import Tensor, nn

from spikemba.batch import Spikes
from spikemba.model.masked_norm import MaskedBatchNorm
from spikemba.model.spikemba.heads import ProposalNeuron
from spikemba.model.spikemba.spiking_saliency import SpikingSaliencyDetector
from spikemba.ops.spiking import NeuronConfig


def unrolled_spikes(currents: Tensor, n_spike_steps: int, neuron: NeuronConfig) -> Tensor:
    """Spikes of neurons that start at rest, (S, ...) of 0 and 1.

    currents: (S, ...), or (1, ...): the same at every step.
    """
    leak, gain = 1 - 1 / neuron.tau, 1 / neuron.tau if neuron.decay_input else 1.0
    rest: Tensor | None = None
    trains = []
    for step in range(n_spike_steps):
        u = gain * currents[min(step, len(currents) - 1)]
        if rest is not None:
            u = rest * leak + u
        fires = (u >= neuron.threshold).to(u.dtype)
        rest = u * (1 - fires) if neuron.reset == "hard" else u - neuron.threshold * fires
        trains.append(fires)
    return torch.stack(trains)


class DetectorGraph(nn.Module):
    """What a SpikingSaliencyDetector gives for one pair whose positions are all real, from the same numbers."""

    def __init__(self, detector: SpikingSaliencyDetector) -> None:
        super().__init__()
        self.config, self.qkv_proj, self.out_proj = detector.config, detector.qkv_proj, detector.out_proj
        self.qkv_norm = None if detector.qkv_norm is None else _norm(detector.qkv_norm)
        self.out_norm = _norm(detector.out_norm)

    def forward(self, x: Tensor, mask: Tensor, *, trains_read: bool = True) -> Spikes:  # noqa: ARG002 - as the detector
        """x: (1, M, D).  Returns the spikes, with no count of the layers'."""
        config, steps = self.config, self.config.n_spike_steps
        current = self.qkv_proj(x)
        current = current if self.qkv_norm is None else self.qkv_norm(current)
        spikes = unrolled_spikes(current[None], config.n_spike_steps, config.neuron)
        q, k, v = (self._heads(z) for z in spikes.chunk(3, dim=-1))
        mixed = torch.bmm(q, torch.bmm(k.transpose(1, 2), v)).reshape(steps, config.n_heads, *x.shape[1:2], -1)
        attended = mixed.transpose(1, 2).reshape(steps, *x.shape) * config.attention_scale
        if config.scale_by_length:
            attended = attended * 64 / x.shape[1]
        if config.attention_neurons:
            half = config.neuron.model_copy(update={"threshold": config.neuron.threshold / 2})
            attended = unrolled_spikes(attended, config.n_spike_steps, half)
        trains = unrolled_spikes(self.out_norm(self.out_proj(attended)), config.n_spike_steps, config.neuron)
        return Spikes(trains=trains, rates=trains.mean(0), layer_rates={})

    def _heads(self, z: Tensor) -> Tensor:
        """(S, 1, M, D) -> (S H, M, d)."""
        n_steps, _, length, width = z.shape
        n = self.config.n_heads
        return z.reshape(n_steps, length, n, width // n).transpose(1, 2).reshape(n_steps * n, length, width // n)


class ProposalGraph(nn.Module):
    """What a ProposalNeuron gives, unrolled."""

    def __init__(self, proposals: ProposalNeuron) -> None:
        super().__init__()
        self.neuron, self.read = proposals.neuron, proposals.read

    def forward(self, trains: Tensor, mask: Tensor) -> tuple[Tensor, None]:  # noqa: ARG002 - as the neuron
        """trains: (S, 1, L, D) -> the neuron's spikes, (1, L, S)."""
        current = self.read(trains).squeeze(-1)
        return unrolled_spikes(current, len(trains), self.neuron).movedim(0, -1), None


class _Affine(nn.Module):
    """A batch norm by its running statistics, as one multiplication and one sum."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: MaskedBatchNorm) -> None:
        super().__init__()
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale.detach())
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale).detach())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def _norm(norm: nn.Module) -> nn.Module:
    return _Affine(norm) if isinstance(norm, MaskedBatchNorm) else norm
