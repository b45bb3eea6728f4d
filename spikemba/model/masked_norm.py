"""Batch normalisation whose statistics see real positions only, and which can be evaluated after a single update."""

# Shapes: S spike steps, B pairs, M positions, D width.

import torch
from torch import Tensor, nn

from spikemba.ops.batch_norm import BatchNorm, masked_moments, moments_over_ranks
from spikemba.ops.native.library import on_native
from spikemba.ops.native.spiking import masked_moments as native_moments
from spikemba.ops.ranks import is_shared
from spikemba.ops.recompute import are_statistics_kept, is_recomputing


class MaskedBatchNorm(nn.Module):
    """Normalise each channel over the real positions of the batch (and over the steps, when there is that axis).

    Running statistics are plain averages for the first 1 / momentum updates and exponential ones after. With
    torch's rule, statistics after one update are mostly their initial values, and in evaluation no neuron fires.
    Within `one_batch_over_ranks` the batch is that of all processes; within `statistics_kept` nothing is learned.
    """

    running_mean: Tensor
    running_var: Tensor
    n_updates: Tensor

    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, M, D) or (S, B, M, D).  mask: (B, M) bool, True = real.  Returns x's shape; padding is not cleared."""
        return self.prepare(x, mask)(x if x.dtype == torch.float64 else x.float(), mask).to(x.dtype)

    def prepare(self, x: Tensor, mask: Tensor) -> BatchNorm:
        """The norm with the statistics that x is to be normalised by; in training, the running ones learn from x."""
        if not self.training or are_statistics_kept():
            return BatchNorm(self.weight, self.bias, self.running_mean, self.running_var, self.eps, None)
        with torch.no_grad():
            moments = native_moments if on_native(x) else masked_moments
            mean, var, count = moments(x if x.dtype == torch.float64 else x.float(), mask)
            if is_shared():
                own = mask.sum() * (len(x) if x.dim() == 4 else 1)  # `count` is 1 where there is nothing
                mean, var, count = moments_over_ranks(mean, var, own)
            if not is_recomputing():
                self._learn(mean, var, count)
        return BatchNorm(self.weight, self.bias, mean, var, self.eps, count, is_shared())

    def _learn(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        self.n_updates += 1
        share = max(self.momentum, 1 / int(self.n_updates))
        unbiased = var * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
