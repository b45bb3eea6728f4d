"""Depthwise causal convolution, SiLU and mask in one step, in the (B, L, E) layout of the scan; the gate behind it."""

# Shapes: B pairs, L positions, E inner width, K taps.

import torch
import torch.nn.functional as F
from torch import Tensor

from spikemba.errors import ShapeError
from spikemba.ops.cuda_kernels import causal_conv_cuda, official_conv
from spikemba.ops.native.conv import MAX_TAPS, conv_both_native, conv_native, gate_native
from spikemba.ops.native.library import on_native
from spikemba.ops.precision import at_least_float32
from spikemba.ops.shapes import check_floating, expanded, fitted, fitted_mask, together


def causal_conv_silu(
    x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None = None, *, reverse: bool = False
) -> Tensor:
    """silu(conv(x * mask)) * mask, where position t sees t and the K - 1 positions before it.

    x: (B, L, E).  weight: (E, 1, K), as torch's Conv1d and Mamba's checkpoints hold it.  bias: (E,).
    mask: (B, L) bool, True = real.  reverse: position t sees t and the positions after it.
    The second mask is needed: bias and SiLU make padding non-zero again.
    Raises ShapeError when the shapes do not fit; weight, bias and mask are broadcast.
    """
    weight, bias, mask = *_fitted(x, weight, bias), fitted_mask(mask, x)
    if _fits(x, weight):
        return conv_native(x.float(), mask, weight.float(), bias.float(), reverse=reverse).to(x.dtype)
    return _elsewhere(x, weight, bias, mask, reverse)


def causal_conv_silu_both(
    x: Tensor, forward: tuple[Tensor, Tensor], backward: tuple[Tensor, Tensor], mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`causal_conv_silu` with one weight and bias, and reversed with another pair of them; x is read once."""
    forward, backward, mask = _fitted(x, *forward), _fitted(x, *backward), fitted_mask(mask, x)
    if _fits(x, forward[0]) and forward[0].shape == backward[0].shape:
        ahead, behind = ((weight.float(), bias.float()) for weight, bias in (forward, backward))
        there, back = conv_both_native(x.float(), mask, ahead, behind)
        return there.to(x.dtype), back.to(x.dtype)
    return _elsewhere(x, *forward, mask, False), _elsewhere(x, *backward, mask, True)


def gated_sum(first: Tensor, second: Tensor | None, gate: Tensor) -> Tensor:
    """(first + second) * silu(gate), broadcast to one shape. Raises ShapeError when they do not fit."""
    shape = together(first=first, second=second, gate=gate)
    if on_native(first, second, gate):
        y2 = None if second is None else expanded(second.float(), shape)
        return gate_native(expanded(first.float(), shape), y2, expanded(gate.float(), shape)).to(first.dtype)
    return (first if second is None else first + second) * F.silu(gate)


def causal_conv_silu_from(x: Tensor, weight: Tensor, bias: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """The convolution of positions that follow others, and what to hand to the next call; for streaming.

    before: (B, K - 1, E), the positions before x, as the call before returned them; None at the start.
    """
    weight, bias = _fitted(x, weight, bias)
    past = weight.shape[-1] - 1
    if before is None:
        before = x.new_zeros(len(x), past, x.shape[2])
    before = fitted("before", before, (len(x), past, x.shape[2]), x)
    joined = torch.cat((before, x), dim=1)
    return causal_conv_silu(joined, weight, bias)[:, past:], joined[:, joined.shape[1] - past :]


def _fitted(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias for each of x's channels. Raises ShapeError when they do not fit."""
    if x.dim() != 3:
        raise ShapeError(f"x is {tuple(x.shape)}; expected (B, L, E)")
    check_floating("x", x)
    if weight.dim() != 3 or weight.shape[-1] < 1:
        raise ShapeError(f"weight is {tuple(weight.shape)}; expected ({x.shape[2]}, 1, K) with K >= 1")
    width = x.shape[2]
    return fitted("weight", weight, (width, 1, weight.shape[-1]), x), fitted("bias", bias, (width,), x)


def _fits(x: Tensor, weight: Tensor) -> bool:
    return weight.shape[-1] <= MAX_TAPS and on_native(x)


def _elsewhere(x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, reverse: bool) -> Tensor:
    """Where the compiled kernels do not fit: the official CUDA kernel, or plain PyTorch."""
    fits = x.is_cuda and x.dtype != torch.float64 and x.numel() and weight.shape[-1] <= 4
    if fits and official_conv() is not None:
        return causal_conv_cuda(x, weight, bias, mask, reverse=reverse)
    return _shifted_sums(x, weight, bias, mask, reverse)


def _shifted_sums(x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, reverse: bool) -> Tensor:
    """Shifted multiply-adds: a depthwise Conv1d would transpose to (B, E, L) and back for the same sums."""
    dtype = x.dtype
    x, weight, bias = at_least_float32(x), at_least_float32(weight), at_least_float32(bias)
    if mask is not None:
        x = x * mask[..., None]
    taps = weight.shape[-1]
    length = x.shape[1]
    padded = F.pad(x, (0, 0, 0, taps - 1) if reverse else (0, 0, taps - 1, 0))
    total = bias.expand_as(x)
    for k, tap in enumerate(weight[:, 0].unbind(1)):
        first = taps - 1 - k if reverse else k
        total = total.addcmul(padded[:, first : first + length], tap)
    out = F.silu(total)
    return (out if mask is None else out * mask[..., None]).to(dtype)
