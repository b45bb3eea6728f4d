"""The batches of a training, loaded by worker processes in the order of the plan."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from pipelines.training.batch_plan import MicroBatch
from pipelines.training.task import BatchLike, Task


class _MicroBatches(Dataset[BatchLike]):
    """A batch is an item of this data set, so that worker processes collate too."""

    def __init__(self, task: Task, micro_batches: Sequence[MicroBatch]) -> None:
        self._task, self._micro_batches = task, micro_batches

    def __len__(self) -> int:
        return len(self._micro_batches)

    def __getitem__(self, index: int) -> BatchLike:
        return self._task.load(self._micro_batches[index])


def load_batches(task: Task, micro_batches: Sequence[MicroBatch], *, workers: int, seed: int) -> Iterator[BatchLike]:
    """What `task.load` makes of each, in their order. workers: processes that load; 0 loads in this one."""
    loader: DataLoader[BatchLike] = DataLoader(
        _MicroBatches(task, micro_batches),
        batch_size=None,
        num_workers=workers,
        # of its own, else the loader draws from the generator that dropout draws from
        generator=torch.Generator().manual_seed(seed),
    )
    return iter(loader)
