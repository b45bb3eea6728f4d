"""Batch normalisation whose statistics see real positions only, and which can be evaluated after a single update."""

# Shapes: S spike steps, B pairs, M positions, D width.

import torch
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Normalise each channel over the real positions of the batch (and over the steps, when there is that axis).

    Running statistics are plain averages for the first 1 / momentum updates and exponential ones after. With
    torch's rule, statistics after one update are mostly their initial values, and in evaluation no neuron fires.
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
        if self.training:
            mean, var = self._batch_statistics(x.float(), mask)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight * torch.rsqrt(var + self.eps)
        return x * scale + (self.bias - mean * scale)

    def _batch_statistics(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        real = mask[..., None].to(x.dtype)  # (B, M, 1)
        axes = tuple(range(x.dim() - 1))
        count = (real.sum() * (len(x) if x.dim() == 4 else 1)).clamp(min=1)
        mean = (x * real).sum(axes) / count
        var = ((x - mean).square() * real).sum(axes) / count
        with torch.no_grad():
            self.n_updates += 1
            share = max(self.momentum, 1 / int(self.n_updates))
            unbiased = var * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(unbiased, share)
        return mean, var
