"""Leaky integrate-and-fire neurons over several spike steps, without state between calls.

    U[t] = (1 - 1/tau) V[t-1] + g I[t],   S[t] = 1[U[t] >= threshold],   V[t] = U[t] (1 - S[t]) or U[t] - threshold S[t]

with g = 1/tau when the input decays and 1 when it does not. On a CPU the steps run as one autograd Function, compiled
where it can be; elsewhere spikingjelly picks its kernel. All use spikingjelly's surrogate derivatives and give the same
spikes.
"""

# Shapes: S spike steps, B pairs, M positions, D channels; the axes of `lif_spikes` are free but for the steps.

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikemba.config import Config
from spikemba.errors import ShapeError
from spikemba.libraries import library
from spikemba.ops.batch_norm import BatchNorm
from spikemba.ops.native import spiking as compiled
from spikemba.ops.native.library import on_native
from spikemba.ops.precision import at_least_float32, in_full_precision
from spikemba.ops.shapes import check_device, check_floating, fitted

# in the order of the enumeration in native/spiking.c
SurrogateName = Literal[
    "atan", "sigmoid", "erf", "softsign", "piecewise_quadratic", "piecewise_exp", "superspike", "rect"
]


_SURROGATES = get_args(SurrogateName)


class NeuronConfig(Config):
    """A layer of leaky integrate-and-fire neurons."""

    tau: float = Field(2.0, gt=1.0, le=1e6)
    """Membrane time constant, in spike steps."""
    threshold: float = Field(1.0, gt=0, le=1e6)
    """Membrane potential at which a neuron fires."""
    decay_input: bool = False
    """Divide the input by tau. Off, unit-variance currents fire at 22 % instead of 7 %, and fewer channels die."""
    reset: Literal["hard", "soft"] = "hard"
    """After a spike: back to zero (hard), or subtract the threshold (soft)."""
    detach_reset: bool = True
    """No gradient through the reset."""
    surrogate: SurrogateName = "atan"
    """Shape of the derivative that stands in for the step function's."""
    surrogate_alpha: float = Field(2.0, gt=0, le=1000)
    """Steepness of the surrogate."""


def lif_spikes(
    current: Tensor, neuron: NeuronConfig, n_spike_steps: int | None = None, *, backend: str | None = None
) -> Tensor:
    """Spikes of neurons that start at rest.

    current: (S, ...), or (...) together with n_spike_steps = S: the same current at every step, never copied.
    backend: "native" (compiled), "fused" (our Function in plain PyTorch) or "spikingjelly"; by default the first that
    fits on CPU tensors and spikingjelly on others.
    Returns spikes: (S, ...) of 0 and 1 in current's dtype; computed in float32 (float64 for float64).
    Raises ShapeError when there is no step.
    """
    check_floating("current", current)
    n = len(current) if n_spike_steps is None and current.dim() else (n_spike_steps or 0)
    if n < 1:
        raise ShapeError(f"{n} spike steps for a current of shape {tuple(current.shape)}; expected at least 1")
    dtype = torch.float64 if current.dtype == torch.float64 else torch.float32
    kind = backend or _backend(current, n)
    if kind == "native":
        flat = current.float().reshape(*current.shape[: n_spike_steps is None], 1, 1, -1)
        trains, _, _ = compiled.spikes_native(flat, None, _struct(neuron), None, n_spike_steps)
        spikes = trains.reshape(n, *current.shape[n_spike_steps is None :])
    elif kind == "fused":
        spikes = _Lif.apply(current.to(dtype), neuron, n_spike_steps)
    else:
        spikes = _spikingjelly(current.to(dtype), neuron, n_spike_steps)
    return spikes.to(current.dtype)


def _backend(current: Tensor, n_spike_steps: int) -> str:
    if current.device.type != "cpu":
        return "spikingjelly" if current.numel() else "fused"  # a GPU kernel cannot be started for nothing
    return "native" if n_spike_steps <= compiled.MAX_STEPS and on_native(current) else "fused"


