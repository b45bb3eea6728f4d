"""The kernels as operators that torch knows: traced by torch.compile and torch.export by their shapes, run as they are.

Every operator is defined here by its schema, the function that runs it on CPU tensors and the one that gives the shapes
of its results. Those with a gradient keep what their backward operator reads; the others refuse when they are asked.
Where only the numbers are asked for, the function runs without the operator, whose dispatch costs more than some
kernels: `_eager` says where.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

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
    """Define `spikemba::schema` and return a function that gives what it gives.

    schema: tensors come before numbers.  run: on CPU tensors.  shapes: the same arguments -> empty tensors like the
    results.  gradient: setup_context and backward, as torch.library.register_autograd takes them.
    """
    name, _, arguments = schema.partition(" -> ")[0].partition("(")
    full, n = f"spikemba::{name}", arguments.count("Tensor")
    keep, backward = gradient or _no_gradient(full)
    _LIBRARY.define(schema)
    _LIBRARY.impl(name, run, "CPU")
    torch.library.register_fake(full, shapes, lib=_LIBRARY)
    torch.library.register_vmap(full, _no_vmap(full), lib=_LIBRARY)
    torch.library.register_autograd(full, backward, setup_context=keep, lib=_LIBRARY)
    traced = getattr(torch.ops.spikemba, name).default
    function = _function(full, run, keep, backward)

    def call(*given: Any) -> Any:
        tensors = given[:n]
        if not _eager(tensors):
            return traced(*given)
        if differentiated(*tensors):
            return function.apply(given[n:], *tensors)
        return run(*given)

    return call


def differentiated(*tensors: Tensor | None) -> bool:
    """Whether a gradient with respect to one of these may be asked for."""
    if torch.is_grad_enabled():
        for one in tensors:
            if one is not None and one.requires_grad:
                return True
    return False


def _function(
    name: str, run: Callable[..., Any], keep: Callable[..., None], backward: Callable[..., Any]
) -> type[torch.autograd.Function]:
    """(numbers, *tensors) -> what register_autograd makes of the same functions, without an operator."""

    def forward(ctx: Any, numbers: tuple[Any, ...], *tensors: Any) -> Any:
        given = *tensors, *numbers
        result = run(*given)
        keep(ctx, given, result)
        ctx.n = len(tensors)
        return result

    def gradients(ctx: Any, *grads: Any) -> Any:
        return None, *backward(ctx, *grads)[: ctx.n]

    methods = {"forward": staticmethod(forward), "backward": staticmethod(gradients)}
    return type(name, (torch.autograd.Function,), methods)


_PLAIN = frozenset((Tensor, nn.Parameter))


def _eager(tensors: tuple[Tensor | None, ...]) -> bool:
    """Whether these are real tensors and nobody records what is done with them.

    False while torch.compile, torch.export or torch.jit.trace trace, in a dispatch mode (make_fx, fake tensors, a
    counter of operations), and for tensors of other kinds or with their sign still to be turned: torch then runs the
    operator as it runs its own. Raises OperatorError in forward-mode differentiation and under torch.func's transforms,
    which would take a kernel's result for a constant, or end in a message about torch's own insides.
    """
    if torch.compiler.is_compiling():
        return False
    if torch._C._are_functorch_transforms_active():
        raise OperatorError("the compiled kernels know no torch.func transform; set SPIKEMBA_NATIVE=0 for it")
    if is_in_torch_dispatch_mode() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    if forward_ad._current_level >= 0 and any(map(_has_tangent, tensors)):
        raise OperatorError("the compiled kernels have no forward-mode derivative; set SPIKEMBA_NATIVE=0 for it")
    for one in tensors:  # noqa: SIM110 - this runs before every kernel
        if one is not None and (type(one) not in _PLAIN or one.is_neg()):
            return False
    return True


def _has_tangent(one: Tensor | None) -> bool:
    return one is not None and forward_ad.unpack_dual(one).tangent is not None


def _no_vmap(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise OperatorError(f"{name} has no vmap; put the axis into the batch, its first, or set SPIKEMBA_NATIVE=0")

    return refuse


def _no_gradient(name: str) -> tuple[Callable[..., None], Callable[..., Any]]:
    def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing."""

    def refuse(*_: Any) -> Any:
        raise OperatorError(
            f"{name} has no gradient: no kernel is differentiated twice, nor what was traced without gradients once; "
            "set SPIKEMBA_NATIVE=0 for it"
        )

    return keep, refuse
