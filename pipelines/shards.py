"""Which part of the work is this process's own."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from spikemba.errors import SpikeMbaError

LAUNCHERS = (
    ("torchrun", "RANK", "WORLD_SIZE", 0),
    ("SLURM", "SLURM_PROCID", "SLURM_NTASKS", 0),
    ("a SLURM array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", None),
)
"""(name, variable of the process, variable of their number, number of the first one; None: SLURM_ARRAY_TASK_MIN)."""


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


def parse_shard(text: str) -> Shard:
    """`2/8`, the second of eight. Raises SpikeMbaError."""
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise SpikeMbaError(f"shard {text!r} is not of the form i/n with 1 <= i <= n, as in --shard 2/8")
    return Shard(int(found[1]) - 1, int(found[2]))


def launched_shard(environment: Mapping[str, str]) -> Shard:
    """The part that torchrun or SLURM gave to this process; all of it when nothing did."""
    for _, own, number, first in LAUNCHERS:
        if own in environment and number in environment:
            start = int(environment.get("SLURM_ARRAY_TASK_MIN", 0)) if first is None else first
            count = int(environment[number])
            return Shard((int(environment[own]) - start) % count, count)
    return Shard()
