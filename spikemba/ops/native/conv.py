"""Causal convolution with SiLU and mask, and the gate behind the scan, on the compiled kernels."""

# Shapes: B pairs, L positions, E inner width, K taps.

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikemba.ops.native.library import kernels, packed, parts, pointer, threads

MAX_TAPS = 8


class Conv(torch.autograd.Function):
    """(u, mask, weight, bias, weight2, bias2, reverse) -> out, out2; the second is the other direction, or None."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        mask: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        weight2: Tensor | None,
        bias2: Tensor | None,
        reverse: bool,
    ) -> tuple[Tensor, Tensor | None]:
        u, mask = u.contiguous(), packed(mask)
        taps, taps2 = _taps(weight), _taps(weight2)
        out, out2 = torch.empty_like(u), None if weight2 is None else torch.empty_like(u)
        tensors = map(pointer, (u, mask, taps, bias, taps2, bias2, out, out2))
        kernels().conv_forward(*tensors, *u.shape, weight.shape[-1], parts(u.shape[1]), reverse, threads())
        ctx.save_for_backward(u, mask, taps, bias, taps2, bias2)
        ctx.reverse = reverse
        return out, out2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad2: Tensor | None) -> tuple[Tensor | None, ...]:
        u, mask, taps, bias, taps2, bias2 = ctx.saved_tensors
        batch, _, width = u.shape
        n_taps = len(taps)
        both = taps2 is not None
        grad_u = torch.empty_like(u)
        sums = [(u.new_empty(batch, n_taps, width), u.new_empty(batch, width)) for _ in range(1 + both)]
        grad = grad.contiguous()
        grad2 = grad2.contiguous() if both and grad2 is not None else None
        outputs = [pointer(x) for pair in sums for x in pair] + [None] * (2 * (not both))
        inputs = map(pointer, (u, mask, taps, bias, taps2, bias2, grad, grad2, grad_u))
        kernels().conv_backward(*inputs, *outputs, *u.shape, n_taps, ctx.reverse, threads())
        grads = [(weight.sum(0).t()[:, None], total.sum(0)) for weight, total in sums]
        return grad_u, None, *grads[0], *(grads[1] if both else (None, None)), None


def _taps(weight: Tensor | None) -> Tensor | None:
    """(E, 1, K) as the kernel reads it, (K, E)."""
    return None if weight is None else weight[:, 0].t().contiguous()


class Gate(torch.autograd.Function):
    """(y, y2 or None, z) -> (y + y2) silu(z), all of one shape."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, y2: Tensor | None, z: Tensor) -> Tensor:
        y, y2, z = y.contiguous(), None if y2 is None else y2.contiguous(), z.contiguous()
        out = torch.empty_like(y)
        kernels().gate_forward(*map(pointer, (y, y2, z, out)), y.numel(), threads())
        ctx.save_for_backward(y, y2, z)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, y2, z = ctx.saved_tensors
        grad_y, grad_z, grad = torch.empty_like(y), torch.empty_like(z), grad.contiguous()
        kernels().gate_backward(*map(pointer, (y, y2, z, grad, grad_y, grad_z)), y.numel(), threads())
        return grad_y, None if y2 is None else grad_y, grad_z
