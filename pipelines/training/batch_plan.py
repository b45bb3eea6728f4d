"""The order of an epoch's examples, cut into optimiser steps, micro-batches and each process's share of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch


@dataclass(frozen=True)
class MicroBatch:
    """The examples that all processes compute together, a batch or one of its accumulated pieces; what one reads."""

    epoch: int
    """From 0."""
    indices: tuple[int, ...]
    """Of the examples of all processes, in their order."""
    start: int
    stop: int
    """This process's own are indices[start:stop]; none, when there are fewer than processes."""
    seed: int = 0
    """Of the run."""
    step: int = 0
    """Optimiser steps of the run before it."""

    @property
    def own(self) -> tuple[int, ...]:
        """Indices of this process's examples."""
        return self.indices[self.start : self.stop]

    def generator(self, index: int) -> torch.Generator:
        """Random numbers for one example: equal however it is read, so that a resumed run draws what was drawn."""
        mixed = (self.seed * 1_000_003 + self.epoch) * 1_000_003 + index
        return torch.Generator().manual_seed(mixed % 2**63)


@dataclass(frozen=True)
class BatchPlan:
    """How an epoch is cut."""

    n_examples: int
    batch_size: int
    """Examples per optimiser step, over all processes."""
    accumulate: int = 1
    """Micro-batches of a batch, computed one after another."""
    rank: int = 0
    world_size: int = 1
    """This process, and how many there are."""
    seed: int = 0

    @property
    def n_steps(self) -> int:
        """Optimiser steps of an epoch; the last one may be smaller."""
        return -(-self.n_examples // self.batch_size)

    def steps(self, epoch: int) -> Iterator[list[MicroBatch]]:
        """The epoch's optimiser steps, each as its micro-batches.

        The order depends on seed and epoch alone, and micro-batches do not depend on the number of processes.
        """
        order = shuffled(self.n_examples, self.seed * 100_003 + epoch)
        for step, first in enumerate(range(0, self.n_examples, self.batch_size), start=epoch * self.n_steps):
            batch = order[first : first + self.batch_size]
            shares = [tuple(batch[a:b]) for a, b in _shares(len(batch), self.accumulate) if b > a]
            yield [self._micro_batch(epoch, step, indices) for indices in shares]

    def _micro_batch(self, epoch: int, step: int, indices: tuple[int, ...]) -> MicroBatch:
        start, stop = _shares(len(indices), self.world_size)[self.rank]
        return MicroBatch(epoch, indices, start, stop, self.seed, step)


def shuffled(n: int, seed: int) -> list[int]:
    """0 to n - 1 in random order: the order in which torch's DataLoader shuffles with a generator of that seed."""
    generator = torch.Generator().manual_seed(seed)
    torch.empty((), dtype=torch.int64).random_(generator=generator)  # the seed that it draws for its workers
    order: list[int] = torch.randperm(n, generator=generator).tolist()
    return order


def _shares(n: int, count: int) -> list[tuple[int, int]]:
    """`count` consecutive ranges over n things, the first ones longer by one where they cannot be equal."""
    size, more = divmod(n, count)
    borders = [i * size + min(i, more) for i in range(count + 1)]
    return list(pairwise(borders))
