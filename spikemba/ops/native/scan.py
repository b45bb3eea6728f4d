"""The selective scan on the compiled kernels: float32 on a CPU, one parallel region per call."""

# Shapes: B pairs, L positions, E inner width, N state size.

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikemba.ops.native.library import kernels, packed, pointer, threads

LOG2_E = math.log2(math.e)
SEGMENT = 32
"""Positions between two kept states, as in scan.c."""
MAX_STATES = 256


def scan_native(
    x: Tensor,
    step: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    softplus: bool = False,
    reverse: bool = False,
) -> Tensor:
    """Same result as `selective_scan`, for float32 CPU tensors; the library must be there.

    b and c may be views into one wider tensor, as a projection gives them; they are not copied then.
    """
    y: Tensor = _Scan.apply(x, step, a, b, c, skip, mask, softplus, reverse)
    return y


def scan_native_with_state(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The scan from a state, and the state after it, both (B, E, N); without a gradient."""
    batch, _, width = x.shape
    pitch = _padded(width)
    initial = None
    if state is not None:
        initial = x.new_zeros(batch, a.shape[1], pitch)
        initial[..., :width] = state.transpose(1, 2)
    final = x.new_empty(batch, a.shape[1], pitch)
    y = _forward(x, delta, a, b, c, None, None, initial, None, final, False, False)
    return y, final[..., :width].transpose(1, 2).contiguous()


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        step: Tensor,
        a: Tensor,
        b: Tensor,
        c: Tensor,
        skip: Tensor | None,
        mask: Tensor | None,
        softplus: bool,
        reverse: bool,
    ) -> Tensor:
        x, step = x.contiguous(), step.contiguous()
        b, c = _rows(b, c)
        skip, mask = None if skip is None else skip.contiguous(), packed(mask)
        starts = None
        if any(ctx.needs_input_grad):
            starts = x.new_empty(len(x), -(-x.shape[1] // SEGMENT), a.shape[1], _padded(x.shape[2]))
        y = _forward(x, step, a, b, c, skip, mask, None, starts, None, softplus, reverse)
        ctx.save_for_backward(x, step, a, b, c, skip, mask, starts)
        ctx.how = softplus, reverse
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, step, a, b, c, skip, mask, starts = ctx.saved_tensors
        softplus, reverse = ctx.how
        library = kernels()
        (batch, length, width), states = x.shape, a.shape[1]
        pitch, workers = _padded(width), threads()
        blocks = -(-width // library.scan_block(batch, width, workers))
        rate, grad_y = _rate(a), grad_y.contiguous()
        grad_x, grad_step = torch.empty_like(x), torch.empty_like(x)
        grad_rate = x.new_empty(batch, states, pitch)
        grad_b, grad_c = x.new_empty(2, blocks, batch, length, states)
        grad_skip = None if skip is None else x.new_empty(batch, pitch)
        inputs = *map(pointer, (x, step, rate)), b.data_ptr(), c.data_ptr()
        inputs += tuple(map(pointer, (skip, mask, grad_y, starts)))
        outputs = map(pointer, (grad_x, grad_step, grad_rate, grad_b, grad_c, grad_skip))
        sizes = batch, length, width, states, b.stride(1)
        if library.scan_backward(*inputs, *outputs, *sizes, softplus, reverse, workers):
            raise MemoryError("no memory for the scan's backward pass")
        return (
            grad_x,
            grad_step,
            grad_rate.sum(0)[:, :width].t(),
            grad_b.sum(0),
            grad_c.sum(0),
            None if grad_skip is None else grad_skip.sum(0)[:width],
            None,
            None,
            None,
        )


def _forward(
    x: Tensor,
    step: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None,
    mask: Tensor | None,
    initial: Tensor | None,
    starts: Tensor | None,
    final: Tensor | None,
    softplus: bool,
    reverse: bool,
) -> Tensor:
    x, step = x.contiguous(), step.contiguous()
    b, c = _rows(b, c)
    y, rate = torch.empty_like(x), _rate(a)
    inputs = *map(pointer, (x, step, rate)), b.data_ptr(), c.data_ptr()
    tensors = map(pointer, (skip, mask, initial, y, starts, final))
    kernels().scan_forward(*inputs, *tensors, *x.shape, a.shape[1], b.stride(1), softplus, reverse, threads())
    return y


def _rate(a: Tensor) -> Tensor:
    return (a.t() * LOG2_E).contiguous()


def _rows(b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """b and c as the kernel reads them: rows of consecutive numbers, equally far apart in both, pairs without gap."""

    def fits(tensor: Tensor) -> bool:
        return tensor.stride(2) == 1 and tensor.stride(0) == tensor.stride(1) * tensor.shape[1]

    if fits(b) and fits(c) and b.stride(1) == c.stride(1):
        return b, c
    return b.contiguous(), c.contiguous()


def _padded(width: int) -> int:
    return -(-width // 16) * 16
