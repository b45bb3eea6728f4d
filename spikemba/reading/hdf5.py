"""HDF5, which MATLAB's files are since 7.3: arrays of numbers and references, out of this file alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spikemba.errors import SpikeMbaError
from spikemba.libraries import library
from spikemba.reading.unreadable import NotRead, Unreadable
from spikemba.reading.zips import ALWAYS_ALLOWED, MAX_RATIO


class Hdf5:
    """An open file."""

    def __init__(self, file: Any, size: int, library: Any) -> None:
        self._file, self._left = file, max(ALWAYS_ALLOWED, MAX_RATIO * size)
        self._counted: set[str] = set()
        self._library = library

    def array(self, place: Any, key: str | None = None) -> NDArray[Any]:
        """The numbers or references of a data set, by its path or a reference, and by a name below that.

        Raises Unreadable when it is none, lies in another file, or says that it is larger than the file can hold.
        """
        found = self._dataset(f"{place}/{key}" if key is not None else place)
        if found.external or found.is_virtual:
            raise NotRead(f"the numbers of {found.name} lie in another file")
        if found.dtype.kind not in "fiub" and self._library.check_ref_dtype(found.dtype) is not self._library.Reference:
            raise NotRead(f"{found.name} is an array of {found.dtype}; expected numbers")
        if (
            found.name is None or found.name not in self._counted
        ):  # a file that is held open is read again in every epoch
            self._counted.add(found.name)
            self._left -= int(found.size or 0) * found.dtype.itemsize
        if self._left < 0:
            raise Unreadable(f"{found.name} is said to be {found.shape}, more than the file can hold")
        values: NDArray[Any] = found[()]
        return values

    def names(self, place: str = "/") -> list[str]:
        """What a group holds, by its path; empty for a data set or where nothing of the file's own lies there."""
        found = self._file[place] if place == "/" or self._is_own(place) else None
        return list(found) if isinstance(found, self._library.Group) else []

    def shape(self, place: str) -> tuple[int, ...] | None:
        """The shape of a data set by its path, without its numbers; None for what is none of the file's own."""
        found = self._file[place] if self._is_own(place) else None
        return tuple(found.shape or ()) if isinstance(found, self._library.Dataset) else None

    def _dataset(self, name: Any) -> Any:
        """The data set that a path or a reference names. Raises Unreadable."""
        if isinstance(name, str) and not self._is_own(name):
            raise Unreadable(f"holds no {name} of its own")
        found = self._file[name]
        if not isinstance(found, self._library.Dataset):
            raise Unreadable(f"{name} is no array")
        return found

    def _is_own(self, name: str) -> bool:
        """Whether a path leads to something of this file, by no link to another."""
        parts = name.split("/")
        links = (self._file.get("/".join(parts[:depth]), getlink=True) for depth in range(1, len(parts) + 1))
        return all(isinstance(link, self._library.HardLink) for link in links)


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5]:
    """A file, opened. Raises OSError when it is not there or may not be read, Unreadable for whatever else is wrong."""
    with library("h5py"):
        import h5py

    size = path.stat().st_size
    with path.open("rb"):
        pass  # that it may be read
    try:
        with h5py.File(path, "r") as file:
            yield Hdf5(file, size, h5py)
    except (SpikeMbaError, Unreadable, MemoryError):
        raise
    except Exception as error:  # the library raises most kinds that there are
        raise Unreadable(" ".join(str(error).split())[:150] or type(error).__name__) from None
