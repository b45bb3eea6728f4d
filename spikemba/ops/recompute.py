"""Parts of a network that keep only their inputs, and run again on the way back: memory for time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch.utils.checkpoint import checkpoint

_recomputing = False  # not a context variable: on CUDA the way back runs in another thread


def recomputed(run: Callable[..., Any], *args: Any) -> Any:
    """run(*args), whose intermediate values are computed again on the way back, with the same random numbers."""
    return checkpoint(run, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _again()))


def is_recomputing() -> bool:
    """Whether this is a second run: what has learned from the first must not learn from it again."""
    return _recomputing


@contextmanager
def _again() -> Iterator[None]:
    global _recomputing
    _recomputing = True
    try:
        yield
    finally:
        _recomputing = False
