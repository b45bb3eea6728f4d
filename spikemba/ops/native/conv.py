"""Causal convolution with SiLU and mask, and the gate behind the scan, on the compiled kernels."""

# Shapes: B pairs, L positions, E inner width, K taps.

from typing import Any

import torch
from torch import Tensor

from spikemba.ops.native.door import call, summed
from spikemba.ops.native.kernels import MAX_TAPS
from spikemba.ops.native.library import parts
from spikemba.ops.native.operators import operator

__all__ = ["MAX_TAPS", "conv_both_native", "conv_native", "gate_native"]


def conv_native(u: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor, *, reverse: bool) -> Tensor:
    """Same result as `causal_conv_silu`, for float32 CPU tensors; the library must be there."""
    out: Tensor = _conv(u.contiguous(), mask, weight, bias, reverse)
    return out


def conv_both_native(
    u: Tensor, mask: Tensor | None, ahead: tuple[Tensor, Tensor], behind: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Same result as `causal_conv_silu_both`, for float32 CPU tensors; the library must be there."""
    out, out2 = _conv_both(u.contiguous(), mask, *ahead, *behind)
    return out, out2


def gate_native(y: Tensor, y2: Tensor | None, z: Tensor) -> Tensor:
    """(y + y2) silu(z), all float32 CPU tensors of one shape; the library must be there."""
    out: Tensor = _gate(y.contiguous(), None if y2 is None else y2.contiguous(), z.contiguous())
    return out


def _run_conv(u: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor, reverse: bool) -> Tensor:
    return _forward(u, mask, weight, bias, None, None, reverse)[0]


def _run_both(u: Tensor, mask: Tensor | None, *parameters: Tensor) -> tuple[Tensor, ...]:
    return _forward(u, mask, *parameters, False)


def _forward(u: Tensor, mask: Tensor | None, *how: Any) -> tuple[Tensor, ...]:
    inputs = _inputs(u, mask, *how)
    directions = 1 if inputs["weight2"] is None else 2
    outs = [_empty(u) for _ in range(directions)]
    call("conv_forward", **inputs, out=outs[0], out2=outs[1] if len(outs) > 1 else None, parts=parts(u.shape[1]))
    return tuple(outs)


def _run_conv_backward(
    grad: Tensor, u: Tensor, mask: Tensor | None, weight: Tensor, bias: Tensor, reverse: bool
) -> tuple[Tensor, ...]:
    return _backward(grad, None, u, mask, weight, bias, None, None, reverse)


def _run_both_backward(
    grad: Tensor, grad2: Tensor, u: Tensor, mask: Tensor | None, *parameters: Tensor
) -> tuple[Tensor, ...]:
    return _backward(grad, grad2, u, mask, *parameters, False)


def _backward(grad: Tensor, grad2: Tensor | None, u: Tensor, mask: Tensor | None, *how: Any) -> tuple[Tensor, ...]:
    """The gradients of u, and of weight and bias of each direction."""
    inputs = _inputs(u, mask, *how)
    (batch, _, width), n_taps = u.shape, inputs["taps"]
    grad_u = _empty(u)
    sums = [(u.new_empty(batch, n_taps, width), u.new_empty(batch, width)) for _ in range(1 if grad2 is None else 2)]
    second = sums[1] if len(sums) > 1 else (None, None)
    call(
        "conv_backward",
        **inputs,
        grad=grad.contiguous(),
        grad2=None if grad2 is None else grad2.contiguous(),
        grad_u=grad_u,
        grad_weight=sums[0][0],
        grad_bias=sums[0][1],
        grad_weight2=second[0],
        grad_bias2=second[1],
    )
    grads = [grad_u]
    for weight, bias in sums:
        grads += [summed(weight.flatten(1)).view(n_taps, width).t().contiguous()[:, None], summed(bias)]
    return tuple(grads)


def _inputs(
    u: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    weight2: Tensor | None,
    bias2: Tensor | None,
    reverse: bool,
) -> dict[str, Any]:
    """What both passes read, in the kernel's memory order, and its sizes."""
    batch, length, width = u.shape
    return {
        "u": u.contiguous(),
        "mask": None if mask is None else mask.contiguous(),
        "weight": _taps(weight),
        "bias": bias.contiguous(),
        "weight2": None if weight2 is None else _taps(weight2),
        "bias2": None if bias2 is None else bias2.contiguous(),
        "batch": batch,
        "length": length,
        "width": width,
        "taps": weight.shape[-1],
        "reverse": reverse,
    }


def _taps(weight: Tensor) -> Tensor:
    """(E, 1, K) as the kernel reads it, (K, E)."""
    return weight.squeeze(1).t().contiguous()


def _run_gate(y: Tensor, y2: Tensor | None, z: Tensor) -> Tensor:
    out = _empty(y)
    y2 = None if y2 is None else _flat(y2)
    call("gate_forward", y=_flat(y), y2=y2, z=_flat(z), out=out.view(-1), count=y.numel())
    return out


def _run_gate_backward(grad: Tensor, y: Tensor, y2: Tensor | None, z: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of y, which is that of y2 too, and of z."""
    grad_y, grad_z = _empty(y), _empty(y)
    inputs = {"y": _flat(y), "y2": None if y2 is None else _flat(y2), "z": _flat(z), "grad": _flat(grad)}
    call("gate_backward", **inputs, grad_y=grad_y.view(-1), grad_z=grad_z.view(-1), count=y.numel())
    return grad_y, grad_z


def _flat(x: Tensor) -> Tensor:
    return x.contiguous().view(-1)


def _empty(x: Tensor) -> Tensor:
    """Room for as much, packed."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _like(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The shapes alone, packed."""
    return tuple(x.new_empty(x.shape) for x in tensors)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    tensors = [one for one in inputs if not isinstance(one, bool)]
    ctx.save_for_backward(*tensors)
    ctx.how = inputs[len(tensors) :]


def _conv_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    grad_u, *grads = _conv_backward(grad, *ctx.saved_tensors, *ctx.how)
    return grad_u, None, *grads, None


def _both_gradients(ctx: Any, grad: Tensor, grad2: Tensor) -> tuple[Tensor | None, ...]:
    grad_u, *grads = _conv_both_backward(grad, grad2, *ctx.saved_tensors)
    return grad_u, None, *grads


def _gate_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    y, y2, z = ctx.saved_tensors
    grad_y, grad_z = _gate_backward(grad, y, y2, z)
    return grad_y, None if y2 is None else grad_y, grad_z


_INPUT = "Tensor u, Tensor? mask, Tensor weight, Tensor bias"
_INPUTS = f"{_INPUT}, Tensor weight2, Tensor bias2"

_conv = operator(
    f"conv({_INPUT}, bool reverse) -> Tensor", _run_conv, lambda u, *_: _like(u)[0], (_keep, _conv_gradients)
)
_conv_backward = operator(
    f"conv_backward(Tensor grad, {_INPUT}, bool reverse) -> (Tensor, Tensor, Tensor)",
    _run_conv_backward,
    lambda _, u, __, weight, bias, ___: _like(u, weight, bias),
)
_conv_both = operator(
    f"conv_both({_INPUTS}) -> (Tensor, Tensor)", _run_both, lambda u, *_: _like(u, u), (_keep, _both_gradients)
)
_conv_both_backward = operator(
    f"conv_both_backward(Tensor grad, Tensor grad2, {_INPUTS}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _run_both_backward,
    lambda _, __, u, ___, *parameters: _like(u, *parameters),
)
_gate = operator(
    "gate(Tensor y, Tensor? y2, Tensor z) -> Tensor", _run_gate, lambda y, *_: _like(y)[0], (_keep, _gate_gradients)
)
_gate_backward = operator(
    "gate_backward(Tensor grad, Tensor y, Tensor? y2, Tensor z) -> (Tensor, Tensor)",
    _run_gate_backward,
    lambda _, y, __, z: _like(y, z),
)
