"""What stays in float32 while torch.autocast computes matrix products in half precision."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def in_full_precision(x: Tensor) -> AbstractContextManager[None]:
    """A context without autocast on x's device."""
    context: AbstractContextManager[None] = torch.autocast(x.device.type, enabled=False)
    return context


def at_least_float32(x: Tensor) -> Tensor:
    """x, with half precision raised to float32."""
    return x if x.dtype == torch.float64 else x.float()
