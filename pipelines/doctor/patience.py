"""How long a trial is waited for: by what it computes, since on a busy machine a sound one may take minutes.

A process that gets little of the processor is starved, and goes on; one that computes nothing for as long as is
allowed, or has computed that long, is ended. Neither says what is wrong, so it is no fault of a package.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LIMIT_S = 60.0
"""Of computing, or of doing nothing; a sound trial computes for seconds."""
MOST = 10
"""So many times the limit is the most that is waited for one that is starved."""
UNSEEN = 3
"""And so many where the system does not tell how long a process has computed."""


class Patience:
    """Of one process.

    Where others went on for ever, fewer seconds are given: see `processes`.
    """

    def __init__(
        self, limit_s: float, spent_s: Callable[[], float | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """spent_s: how long it has computed so far; None where that cannot be known."""
        self.limit_s, self._spent_s, self._clock = limit_s, spent_s, clock
        self._began = self._looked = self._moved = clock()
        self._spent: float | None = 0.0

    def is_over(self) -> bool:
        """Whether the process should be ended."""
        now = self._clock()
        if now - self._looked < self.limit_s / 20:
            return False
        self._looked, before = now, self._spent
        self._spent = self._spent_s()
        waited = now - self._began
        if self._spent is None:
            return waited >= UNSEEN * self.limit_s
        if self._spent != before:
            self._moved = now
        does_nothing = now - self._moved >= self.limit_s
        has_had_enough = self._spent >= self.limit_s and waited >= self.limit_s
        return does_nothing or has_had_enough or waited >= MOST * self.limit_s

    def __str__(self) -> str:
        """How long it was waited for, and how busy the machine is."""
        computed = "" if self._spent is None else f", of which it computed for {self._spent:.1f} s"
        return f"no answer in {self._clock() - self._began:.3g} s{computed}{busy()}"


def busy() -> str:
    """How many want the processor, where the system says so: `; 12.0 programs want its 2 processors`."""
    if not hasattr(os, "getloadavg"):
        return ""
    with suppress(OSError):
        return f"; {os.getloadavg()[0]:.1f} programs want the {os.cpu_count() or 1} processors"
    return ""


def computed_s(pid: int) -> float | None:
    """How long a process and its children have computed, in seconds; None where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        spent = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # its own, and of children that ended
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except (OSError, ValueError, AttributeError):
        return None
    for task in tasks:
        with suppress(OSError):  # a thread that ended meanwhile
            for child in (task / "children").read_text("utf-8").split():
                spent += computed_s(int(child)) or 0.0
    return spent
