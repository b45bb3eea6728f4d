"""The kernels as operators that torch knows: traced by torch.compile and torch.export by their shapes, run as they are.

Every operator is defined here by its schema, the function that runs it on CPU tensors and the one that gives the shapes
of its results. Those with a gradient keep what their backward operator reads; the others refuse when they are asked.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from spikemba.errors import SpikeMbaError

_LIBRARY = torch.library.Library("spikemba", "FRAGMENT")


class OperatorError(SpikeMbaError):
    """An operator is asked for what its kernel cannot do."""


def operator(
    schema: str,
    run: Callable[..., Any],
    shapes: Callable[..., Any],
    gradient: tuple[Callable[..., None], Callable[..., Any]] | None = None,
) -> Callable[..., Any]:
    """Define `spikemba::schema` and return it as a function.

    run: on CPU tensors.  shapes: the same arguments -> empty tensors like the results.  gradient: setup_context and
    backward, as torch.library.register_autograd takes them.
    """
    name = schema.partition("(")[0]
    _LIBRARY.define(schema)
    _LIBRARY.impl(name, run, "CPU")
    full = f"spikemba::{name}"
    torch.library.register_fake(full, shapes, lib=_LIBRARY)
    torch.library.register_vmap(full, _no_vmap(full), lib=_LIBRARY)
    found: Callable[..., Any] = getattr(torch.ops.spikemba, name).default
    _LIBRARY.impl(name, _differentiable(found, *(gradient or _no_gradient(full))), "Autograd", with_keyset=True)
    return found


def _differentiable(op: Any, setup: Callable[..., None], backward: Callable[..., Any]) -> Callable[..., Any]:
    """What torch.library.register_autograd makes, with less work for each call."""

    def below(keys: Any, args: tuple[Any, ...]) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return op.redispatch(keys & torch._C._after_autograd_keyset, *args)

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, keys: Any, *args: Any) -> Any:
            result = below(keys, args)
            setup(ctx, args, result)
            return result

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return None, *backward(ctx, *grads)

    def run(keys: Any, *args: Any) -> Any:
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            return Differentiable.apply(keys, *args)
        return below(keys, args)

    return run


def differentiated(*tensors: Tensor | None) -> bool:
    """Whether a gradient with respect to one of these may be asked for.

    Raises OperatorError in forward-mode differentiation and under torch.func's transforms: without this question they
    would take an operator's result for a constant, or end in a message about torch's own insides.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    if not torch.compiler.is_compiling():
        if torch._C._are_functorch_transforms_active():
            raise OperatorError("the compiled kernels know no torch.func transform; set SPIKEMBA_NATIVE=0 for it")
        if forward_ad._current_level >= 0 and any(forward_ad.unpack_dual(t).tangent is not None for t in given):
            raise OperatorError("the compiled kernels have no forward-mode derivative; set SPIKEMBA_NATIVE=0 for it")
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)


def _no_vmap(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise OperatorError(f"{name} has no vmap; put the axis into the batch, its first, or set SPIKEMBA_NATIVE=0")

    return refuse


def _no_gradient(name: str) -> tuple[Callable[..., None], Callable[..., Any]]:
    def refuse(*_: Any) -> Any:
        raise OperatorError(
            f"{name} has no gradient: no kernel is differentiated twice, nor what was traced without gradients once; "
            "set SPIKEMBA_NATIVE=0 for it"
        )

    return lambda *_: None, refuse
