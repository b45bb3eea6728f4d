"""Batch norm over the real positions of a batch: what one call does, and the statistics that it needs.

`model.masked_norm.MaskedBatchNorm` has the parameters and the running statistics; the kernels of `spiking` apply the
norm as they read its input, so that the normalised tensor is never stored.
"""

# Shapes: S spike steps, B pairs, M positions, D channels, R processes.

from dataclasses import dataclass

import torch
from torch import Tensor

from spikemba.ops.ranks import all_gather, all_reduce


@dataclass(frozen=True)
class BatchNorm:
    """x -> (x - mean) rsqrt(var + eps) weight + bias, per channel, with the statistics of one call."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    var: Tensor
    eps: float
    count: Tensor | None
    """How many positions and steps mean and var were taken over, if they are x's own; then their gradient counts."""
    over_ranks: bool = False
    """Whether they were taken over the batches of all processes, of which x is one."""

    def __call__(self, x: Tensor, mask: Tensor) -> Tensor:
        """The normalised x, (..., B, M, D), with the gradient through statistics that are x's own."""
        mean, var = self.mean, self.var
        if self.count is not None:
            mean, var = masked_moments(x, mask, over_ranks=self.over_ranks)[:2]
        scale = self.weight * torch.rsqrt(var + self.eps)
        return x * scale + (self.bias - mean * scale)


def masked_moments(x: Tensor, mask: Tensor, *, over_ranks: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each channel over steps and real positions, (D,) each, and how many those are, ().

    x: (S, B, M, D) or (B, M, D).  mask: (B, M) bool, True = real.  over_ranks: of the batches of all processes.
    """
    total = all_reduce if over_ranks else _itself
    real = mask[..., None].to(x.dtype)  # (B, M, 1)
    axes = tuple(range(x.dim() - 1))
    count = total(real.sum() * (len(x) if x.dim() == 4 else 1)).clamp(min=1)
    mean = total((x * real).sum(axes)) / count
    return mean, total(((x - mean).square() * real).sum(axes)) / count, count


def _itself(x: Tensor) -> Tensor:
    return x


def moments_over_ranks(mean: Tensor, var: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and count of the positions of all processes, from those of each; without a gradient.

    mean, var: (D,).  count: (), 0 where a process has no positions.  Source: Chan, Golub and LeVeque 1979.
    """
    each = all_gather(torch.cat((mean, var, count[None].to(mean.dtype))))  # (R, 2D + 1)
    width = len(mean)
    means, variances, counts = each[:, :width], each[:, width:-1], each[:, -1:]
    n = counts.sum().clamp(min=1)
    mean = (means * counts).sum(0) / n
    return mean, ((variances + (means - mean).square()) * counts).sum(0) / n, n