@dataclass(frozen=True)
class Layer:
    """What a layer of neurons fired."""

    trains: Tensor
    """(S, B, M, D) of 0 and 1."""
    rates: Tensor
    """(B, M, D): mean over the steps."""
    counts: Tensor
    """(D,): spikes of each channel, over steps and real positions."""


def spiking_layer(x: Tensor, mask: Tensor, neuron: NeuronConfig, norm: BatchNorm | None) -> Layer:
    """Normalise x, (S, B, M, D), if there is a norm, and let it drive a layer of neurons; padding never fires."""
    if x.dim() != 4 or len(x) < 1:
        raise ShapeError(f"x is {tuple(x.shape)}; expected (S, B, M, D) with S >= 1")
    check_floating("x", x)
    mask = _mask_for(mask, x)
    _check_norm(norm, x)
    if len(x) <= compiled.MAX_STEPS and on_native(x):
        return Layer(*compiled.spikes_native(x.float(), mask, _struct(neuron), norm, None))
    with in_full_precision(x):
        x = at_least_float32(x)
        trains = lif_spikes(x if norm is None else norm(x, mask), neuron) * mask[..., None]
        return Layer(trains, trains.mean(0), trains.sum((0, 1, 2)))


def spiking_attention(
    x: Tensor,
    mask: Tensor,
    neuron: NeuronConfig,
    norm: BatchNorm | None,
    n_spike_steps: int,
    n_heads: int,
    factor: Tensor,
) -> tuple[Tensor, Tensor]:
    """factor q (k^T v), where q, k and v are the spikes that the same current x drives at every step.

    x: (B, M, 3D), queries, keys and values; normalised first, if there is a norm.  mask: (B, M) bool, True = real.
    factor: (B,).  Returns the attention, (S, B, M, D), zero at padding, and the spikes of each channel, (3D,).
    No softmax; cost is linear in M, and products of spikes are sums of ones: exact whatever the order.
    """
    width = x.shape[-1] // 3
    if x.dim() != 3 or x.shape[2] % 3 or n_heads < 1 or width % n_heads:
        raise ShapeError(f"x is {tuple(x.shape)}; expected (B, M, 3D) where {n_heads} heads divide D")
    if n_spike_steps < 1:
        raise ShapeError(f"{n_spike_steps} spike steps; expected at least 1")
    check_floating("x", x)
    mask = _mask_for(mask, x)
    factor = fitted("factor", factor, (len(x),), x)
    _check_norm(norm, x)
    small = n_spike_steps <= compiled.MAX_STEPS and width // n_heads <= compiled.MAX_HEAD
    if small and not factor.requires_grad and on_native(x):
        how = _struct(neuron), norm, n_spike_steps, n_heads
        return compiled.attention_native(x.float(), mask, *how, factor.float())
    with in_full_precision(x):  # counts of spikes above 256 are no bfloat16 numbers
        x = at_least_float32(x)
        current = x if norm is None else norm(x, mask)
        spikes = lif_spikes(current, neuron, n_spike_steps) * mask[..., None]
        heads = (z.unflatten(-1, (n_heads, -1)).transpose(2, 3) for z in spikes.chunk(3, dim=-1))
        q, k, v = heads  # (S, B, H, M, d)
        attended = (q @ (k.transpose(-1, -2) @ v)).transpose(2, 3).flatten(3)
        return attended * factor[:, None, None], spikes.sum((0, 1, 2))


def _mask_for(mask: Tensor, x: Tensor) -> Tensor:
    """The mask as (B, M) of bool for x, (..., B, M, D)."""
    mask = fitted("mask", mask, x.shape[-3:-1], x)
    return mask if mask.dtype is torch.bool else mask.bool()


def _check_norm(norm: BatchNorm | None, x: Tensor) -> None:
    """Raises ShapeError when a norm is not one of x's channels."""
    if norm is None:
        return
    shape = x.shape[-1:]
    parts = {"weight": norm.weight, "bias": norm.bias, "mean": norm.mean, "var": norm.var}
    for name, tensor in parts.items():
        check_device(f"the norm's {name}", tensor, x)
        if tensor.shape != shape:
            raise ShapeError(f"the norm's {name} is {tuple(tensor.shape)}; expected {tuple(shape)}")


