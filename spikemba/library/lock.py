"""Who may change a library: one process at a time, by a lock that the system lets go of however the process ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # no POSIX system: SQLite's own lock, taken before a matrix is touched, is what there is
    fcntl = None  # type: ignore[assignment]

LOCK = "library.lock"
ASKED_AGAIN_S = 0.05


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the library's lock, waiting for whoever holds it. Raises OSError where nothing can be written.

    The file stays: were it removed, two processes could hold locks on two files of that name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not _taken(handle):
            time.sleep(ASKED_AGAIN_S)
        yield
    finally:
        os.close(handle)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which must be there, unless another process does: whether it is ours."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _taken(handle)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    """Take the lock unless another holds it; True also on file systems without locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
