"""Sums over the processes that share a batch, with their gradients.

Within `one_batch_over_ranks` the batches of all processes are parts of one: batch norms and losses then count over all
of it. Elsewhere, and always in evaluation, a process is alone and everything here returns its input.
"""

# Shapes: R processes, n rows of this process, N rows of all.

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

# One switch, not an argument of every norm and loss: were one of them given another value than the rest, or by one
# process than by the others, training would hang. No context variable either: norms that are computed again in the
# backward pass must see it, and on CUDA that runs in another thread.
_shared = False


@contextmanager
def one_batch_over_ranks(shared: bool = True) -> Iterator[None]:
    """Let the batches of all processes of torch.distributed's group be one, also in the backward pass."""
    global _shared
    before, _shared = _shared, shared
    try:
        yield
    finally:
        _shared = before


def is_shared() -> bool:
    """Whether the batch is part of a larger one."""
    return _shared


def all_reduce(x: Tensor) -> Tensor:
    """The sum over the processes; its gradient is the sum of theirs."""
    out: Tensor = _AllReduce.apply(x) if _shared else x
    return out


def all_gather(x: Tensor) -> Tensor:
    """What every process has, (R, ...), in their order; without a gradient."""
    if not _shared:
        return x[None]
    x = x.contiguous()
    found = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(found, x)
    return torch.stack(found)


def all_gather_rows(x: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes, (N, ...), and where this one's begin. x: (n, ...); n may differ and be 0."""
    if not _shared:
        return x, 0
    counts: list[int] = all_gather(torch.tensor(len(x), device=x.device)).tolist()
    first = sum(counts[: dist.get_rank()])
    placed = x.new_zeros(sum(counts), *x.shape[1:])
    # a sum of parts that stand apart is the rows one after another, with the right gradient
    return all_reduce(torch.cat((placed[:first], x, placed[first + len(x) :]))), first


# torch.distributed.nn.functional.all_reduce does the same; torch has deprecated it
class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(grad)


def _summed(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
