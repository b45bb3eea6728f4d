"""Which part of the work is this process's own."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from spikemba.errors import SpikeMbaError

Environment = Mapping[str, str]

NOT_A_STEP = 0xFFFFFFF0
"""From here on SLURM numbers what is no step of srun: batch scripts, interactive shells (slurm.h)."""


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`."""

    index: int = 0
    """From 0."""
    count: int = 1
    block: int = 1
    """Where things are dealt out by their place: how many that follow each other stay together."""

    def indices(self, n: int) -> list[int]:
        """Which of n things belong to it by their place: every count-th block, from block `index` on."""
        return [i for i in range(n) if i // self.block % self.count == self.index]

    def owns(self, video_id: str) -> bool:
        """Every name belongs to one part, whatever other videos there are, so a folder may grow meanwhile."""
        return zlib.crc32(video_id.encode("utf-8", "surrogatepass")) % self.count == self.index

    def within(self, outer: "Shard") -> "Shard":
        """This part of that part: all parts of all outer parts are numbered through."""
        return Shard(outer.index * self.count + self.index, outer.count * self.count)


def parse_shard(text: str) -> Shard:
    """`2/8`, the second of eight. Raises SpikeMbaError."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise SpikeMbaError(f"shard {text!r} is not of the form i/n with 1 <= i <= n, as in --shard 2/8")
    return Shard(int(found[1]) - 1, int(found[2]))


def launched_shard(environment: Environment) -> Shard:
    """The part that torchrun or SLURM gave to this process; all of it when nothing did.

    An array's tasks divide the work, and the tasks of a step of srun, or torchrun's processes, divide a task's part.
    Raises SpikeMbaError, which names --shard, when the variables do not say which part of how many.
    """
    return _processes(environment).within(_array(environment))


def torchrun_part(environment: Environment) -> Shard | None:
    """This process's number and their count under torchrun; None when RANK or WORLD_SIZE is not there.

    Raises SpikeMbaError when the two make no sense, as when one was left over in a shell.
    """
    rank, world = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if rank is None or world is None:
        return None
    if not 0 <= rank < world:
        raise SpikeMbaError(
            f"RANK is {rank} and WORLD_SIZE is {world}; expected 0 <= RANK < WORLD_SIZE, as torchrun sets them; "
            "where nothing set them on purpose: `unset RANK WORLD_SIZE`"
        )
    return Shard(rank, world)


def _processes(environment: Environment) -> Shard:
    """The part among the processes that were started together."""
    together, step = torchrun_part(environment), _step(environment)
    if together is None or together.count == 1:  # a launcher of one process tells no part
        return step
    machines = _number(environment, "GROUP_WORLD_SIZE")
    if step.count == 1 or machines is None or machines == step.count:
        return together
    if machines == 1:  # a torchrun in each task of the step, none of which knows of the others
        return together.within(step)
    raise _unknown(f"torchrun spans {machines} machines, srun's step has {step.count} tasks")


def _step(environment: Environment) -> Shard:
    """The part among the tasks of a step of srun.

    A batch script has the variables of its allocation: SLURM_PROCID=0 and SLURM_NTASKS, of which only one runs.
    """
    task = _number(environment, "SLURM_PROCID")
    step = next(filter(None, (_number(environment, name) for name in ("SLURM_STEP_ID", "SLURM_STEPID"))), 0)
    if task is None or step >= NOT_A_STEP:
        return Shard()
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS")
    if tasks is None:
        in_a_step = "SLURM_STEP_ID" in environment or "SLURM_STEPID" in environment or task > 0
        tasks = _number(environment, "SLURM_NTASKS") if in_a_step else 1
    if tasks is None or not 0 <= task < tasks:
        raise _unknown(f"SLURM_PROCID is {task} of {tasks or 'an unknown number of'} tasks")
    return Shard(task, tasks)


def _array(environment: Environment) -> Shard:
    """The part among the tasks of a SLURM array, which must stand in equal steps."""
    task = _number(environment, "SLURM_ARRAY_TASK_ID")
    if task is None:
        return Shard()
    names = {name: f"SLURM_ARRAY_TASK_{name}" for name in ("MIN", "MAX", "STEP", "COUNT")}
    first, last, step, count = (_number(environment, name) for name in names.values())
    if first is None or not count or count < 1:
        raise _unknown(f"SLURM's array has task {task}, but {names['MIN']} or {names['COUNT']} is missing")
    if not step:  # an older SLURM, or a wrapper, does not tell it
        step = (last - first) // (count - 1) if last is not None and count > 1 else 1
    last = first + (count - 1) * step if last is None else last
    part, rest = divmod(task - first, max(step, 1))
    if step < 1 or first + (count - 1) * step != last or rest or not 0 <= part < count:
        raise _unknown(f"SLURM's array has {count} tasks from {first} to {last}, not in equal steps; this is {task}")
    return Shard(part, count)


def _number(environment: Environment, name: str) -> int | None:
    """A variable's whole number; None when it is unset or empty. Raises SpikeMbaError."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise SpikeMbaError(f"the environment's {name} is {text!r}; expected a whole number, or `unset {name}`")
    return int(text)


def _unknown(what: str) -> SpikeMbaError:
    return SpikeMbaError(f"{what}; which part of the work is this process's own? Give --shard i/n, as in --shard 2/8")
