"""The processes of one training: who this one is, and what they tell each other.

They are started by `spikemba train --processes N` (see launcher.py) or by torchrun, which both set RANK, WORLD_SIZE and
LOCAL_RANK. Alone, every function here returns what it is given.
"""

import contextlib
import gc
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from pipelines.shards import Shard, torchrun_part
from spikemba.errors import SpikeMbaError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    index: int = 0
    """From 0, over all machines."""
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.index == 0


def ranks() -> Ranks:
    """Who this process is in torch.distributed's group; alone when there is none."""
    if not (dist.is_available() and dist.is_initialized()):
        return Ranks()
    return Ranks(dist.get_rank(), dist.get_world_size())


def launched() -> bool:
    """Whether a launcher started this process as one of several. Raises SpikeMbaError for variables without sense."""
    part = torchrun_part(os.environ)
    return part is not None and part.count > 1


def is_first() -> bool:
    """Whether this is the process that speaks and writes, also before and after the group exists."""
    part = torchrun_part(os.environ)
    return part is None or part.index == 0


def restarted() -> bool:
    """Whether a launcher started processes of this group again, after one of them died."""
    return all_reduce_max(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))) > 0


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the group that the launcher's variables name, and leave it at the end; a group that exists is used.

    device: "cuda" takes the GPU of this process's number on its machine and NCCL; what is on no GPU goes through gloo.
    Raises SpikeMbaError when there are fewer GPUs than processes.
    """
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" and launched():
        if local >= torch.cuda.device_count():
            here, gpus = os.environ.get("LOCAL_WORLD_SIZE", str(local + 1)), torch.cuda.device_count()
            raise SpikeMbaError(f"{here} processes and {gpus} GPUs on this machine; give --processes {gpus}")
        torch.cuda.set_device(local)
    if not launched() or dist.is_initialized():
        yield ranks()
        return
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, _processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    # Imported while there is no group: its functions keep, as a default argument, the group that exists at the import
    # (DistributedDataParallel imports it). What they keep is never closed, and its threads live on into the end of the
    # interpreter, where they meet the closing sockets of the others and may abort the process.
    importlib.import_module("torch.distributed.nn.functional")
    _find_each_other("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield ranks()
        _all_are_here()
    finally:
        gc.collect()  # what still holds the group in a circle, such as a network with its reducer
        dist.destroy_process_group()


def _find_each_other(backend: str) -> None:
    """Make the group. Raises SpikeMbaError when the launcher's variables lead to no others."""
    try:
        dist.init_process_group(backend)
    except (ValueError, RuntimeError) as error:  # a variable is missing; nobody came
        if dist.is_torchelastic_launched():  # which starts all of them again
            raise
        reason = str(error).splitlines()[0].removesuffix(".")
        raise SpikeMbaError(
            f"RANK={os.environ['RANK']} and WORLD_SIZE={os.environ['WORLD_SIZE']} say that this process is one of "
            f"several, and it did not find the others ({reason}); start all with torchrun or --processes N, or, to "
            "train alone, `unset RANK WORLD_SIZE`"
        ) from error


def _all_are_here() -> None:
    """Wait until every process has had its last exchange, so that none, least of all the first, whose store the others
    ask, leaves one that still needs it. Where another has died there is nobody to wait for, and its launcher says so.
    """
    with contextlib.suppress(RuntimeError):
        all_reduce_max(0)


def on_first(run: Callable[[], T]) -> T:
    """What `run` returns on the first process, on all of them; an error there is an error everywhere."""
    here = ranks()
    if here.count == 1:
        return run()
    found: list[Any] = [None]
    failed: Exception | None = None
    if here.first:
        try:
            found = [(run(), None, False)]
        except Exception as error:  # whatever it is, the others must not wait for a result
            failed = error
            found = [(None, str(error), isinstance(error, SpikeMbaError))]
    dist.broadcast_object_list(found, src=0)
    if failed is not None:
        raise failed
    result, message, mendable = found[0]
    if message is not None:
        raise SpikeMbaError(message) if mendable else RuntimeError(f"the first process failed: {message}")
    value: T = result
    return value


def all_gather(own: T) -> list[T]:
    """What each process gives, in their order."""
    here = ranks()
    if here.count == 1:
        return [own]
    found: list[Any] = [None] * here.count
    dist.all_gather_object(found, own)
    return found


def gather_shards(own: Sequence[T], block: int = 1) -> list[T]:
    """The items of all processes as one list, where each had those of Shard(its index, their count, block)."""
    parts = all_gather(list(own))
    n = sum(map(len, parts))
    places = [i for rank in range(len(parts)) for i in Shard(rank, len(parts), block).indices(n)]
    items = dict(zip(places, (item for part in parts for item in part), strict=True))
    return [items[i] for i in range(n)]


def all_reduce_max(value: int) -> int:
    """The largest of the processes' numbers."""
    if ranks().count == 1:
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def all_reduce(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of each name, summed over the processes; names and shapes are those of the first process."""
    if ranks().count == 1:
        return values
    summed = {}
    for name, value in values.items():
        summed[name] = value.clone()
        dist.all_reduce(summed[name])
    return summed


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
