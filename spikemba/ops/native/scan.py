"""The selective scan on the compiled kernels: float32 on a CPU, one parallel region per call."""

# Shapes: B pairs, L positions, E inner width, N state size.

import math
from typing import Any, NamedTuple

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
    y: Tensor = _Scan.apply(softplus, reverse, x, step, a, b, c, skip, mask)
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
    y = _forward(_Inputs(x, delta, a, b, c).packed(), initial=initial, final=final)
    return y, final[..., :width].transpose(1, 2).contiguous()


class _Inputs(NamedTuple):
    """What the kernel reads; the shapes are those of `selective_scan`."""

    x: Tensor
    step: Tensor
    a: Tensor
    b: Tensor
    c: Tensor
    skip: Tensor | None = None
    mask: Tensor | None = None

    def packed(self) -> "_Inputs":
        """The same in the kernel's memory order."""
        b, c = _rows(self.b, self.c)
        skip = None if self.skip is None else self.skip.contiguous()
        return _Inputs(self.x.contiguous(), self.step.contiguous(), self.a, b, c, skip, packed(self.mask))


class _Scan(torch.autograd.Function):
    """(softplus, reverse, *_Inputs) -> y."""

    @staticmethod
    def forward(ctx: Any, softplus: bool, reverse: bool, *tensors: Any) -> Tensor:
        given = _Inputs(*tensors).packed()
        x, starts = given.x, None
        if any(ctx.needs_input_grad):
            starts = x.new_empty(len(x), -(-x.shape[1] // SEGMENT), given.a.shape[1], _padded(x.shape[2]))
        y = _forward(given, starts=starts, softplus=softplus, reverse=reverse)
        ctx.save_for_backward(*given, starts)
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
        grads = grad_x, grad_step, grad_rate.sum(0)[:, :width].t(), grad_b.sum(0), grad_c.sum(0)
        return None, None, *grads, None if grad_skip is None else grad_skip.sum(0)[:width], None


def _forward(
    given: _Inputs,
    *,
    initial: Tensor | None = None,
    starts: Tensor | None = None,
    final: Tensor | None = None,
    softplus: bool = False,
    reverse: bool = False,
) -> Tensor:
    """given: packed.  initial, final: states before and after; starts: those between, kept for the backward pass."""
    x, step, a, b, c, skip, mask = given
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
