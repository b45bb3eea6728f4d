"""Says that a run folder is being trained into: a lock that the system lets go of however the process ends.

run.lock stays in the folder; who holds it is inside, for people. Where files cannot be locked, nothing is.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

from spikemba.errors import OutputError
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

LOCK = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises OutputError when another process trains into it, or nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(folder / LOCK, (error.strerror or str(error)).lower()) from error
    try:
        if not _take(handle):
            raise OutputError(folder, f"another process trains into it ({_holder(folder)})")
        started = datetime.now(UTC).isoformat(timespec="seconds")
        who = {"pid": os.getpid(), "host": platform.node(), "since": started}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(who).encode(), 0)
        yield
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a process trains into the folder now."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _take(handle, shared=True)
    finally:
        os.close(handle)


def _take(handle: int, *, shared: bool = False) -> bool:
    """Take the lock unless another holds it; True also where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _holder(folder: Path) -> str:
    try:
        who = read_json(folder / LOCK)
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, Unreadable, KeyError, TypeError):
        return "it does not say which"
