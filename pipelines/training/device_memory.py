"""Memory of a device: what is free, and how far a piece of work makes it rise."""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass
class Rise:
    """Filled in when the work is done."""

    bytes: int | None = None
    """From before the work to its peak; None where the system does not say."""


def available(device: torch.device) -> int | None:
    """Free bytes of a GPU, or of this machine and the container that it may be; None when nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found: list[int] = []
    with suppress(OSError, ValueError, StopIteration):
        found.append(_status("/proc/meminfo", "MemAvailable"))
    with suppress(OSError, ValueError):  # outside a container there is no limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="utf-8"))
        found.append(limit - int((group / "memory.current").read_text(encoding="utf-8")))
    if not found and "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


@contextmanager
def rising(device: torch.device) -> Iterator[Rise]:
    """How far the work within makes memory rise: tensors on a GPU, on a CPU all of the process (Linux)."""
    rise = Rise()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield rise
        rise.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    gc.collect()
    with suppress(OSError, AttributeError):  # out of a heap that is large already, the work would be served unseen
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("/proc/self/status", "VmRSS")
    except OSError:
        yield rise
        return
    yield rise
    rise.bytes = _status("/proc/self/status", "VmHWM") - before


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that this process has had: its tensors on a GPU, or all of it on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _status(file: str, name: str) -> int:
    """Bytes of the line of that name."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
