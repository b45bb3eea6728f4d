"""What of a lock is installed in another version: `python tests/what_moved.py constraints.txt`."""

import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement


def pins(lock: Path) -> list[Requirement]:
    """The requirements of a lock, `name==version ; marker` each."""
    return [Requirement(line) for line in lock.read_text("utf-8").splitlines() if line and line.lstrip()[0] != "#"]


def pinned(pin: Requirement) -> str:
    """The version of a pin."""
    (specifier,) = pin.specifier
    return specifier.version


def moved(lock: Iterable[Requirement]) -> Iterator[str]:
    """A line for each pin of this platform whose installed version is another; the absent ones are passed over."""
    for pin in lock:
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        try:
            here = version(pin.name)
        except PackageNotFoundError:
            continue
        if not pin.specifier.contains(here, prereleases=True):
            yield f"{pin.name} {pinned(pin)} -> {here}"


if __name__ == "__main__":
    lines = list(moved(pins(Path(sys.argv[1]))))
    print("\n".join([f"{len(lines)} packages differ from the lock", *lines]))
