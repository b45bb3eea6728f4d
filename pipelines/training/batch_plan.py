"""The order of an epoch's examples, cut into optimiser steps, pieces of a step and each process's own part."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch


@dataclass(frozen=True)
class Part:
    """What one process reads of one piece of a step."""

    epoch: int
    """From 0."""
    piece: tuple[int, ...]
    """Indices of the examples that all processes compute together, in their order."""
    start: int
    stop: int
    """This process's own are piece[start:stop]; none, when there are fewer than processes."""
    seed: int = 0
    """Of the run."""

    @property
    def own(self) -> tuple[int, ...]:
        """Indices of this process's examples."""
        return self.piece[self.start : self.stop]

    @property
    def before(self) -> int:
        """Index of the example before the first of its own, the last one before the first."""
        return self.piece[self.start - 1]

    def generator(self, index: int) -> torch.Generator:
        """Random numbers for one example: equal however it is read, so that a resumed run draws what was drawn."""
        mixed = (self.seed * 1_000_003 + self.epoch) * 1_000_003 + index
        return torch.Generator().manual_seed(mixed % 2**63)


@dataclass(frozen=True)
class Cut:
    """How an epoch is cut."""

    n_examples: int
    batch_size: int
    """Examples per optimiser step, over all processes."""
    accumulate: int = 1
    """Pieces of a step that are computed one after another."""
    rank: int = 0
    world: int = 1
    """This process, and how many there are."""
    seed: int = 0

    @property
    def n_steps(self) -> int:
        """Optimiser steps of an epoch; the last one may be smaller."""
        return -(-self.n_examples // self.batch_size)

    def steps(self, epoch: int) -> Iterator[list[Part]]:
        """The epoch's steps, each as this process's parts of its pieces.

        The order depends on seed and epoch alone, and pieces do not depend on the number of processes.
        """
        order = shuffled(self.n_examples, self.seed * 100_003 + epoch)
        for first in range(0, self.n_examples, self.batch_size):
            step = order[first : first + self.batch_size]
            pieces = [tuple(step[a:b]) for a, b in _shares(len(step), self.accumulate) if b > a]
            yield [self._part(epoch, piece) for piece in pieces]

    def _part(self, epoch: int, piece: tuple[int, ...]) -> Part:
        start, stop = _shares(len(piece), self.world)[self.rank]
        return Part(epoch, piece, start, stop, self.seed)


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
