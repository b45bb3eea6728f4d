"""Neurons, the batch norm before them and the attention over their spikes, on the compiled kernels.

What the backward pass keeps is the input alone and, for the attention, its spikes as bits: (S, B, M, 3D) never exists.
"""

# Shapes: S spike steps, B pairs, M positions, D channels, H heads.

from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikemba.ops.batch_norm import BatchNorm
from spikemba.ops.native.door import call, summed
from spikemba.ops.native.kernels import MAX_HEAD, MAX_STEPS
from spikemba.ops.native.library import parts
from spikemba.ops.native.operators import differentiated, operator
from spikemba.ops.ranks import all_reduce

__all__ = ["MAX_HEAD", "MAX_STEPS", "Neuron", "attention_native", "masked_moments", "spikes_native"]


class Neuron(NamedTuple):
    """The C struct of that name."""

    leak: float
    gain: float
    threshold: float
    alpha: float
    soft: bool
    detach: bool
    surrogate: int


def masked_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance per channel over steps and real positions, and how many those are.

    x: (S, B, M, D) or (B, M, D).  mask: (B, M) bool.  Without a gradient; `BatchNorm` carries it.
    """
    mean, var, count = _moments(x.detach(), mask)
    return mean, var, count


def spikes_native(
    x: Tensor, mask: Tensor | None, neuron: Neuron, norm: BatchNorm | None, steps: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """x: (S, B, M, D), or (B, M, D) with `steps`.  Returns trains: (S, B, M, D), rates: (B, M, D), counts: (D,)."""
    tensors, eps, over_ranks = _parts_of(norm)
    trains, rates, counts = _spikes(x.contiguous(), *tensors, mask, steps or 0, eps, over_ranks, *neuron)
    return trains, rates, counts


def attention_native(
    x: Tensor, mask: Tensor | None, neuron: Neuron, norm: BatchNorm | None, steps: int, heads: int, factor: Tensor
) -> tuple[Tensor, Tensor]:
    """x: (B, M, 3D).  factor: (B,), without a gradient.

    Returns attended: (S, B, M, D), q (k^T v) of the spikes, and counts: (3D,).
    """
    tensors, eps, over_ranks = _parts_of(norm)
    given = x.contiguous(), *tensors, mask, factor, steps, heads, eps, over_ranks, *neuron
    if differentiated(x, *tensors[:2]):
        attended, counts, _ = _attention_train(*given)
    else:
        attended, counts = _attention(*given)
    return attended, counts


def _parts_of(norm: BatchNorm | None) -> tuple[tuple[Tensor | None, ...], float, bool]:
    """A norm's tensors, its epsilon and whether its statistics are those of all processes."""
    if norm is None:
        return (None,) * 5, 0.0, False
    count = None if norm.count is None else norm.count.float()
    return (norm.weight, norm.bias, norm.mean, norm.var, count), norm.eps, norm.over_ranks


