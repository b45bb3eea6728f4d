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
_kept: ContextVar[bool] = ContextVar("statistics_kept", default=False)


def recomputed(run: Callable[..., Any], *args: Any) -> Any:
    """run(*args), whose intermediate values are computed again in the backward pass, with the same random numbers."""
    kept = _kept.get()
    return checkpoint(run, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _again(kept)))


def is_recomputing() -> bool:
    """Whether this is a second run: what has learned from the first must not learn from it again."""
    return _recomputing.get()


@contextmanager
def statistics_kept(on: bool = True) -> Iterator[None]:
    """Within, in training too, batch norms use their running statistics, which learn nothing; also when run again."""
    token = _kept.set(on)
    try:
        yield
    finally:
        _kept.reset(token)


def are_statistics_kept() -> bool:
    """Whether batch norms use their running statistics although the module is in training."""
    return _kept.get()


@contextmanager
def _again(kept: bool) -> Iterator[None]:
    token = _recomputing.set(True)
    try:
        with statistics_kept(kept):
            yield
    finally:
        _recomputing.reset(token)
