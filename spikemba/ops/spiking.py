"""Leaky integrate-and-fire neurons over several spike steps, without state between calls.

    U[t] = (1 - 1/tau) V[t-1] + g I[t],   S[t] = 1[U[t] >= threshold],   V[t] = U[t] (1 - S[t]) or U[t] - threshold S[t]

with g = 1/tau when the input decays and 1 when it does not. On a CPU the steps run as one autograd Function that keeps
only U; elsewhere spikingjelly picks its kernel. Both use spikingjelly's surrogate derivatives and give the same spikes.
"""

# Shapes: S spike steps; the other axes are free.

from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikemba.config import Config
from spikemba.errors import ShapeError

SurrogateName = Literal[
    "atan", "sigmoid", "erf", "softsign", "piecewise_quadratic", "piecewise_exp", "superspike", "rect"
]


class NeuronConfig(Config):
    """A layer of leaky integrate-and-fire neurons."""

    tau: float = Field(2.0, gt=1.0)
    """Membrane time constant, in spike steps."""
    threshold: PositiveFloat = 1.0
    """Membrane potential at which a neuron fires."""
    decay_input: bool = False
    """Divide the input by tau. Off, unit-variance currents fire at 22 % instead of 7 %, and fewer channels die."""
    reset: Literal["hard", "soft"] = "hard"
    """After a spike: back to zero (hard), or subtract the threshold (soft)."""
    detach_reset: bool = True
    """No gradient through the reset."""
    surrogate: SurrogateName = "atan"
    """Shape of the derivative that stands in for the step function's."""
    surrogate_alpha: PositiveFloat = 2.0
    """Steepness of the surrogate."""


def lif_spikes(
    current: Tensor, neuron: NeuronConfig, n_steps: int | None = None, *, backend: str | None = None
) -> Tensor:
    """Spikes of neurons that start at rest.

    current: (S, ...), or (...) together with n_steps = S: the same current at every step, never copied.
    backend: "fused" (our Function) or "spikingjelly"; by default fused on CPU tensors and spikingjelly on others.
    Returns spikes: (S, ...) of 0 and 1 in current's dtype; computed in float32 (float64 for float64).
    Raises ShapeError when there is no step.
    """
    n = len(current) if n_steps is None and current.dim() else (n_steps or 0)
    if n < 1:
        raise ShapeError(f"{n} spike steps for a current of shape {tuple(current.shape)}; expected at least 1")
    dtype = torch.float64 if current.dtype == torch.float64 else torch.float32
    if (backend or ("fused" if current.device.type == "cpu" else "spikingjelly")) == "fused":
        spikes: Tensor = _Lif.apply(current.to(dtype), neuron, n_steps)  # type: ignore[no-untyped-call]
    else:
        spikes = _spikingjelly(current.to(dtype), neuron, n_steps)
    return spikes.to(current.dtype)


def _spikingjelly(current: Tensor, neuron: NeuronConfig, n_steps: int | None) -> Tensor:
    from spikingjelly.activation_based import functional

    if n_steps is not None:
        current = current.expand(n_steps, *current.shape)
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
    def forward(ctx: Any, current: Tensor, neuron: NeuronConfig, n_steps: int | None) -> Tensor:
        leak, gain = 1 - 1 / neuron.tau, (1 / neuron.tau if neuron.decay_input else 1.0)
        steps = current.unbind(0) if n_steps is None else (current,) * n_steps
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
        ctx.neuron, ctx.constant, ctx.leak, ctx.gain = neuron, n_steps is not None, leak, gain
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
