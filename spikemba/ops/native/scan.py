"""The selective scan on the compiled kernels: float32 on a CPU, one parallel region per call."""

# Shapes: B pairs, L positions, E inner width, N state size.

from typing import Any

import torch
from torch import Tensor

from spikemba.ops.native.door import call, row_stride, summed
from spikemba.ops.native.kernels import BLOCK, MAX_STATES, SEGMENT, padded
from spikemba.ops.native.library import threads
from spikemba.ops.native.operators import differentiated, operator

__all__ = ["MAX_STATES", "scan_native", "scan_native_with_state"]

BACKWARD_TASKS = 16
"""Tasks that a backward pass is cut into where it can be, whatever the number of threads: b's and c's gradients are
sums over a task's channels, and have their roundings where the tasks end."""
BACKWARD_WORK = 2**17
"""Positions times channels times states of the smallest such task: narrow ones sum b's and c's gradients more often."""


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
    tensors = x.contiguous(), step.contiguous(), a, b, c, skip, mask
    if differentiated(*tensors[:6]):
        y, _ = _scan_train(*tensors, softplus, reverse)
    else:
        y = _scan(*tensors, softplus, reverse)
    found: Tensor = y
    return found


def scan_native_with_state(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The scan from a state, and the state after it, both (B, E, N); without a gradient."""
    found: tuple[Tensor, Tensor] = _scan_from(
        x, delta, a, b, c, x.new_zeros(len(x), *a.shape) if state is None else state
    )
    return found


def _run(*inputs: Any) -> Tensor:
    return _forward(*inputs)


def _run_train(*inputs: Any) -> tuple[Tensor, Tensor]:
    starts = _starts_of(inputs[0], inputs[2])
    return _forward(*inputs, starts=starts), starts


def _run_from(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    pitch, width = padded(x.shape[2]), x.shape[2]
    initial = x.new_zeros(len(x), a.shape[1], pitch)
    initial[..., :width] = state.transpose(1, 2)
    final = torch.empty_like(initial)
    y = _forward(x, delta, a, b, c, None, None, False, False, initial=initial, final=final)
    return y, final[..., :width].transpose(1, 2).contiguous()


def _forward(
    x: Tensor,
    step: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None,
    mask: Tensor | None,
    softplus: bool,
    reverse: bool,
    *,
    initial: Tensor | None = None,
    starts: Tensor | None = None,
    final: Tensor | None = None,
) -> Tensor:
    """initial, final: states before and after; starts: those between, kept for the backward pass."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    inputs = _inputs(x, step, a, b, c, skip, mask)
    how = {"softplus": softplus, "reverse": reverse, "block": _block(x.shape[0], x.shape[2], 2 * threads())}
    call("scan_forward", **inputs, initial=initial, y=y, starts=starts, final=final, **how)
    return y


def _backward(
    grad_y: Tensor,
    x: Tensor,
    step: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    skip: Tensor | None,
    mask: Tensor | None,
    starts: Tensor,
    softplus: bool,
    reverse: bool,
) -> tuple[Tensor, ...]:
    """The gradients of x, step, a, b, c and skip; the last also where skip is None."""
    (batch, length, width), states = x.shape, a.shape[1]
    pitch, block = padded(width), _backward_block(batch, length, width, states)
    grad_x, grad_step = (torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(2))
    grad_rate, grad_skip = x.new_empty(batch, states, pitch), x.new_empty(batch, pitch)
    grad_b, grad_c = (x.new_empty(-(-width // block), batch, length, states) for _ in range(2))
    call(
        "scan_backward",
        **_inputs(x, step, a, b, c, skip, mask),
        grad_y=grad_y.contiguous(),
        starts=starts.contiguous(),
        grad_x=grad_x,
        grad_step=grad_step,
        grad_rate=grad_rate,
        grad_b=grad_b,
        grad_c=grad_c,
        grad_skip=grad_skip,
        block=block,
        softplus=softplus,
        reverse=reverse,
    )
    grad_a = summed(grad_rate.view(batch, states * pitch)).view(states, pitch)[:, :width].t().contiguous()
    rows = (_over_blocks(grad) for grad in (grad_b, grad_c))
    return grad_x, grad_step, grad_a, *rows, summed(grad_skip)[:width]


def _over_blocks(grad: Tensor) -> Tensor:
    """(blocks, B, L, N) -> (B, L, N)."""
    return grad[0] if len(grad) == 1 else summed(grad.flatten(1)).view(grad.shape[1:])


def _inputs(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor | None, mask: Tensor | None
) -> dict[str, Any]:
    """What both passes read, in the kernel's memory order, and its sizes."""
    batch, length, width = x.shape
    b, c, stride = _rows(b, c)
    return {
        "x": x.contiguous(),
        "step": step.contiguous(),
        "a": a.contiguous(),
        "b": b,
        "c": c,
        "skip": None if skip is None else skip.contiguous(),
        "mask": None if mask is None else mask.contiguous(),
        "batch": batch,
        "length": length,
        "width": width,
        "states": a.shape[1],
        "row_stride": stride,
    }


def _rows(b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, int]:
    """b and c as the kernel reads them, rows of consecutive numbers that are equally far apart in both, and how far."""
    stride = row_stride(b)
    if stride is None or not (b.stride() == c.stride() or stride == row_stride(c)):
        b, c = (tensor.clone(memory_format=torch.contiguous_format) for tensor in (b, c))
        return b, c, b.shape[2]
    return b, c, stride


def _block(batch: int, width: int, tasks: int) -> int:
    """Channels of a task: fewer when there would be fewer tasks than that; a multiple of 16."""
    block = BLOCK
    while block > 16 and batch * -(-width // block) < tasks:
        block //= 2
    return block


def _backward_block(batch: int, length: int, width: int, states: int) -> int:
    """The same by the shape alone, which has a say in the last bits of b's and c's gradients."""
    block = _block(batch, width, BACKWARD_TASKS)
    while block < BLOCK and length * states * block < BACKWARD_WORK:
        block *= 2
    return block


def _starts_of(x: Tensor, a: Tensor) -> Tensor:
    """Room for the state before each segment; zeros, for channels beyond the width are not written everywhere."""
    return x.new_zeros(len(x), -(-x.shape[1] // SEGMENT), a.shape[1], padded(x.shape[2]))


def _like(x: Tensor) -> Tensor:
    """The shape alone, packed."""
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:7], output[1])
    ctx.how = inputs[7:]


def _gradients(ctx: Any, grad_y: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    *tensors, starts = ctx.saved_tensors
    if grad_y is None:
        return (None,) * 9
    grads = _scan_backward(grad_y, *tensors, starts, *ctx.how)
    return *grads[:5], None if tensors[5] is None else grads[5], None, None, None


_TENSORS = "Tensor x, Tensor step, Tensor a, Tensor b, Tensor c, Tensor? skip, Tensor? mask"
_HOW = "bool softplus, bool reverse"

_scan = operator(f"scan({_TENSORS}, {_HOW}) -> Tensor", _run, lambda x, *_: _like(x))

_scan_backward = operator(
    f"scan_backward(Tensor grad_y, {_TENSORS}, Tensor starts, {_HOW}) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    lambda _, x, step, a, b, c, *__: (*map(_like, (x, step, a, b, c)), x.new_empty(x.shape[2])),
)

_scan_train = operator(
    f"scan_train({_TENSORS}, {_HOW}) -> (Tensor, Tensor)",
    _run_train,
    lambda x, _, a, *__: (_like(x), _starts_of(x, a)),
    (_keep, _gradients),
)

_scan_from = operator(
    "scan_from(Tensor x, Tensor delta, Tensor a, Tensor b, Tensor c, Tensor state) -> (Tensor, Tensor)",
    _run_from,
    lambda x, *tensors: (_like(x), _like(tensors[-1])),
)