def _struct(neuron: NeuronConfig) -> compiled.Neuron:
    return compiled.Neuron(
        leak=1 - 1 / neuron.tau,
        gain=1 / neuron.tau if neuron.decay_input else 1.0,
        threshold=neuron.threshold,
        alpha=neuron.surrogate_alpha,
        soft=neuron.reset == "soft",
        detach=neuron.detach_reset,
        surrogate=_SURROGATES.index(neuron.surrogate),
    )


def _spikingjelly(current: Tensor, neuron: NeuronConfig, n_spike_steps: int | None) -> Tensor:
    with library("spikingjelly"):
        from spikingjelly.activation_based import functional

    if n_spike_steps is not None:
        current = current.expand(n_spike_steps, *current.shape)
    spikes: Tensor = functional.lif_multi_step(
        current,
        torch.zeros_like(current[0]),
        tau=neuron.tau,
        decay_input=neuron.decay_input,
        v_threshold=neuron.threshold,
        v_reset=0.0 if neuron.reset == "hard" else None,
        surrogate_function=_surrogate(neuron.surrogate)(alpha=neuron.surrogate_alpha),
        detach_reset=neuron.detach_reset,
    )[0]
    return spikes


class _Lif(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, current: Tensor, neuron: NeuronConfig, n_spike_steps: int | None) -> Tensor:
        leak, gain = 1 - 1 / neuron.tau, (1 / neuron.tau if neuron.decay_input else 1.0)
        steps = current.unbind(0) if n_spike_steps is None else (current,) * n_spike_steps
        membrane = current.new_empty(len(steps), *steps[0].shape)  # U: before the reset
        spikes = torch.empty_like(membrane)
        rest = torch.zeros_like(steps[0])
        for input_t, u, s in zip(steps, membrane.unbind(0), spikes.unbind(0), strict=True):
            torch.add(torch.mul(rest, leak, out=rest), input_t, alpha=gain, out=u)
            torch.ge(u, neuron.threshold, out=s)
            if neuron.reset == "hard":
                torch.addcmul(u, u, s, value=-1, out=rest)
            else:
                torch.add(u, s, alpha=-neuron.threshold, out=rest)
        ctx.save_for_backward(membrane)
        ctx.neuron, ctx.constant, ctx.leak, ctx.gain = neuron, n_spike_steps is not None, leak, gain
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None, None]:
        (membrane,), neuron = ctx.saved_tensors, ctx.neuron
        derivative = _surrogate(neuron.surrogate).backward
        alpha = neuron.surrogate_alpha
        grad_current = torch.zeros_like(membrane[0]) if ctx.constant else torch.empty_like(membrane)
        grad_rest = torch.zeros_like(membrane[0])  # gradient of V, the membrane after the reset
        for t in range(len(membrane) - 1, -1, -1):
            u, over = membrane[t], membrane[t] - neuron.threshold
            if neuron.reset == "hard":
                through = torch.where(over >= 0, 0, grad_rest)
                at_reset = -u * grad_rest
            else:
                through = grad_rest
                at_reset = -neuron.threshold * grad_rest
            at_spike = grad_spikes[t] if neuron.detach_reset else grad_spikes[t] + at_reset
            grad_u = derivative(at_spike, over, alpha) + through
            if ctx.constant:
                grad_current.add_(grad_u, alpha=ctx.gain)
            else:
                torch.mul(grad_u, ctx.gain, out=grad_current[t])
            grad_rest = grad_u * ctx.leak
        return grad_current, None, None


def _surrogate(name: SurrogateName) -> Any:
    """Spikingjelly's class of that name; its `backward(gradient, over, alpha)` is the derivative times the gradient."""
    with library("spikingjelly"):
        from spikingjelly.activation_based import surrogate

    return {
        "atan": surrogate.ATan,
        "sigmoid": surrogate.Sigmoid,
        "erf": surrogate.Erf,
        "softsign": surrogate.SoftSign,
        "piecewise_quadratic": surrogate.PiecewiseQuadratic,
        "piecewise_exp": surrogate.PiecewiseExp,
        "superspike": surrogate.SuperSpike,
        "rect": surrogate.Rect,
    }[name]