class _Norm(NamedTuple):
    """The batch norm as an operator's arguments; without one, all are None."""

    weight: Tensor | None
    bias: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    n: Tensor | None
    eps: float
    over_ranks: bool

    def affine(self) -> dict[str, Tensor | None]:
        """Scale and shift per channel."""
        if self.weight is None or self.bias is None or self.mean is None or self.var is None:
            return {"scale": None, "shift": None}
        scale = self.weight * torch.rsqrt(self.var + self.eps)
        return {"scale": scale, "shift": self.bias - self.mean * scale}

    def backward(
        self, grad: Tensor, x: Tensor, mask: Tensor | None, sums: Tensor, scale: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From the gradient of the current to those of x (in place), weight and bias.

        sums: (2, D), of that gradient, and of it times x.  scale: of `affine`. Without a norm: as of one that changes
        nothing.
        """
        total, by_x = sums
        if self.weight is None or self.mean is None or self.var is None or scale is None:
            return grad, by_x.clone(), total
        inverse = torch.rsqrt(self.var + self.eps)
        by_scale = by_x - self.mean * total
        constant = slope = None
        if self.n is not None:
            total_of_all, by_scale_of_all = total, by_scale
            if self.over_ranks:
                total_of_all, by_x = all_reduce(sums)
                by_scale_of_all = by_x - self.mean * total_of_all
            slope = -self.weight * by_scale_of_all * inverse.pow(3) / self.n
            constant = -scale * total_of_all / self.n - slope * self.mean
        steps = x.shape[:-3].numel()
        shaped = {"grad": grad.view(steps, *x.shape[-3:]), "x": x.view(steps, *x.shape[-3:])}
        channel = {"scale": scale, "constant": constant, "slope": slope}
        call("norm_backward", **shaped, mask=mask, **channel, **_sizes(steps, *x.shape[-3:]))
        return grad, by_scale * inverse, total


def _run_moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, mask = x.contiguous(), mask.contiguous()
    steps, n_parts = x.shape[:-3].numel(), parts(x.shape[-2])
    batch, positions, width = x.shape[-3:]
    count = (mask.sum() * steps).clamp(min=1).float()
    sums = x.new_empty(batch * n_parts, width)
    given = {"x": x.view(steps, batch, positions, width), "mask": mask, "sums": sums, "parts": n_parts}
    given |= _sizes(steps, batch, positions, width)
    call("masked_sums", **given, centre=None)
    mean = summed(sums) / count
    call("masked_sums", **given, centre=mean)
    return mean, summed(sums) / count, count


def _run_spikes(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    x = x.contiguous()
    norm, mask, steps, neuron = _spike_arguments(rest)
    sizes = _spike_sizes(x, steps)
    batch, positions, width = x.shape[-3:]
    trains = x.new_empty(sizes["steps"], batch, positions, width)
    rates, counts = x.new_empty(batch, positions, width), x.new_empty(batch * sizes["parts"], width)
    given = {"x": _with_steps(x), "mask": mask, "trains": trains, "rates": rates, "counts": counts}
    call("lif_forward", **given, **norm.affine(), **sizes, **neuron)
    return trains, rates, summed(counts)


def _run_spikes_backward(
    grad_trains: Tensor | None, grad_rates: Tensor | None, grad_counts: Tensor | None, x: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x and of the norm's weight and bias."""
    x = x.contiguous()
    norm, mask, steps, neuron = _spike_arguments(rest)
    sizes = _spike_sizes(x, steps)
    grad_x, sums = x.new_empty(x.shape), x.new_empty(2, x.shape[-3] * sizes["parts"], x.shape[-1])
    grads = {"grad_trains": grad_trains, "grad_rates": grad_rates, "grad_counts": grad_counts}
    given = {"x": _with_steps(x), "mask": mask, "grad_in": _with_steps(grad_x), "sums": sums}
    given |= {name: None if grad is None else grad.contiguous() for name, grad in grads.items()}
    affine = norm.affine()
    call("lif_backward", **given, **affine, **sizes, **neuron)
    return norm.backward(grad_x, x, mask, summed(sums), affine["scale"])


def _spike_arguments(rest: tuple[Any, ...]) -> tuple[_Norm, Tensor | None, int, dict[str, Any]]:
    """What follows x in the operators of neurons: the norm, the mask, `steps` (0: x has them) and the neuron."""
    tensors, (mask, steps, eps, over_ranks) = rest[:5], rest[5:9]
    return _norm(tensors, eps, over_ranks), _packed(mask), steps, _neuron(rest[9:])


def _spike_sizes(x: Tensor, steps: int) -> dict[str, int]:
    batch, positions, width = x.shape[-3:]
    sizes = _sizes(steps or len(x), batch, positions, width)
    return {**sizes, "parts": parts(positions), "constant": x.dim() == 3}


def _with_steps(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x[None]


def _run_attention(*given: Any) -> tuple[Tensor, Tensor]:
    return _run_attention_train(*given)[:2]


def _run_attention_train(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    x = x.contiguous()
    norm, mask, factor, sizes, neuron = _attention_arguments(x, rest)
    attended, _, bits = _attention_results(x, sizes["steps"], sizes["heads"])
    rows = x.new_empty(len(x), x.shape[2])
    given = {"x": x, "mask": mask, "factor": factor, "out": attended, "bits": bits, "counts": rows}
    call("attention_forward", **given, **norm.affine(), **sizes, **neuron)
    return attended, summed(rows), bits


def _run_attention_backward(
    grad: Tensor, grad_counts: Tensor | None, bits: Tensor, x: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x and of the norm's weight and bias."""
    x = x.contiguous()
    norm, mask, factor, sizes, neuron = _attention_arguments(x, rest)
    grad_x, sums = x.new_empty(x.shape), x.new_empty(2, len(x), x.shape[2])
    given = {"x": x, "mask": mask, "factor": factor, "grad": grad.contiguous(), "bits": bits.contiguous()}
    given |= {"grad_counts": None if grad_counts is None else grad_counts.contiguous(), "grad_in": grad_x, "sums": sums}
    affine = norm.affine()
    call("attention_backward", **given, **affine, **sizes, **neuron)
    return norm.backward(grad_x, x, mask, summed(sums), affine["scale"])


def _attention_arguments(
    x: Tensor, rest: tuple[Any, ...]
) -> tuple[_Norm, Tensor | None, Tensor, dict[str, int], dict[str, Any]]:
    """What follows x in the operators of the attention."""
    tensors, (mask, factor, steps, heads, eps, over_ranks) = rest[:5], rest[5:11]
    sizes = {**_sizes(steps, x.shape[0], x.shape[1], x.shape[2] // 3), "heads": heads}
    return _norm(tensors, eps, over_ranks), _packed(mask), factor.contiguous(), sizes, _neuron(rest[11:])


def _attention_results(x: Tensor, steps: int, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Room for the attention, the counts, and the spikes as bits."""
    batch, positions, width = x.shape
    bits = x.new_empty(3, steps, batch, heads, positions, dtype=torch.int64)
    return x.new_empty(steps, batch, positions, width // 3), x.new_empty(width), bits


def _norm(tensors: tuple[Tensor | None, ...], eps: float, over_ranks: bool) -> _Norm:
    weight, bias, mean, var, n = tensors
    return _Norm(weight, bias, mean, var, n, eps, over_ranks)


def _sizes(steps: int, batch: int, positions: int, width: int) -> dict[str, int]:
    return {"steps": steps, "batch": batch, "positions": positions, "width": width}


def _neuron(numbers: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(Neuron._fields, numbers, strict=True))


def _packed(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous()


def _spike_shapes(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    one = x.shape[-3:]
    steps = x.shape[0] if x.dim() == 4 else rest[6]
    return x.new_empty(steps, *one), x.new_empty(one), x.new_empty(one[-1])


def _gradient_shapes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape[-1]), x.new_empty(x.shape[-1])


def _keep_spikes(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:7])
    ctx.how = inputs[7:]


def _spike_gradients(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    found = _spikes_backward(*grads, *tensors, *ctx.how)
    grad_x, weight, bias = found if tensors[1] is not None else (found[0], None, None)
    return grad_x, weight, bias, *(None,) * (4 + len(ctx.how))


def _keep_attention(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:8], output[2])
    ctx.how = inputs[8:]


def _attention_gradients(
    ctx: Any, grad: Tensor | None, grad_counts: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    *tensors, bits = ctx.saved_tensors
    x, steps = tensors[0], ctx.how[0]
    if grad is None:
        grad = x.new_zeros(steps, *x.shape[:2], x.shape[2] // 3)
    found = _attention_backward(grad, grad_counts, bits, *tensors, *ctx.how)
    grad_x, weight, bias = found if tensors[1] is not None else (found[0], None, None)
    return grad_x, weight, bias, *(None,) * (5 + len(ctx.how))


_NORM = "Tensor? weight, Tensor? bias, Tensor? mean, Tensor? var, Tensor? count"
_NEURON = "float leak, float gain, float threshold, float alpha, bool soft, bool detach, int surrogate"
_SPIKES = f"Tensor x, {_NORM}, Tensor? mask, SymInt steps, float eps, bool over_ranks, {_NEURON}"
_ATTENTION = (
    f"Tensor x, {_NORM}, Tensor? mask, Tensor factor, SymInt steps, SymInt heads, float eps, bool over_ranks, {_NEURON}"
)

_moments = operator(
    "moments(Tensor x, Tensor mask) -> (Tensor, Tensor, Tensor)",
    _run_moments,
    lambda x, _: (x.new_empty(x.shape[-1]), x.new_empty(x.shape[-1]), x.new_empty(())),
)
_spikes = operator(
    f"spikes({_SPIKES}) -> (Tensor, Tensor, Tensor)", _run_spikes, _spike_shapes, (_keep_spikes, _spike_gradients)
)
_spikes_backward = operator(
    f"spikes_backward(Tensor? grad_trains, Tensor? grad_rates, Tensor? grad_counts, {_SPIKES}) "
    "-> (Tensor, Tensor, Tensor)",
    _run_spikes_backward,
    lambda _, __, ___, x, *____: _gradient_shapes(x),
)
_attention = operator(
    f"attention({_ATTENTION}) -> (Tensor, Tensor)",
    _run_attention,
    lambda x, *rest: _attention_results(x, rest[7], rest[8])[:2],
)
_attention_train = operator(
    f"attention_train({_ATTENTION}) -> (Tensor, Tensor, Tensor)",
    _run_attention_train,
    lambda x, *rest: _attention_results(x, rest[7], rest[8]),
    (_keep_attention, _attention_gradients),
)
_attention_backward = operator(
    f"attention_backward(Tensor grad, Tensor? grad_counts, Tensor bits, {_ATTENTION}) -> (Tensor, Tensor, Tensor)",
    _run_attention_backward,
    lambda _, __, ___, x, *____: _gradient_shapes(x),
)
