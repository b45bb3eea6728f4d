"""Neurons, the batch norm before them and the attention over their spikes, on the compiled kernels.

What the backward pass keeps is the input alone and, for the attention, its spikes as bits: (S, B, M, 3D) never exists.
"""

# Shapes: S spike steps, B pairs, M positions, D channels, H heads.

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikemba.ops.batch_norm import BatchNorm
from spikemba.ops.native.library import kernels, packed, parts, pointer, threads
from spikemba.ops.ranks import all_reduce

MAX_STEPS = 64
MAX_HEAD = 64
"""Channels of a head: its spikes are the bits of one word."""


class Neuron(ctypes.Structure):
    """The C struct of that name."""

    _fields_ = (
        ("leak", ctypes.c_float),
        ("gain", ctypes.c_float),
        ("threshold", ctypes.c_float),
        ("alpha", ctypes.c_float),
        ("soft", ctypes.c_int32),
        ("detach", ctypes.c_int32),
        ("surrogate", ctypes.c_int32),
    )


def masked_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance per channel over steps and real positions, and how many those are.

    x: (S, B, M, D) or (B, M, D).  mask: (B, M) bool.  Without a gradient; `BatchNorm` carries it.
    """
    x, real = x.contiguous(), packed(mask)
    steps = len(x) if x.dim() == 4 else 1
    batch, positions, width = x.shape[-3:]
    count = (mask.sum() * steps).clamp(min=1).float()
    n_parts = parts(positions)
    sums = x.new_empty(batch * n_parts, width)
    sizes = steps, batch, positions, width, n_parts, threads()
    kernels().masked_sums(*map(pointer, (x, real, None, sums)), *sizes)
    mean = sums.sum(0) / count
    kernels().masked_sums(*map(pointer, (x, real, mean, sums)), *sizes)
    return mean, sums.sum(0) / count, count


class Spikes(torch.autograd.Function):
    """((neuron, norm, steps), x, weight, bias, mask) -> trains, rates, counts.

    x: (S, B, M, D), or (B, M, D) with `steps`.  Returns trains: (S, B, M, D), rates: (B, M, D), counts: (D,).
    """

    @staticmethod
    def forward(
        ctx: Any, how: tuple[Neuron, BatchNorm | None, int | None], *tensors: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        (neuron, norm, steps), (x, weight, _, mask) = how, tensors
        x, mask = x.contiguous(), packed(mask)
        batch, positions, width = x.shape[-3:]
        n_parts = parts(positions)
        sizes = steps or len(x), batch, positions, width, n_parts, steps is not None
        trains = x.new_empty(sizes[0], batch, positions, width)
        rates, counts = x.new_empty(batch, positions, width), x.new_empty(batch * n_parts, width)
        scale, shift = _affine(norm)
        outputs = map(pointer, (trains, rates, counts))
        kernels().lif_forward(
            *map(pointer, (x, scale, shift, mask)), ctypes.addressof(neuron), *outputs, *sizes, threads()
        )
        ctx.save_for_backward(x, weight, scale, shift, mask)
        ctx.how = neuron, norm, sizes
        ctx.set_materialize_grads(False)
        return trains, rates, counts.sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, scale, shift, mask = ctx.saved_tensors
        neuron, norm, sizes = ctx.how
        given = [None if grad is None else grad.contiguous() for grad in grads]
        _, batch, _, width, n_parts, _ = sizes
        grad_x, sums = torch.empty_like(x), x.new_empty(2, batch * n_parts, width)
        inputs = map(pointer, (x, scale, shift, mask))
        outputs = map(pointer, (*given, grad_x, sums))
        kernels().lif_backward(*inputs, ctypes.addressof(neuron), *outputs, *sizes, threads())
        return None, *_norm_backward(grad_x, x, mask, weight, scale, norm, sums.sum(1)), None


class Attention(torch.autograd.Function):
    """((neuron, norm, steps, heads), x, weight, bias, mask, factor) -> attended, counts.

    x: (B, M, 3D).  factor: (B,).  Returns attended: (S, B, M, D), q (k^T v) of the spikes; counts: (3D,).
    """

    @staticmethod
    def forward(ctx: Any, how: tuple[Neuron, BatchNorm | None, int, int], *tensors: Any) -> tuple[Tensor, Tensor]:
        (neuron, norm, steps, heads), (x, weight, _, mask, factor) = how, tensors
        x, factor, mask = x.contiguous(), factor.contiguous(), packed(mask)
        batch, positions, width = x.shape[0], x.shape[1], x.shape[2] // 3
        sizes = steps, batch, positions, width, heads
        attended, counts = x.new_empty(steps, batch, positions, width), x.new_empty(batch, 3 * width)
        bits = torch.empty(3, steps, batch, heads, positions, dtype=torch.int64)
        scale, shift = _affine(norm)
        inputs = (*map(pointer, (x, scale, shift, mask)), ctypes.addressof(neuron), pointer(factor))
        kernels().attention_forward(*inputs, *map(pointer, (attended, bits, counts)), *sizes, threads())
        ctx.save_for_backward(x, weight, scale, shift, mask, factor, bits)
        ctx.how = neuron, norm, sizes
        ctx.set_materialize_grads(False)
        return attended, counts.sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_counts: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, scale, shift, mask, factor, bits = ctx.saved_tensors
        neuron, norm, sizes = ctx.how
        grad = x.new_zeros(sizes[:4]) if grad is None else grad.contiguous()
        grad_counts = None if grad_counts is None else grad_counts.contiguous()
        grad_x, sums = torch.empty_like(x), x.new_empty(2, len(x), x.shape[2])
        inputs = (*map(pointer, (x, scale, shift, mask)), ctypes.addressof(neuron), pointer(factor))
        outputs = map(pointer, (grad, bits, grad_counts, grad_x, sums))
        if kernels().attention_backward(*inputs, *outputs, *sizes, threads()):
            raise MemoryError("no memory for the backward pass of the attention over spikes")
        return None, *_norm_backward(grad_x, x, mask, weight, scale, norm, sums.sum(1)), None, None


def _affine(norm: BatchNorm | None) -> tuple[Tensor | None, Tensor | None]:
    """The batch norm as scale and shift per channel."""
    if norm is None:
        return None, None
    scale = norm.weight * torch.rsqrt(norm.var + norm.eps)
    return scale, norm.bias - norm.mean * scale


def _norm_backward(
    grad: Tensor,
    x: Tensor,
    mask: Tensor | None,
    weight: Tensor | None,
    scale: Tensor | None,
    norm: BatchNorm | None,
    sums: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """From the gradient of the current to those of x (in place), weight and bias. sums: of it, and of it times x."""
    if norm is None:
        return grad, None, None
    assert weight is not None
    assert scale is not None
    mean, inverse = norm.mean, torch.rsqrt(norm.var + norm.eps)
    by_scale = sums[1] - mean * sums[0]
    constant = slope = None
    if norm.count is not None:
        every = all_reduce(sums) if norm.over_ranks else sums
        slope = -weight * (every[1] - mean * every[0]) * inverse.pow(3) / norm.count
        constant = -scale * every[0] / norm.count - slope * mean
    steps = len(x) if x.dim() == 4 else 1
    tensors = map(pointer, (grad, x, mask, scale, constant, slope))
    kernels().norm_backward(*tensors, steps, *x.shape[-3:], threads())
    return grad, by_scale * inverse, sums[0]
