"""Parts of a network that keep only their inputs, and run again in the backward pass: memory for time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from torch.utils.checkpoint import checkpoint

# Torch's checkpoint enters the context that it is given in the thread that runs the part again (on CUDA not that of the
# forward pass), so the part sees the variable there, and no other thread does. It has no other way to tell a norm deep
# in the part which run it is in.
_recomputing: ContextVar[bool] = ContextVar("recomputing", default=False)


def recomputed(run: Callable[..., Any], *args: Any) -> Any:
    """run(*args), whose intermediate values are computed again in the backward pass, with the same random numbers."""
    return checkpoint(run, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _again()))


def is_recomputing() -> bool:
    """Whether this is a second run: what has learned from the first must not learn from it again."""
    return _recomputing.get()


@contextmanager
def _again() -> Iterator[None]:
    token = _recomputing.set(True)
    try:
        yield
    finally:
        _recomputing.reset(token)
