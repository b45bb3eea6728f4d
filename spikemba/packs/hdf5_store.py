"""One .h5 whose keys are identifiers, of an array or of a group of arrays each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from spikemba.packs.store import ONLY, PerProcess
from spikemba.reading.hdf5 import Hdf5, open_hdf5
from spikemba.reading.unreadable import Unreadable

T = TypeVar("T")


class Hdf5Store:
    """The arrays of one file, or of one of its groups; the file is held open by each process for itself."""

    def __init__(self, path: Path, group: str = "") -> None:
        """group: within which the identifiers are keys. Raises OSError, Unreadable."""
        self.path, self.group = path, group
        self._file: PerProcess[Hdf5] = PerProcess(partial(open_hdf5, path))
        self._names = set(self._of(lambda file: file.names(group or "/")))

    def names(self) -> list[str]:
        """The keys of the file or group."""
        return sorted(self._names)

    def has(self, name: str) -> bool:
        """Whether it is a key; a slash in it is a group in a group."""
        if name in self._names or "/" not in name:
            return name in self._names
        return bool(self.shapes(name))

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Key -> shape of an item's arrays."""
        place = self._path(name)

        def found(file: Hdf5) -> dict[str, tuple[int, ...]]:
            if (alone := file.shape(place)) is not None:
                return {ONLY: alone}
            inside = {key: file.shape(f"{place}/{key}") for key in file.names(place)}
            return {key: shape for key, shape in inside.items() if shape is not None}

        return self._of(found)

    def read(self, name: str, key: str) -> NDArray[Any]:
        """An array of an item."""
        return self._of(lambda file: file.array(self._path(name), key or None))

    def files(self, name: str) -> list[Path]:
        """The file."""
        return [self.path] if self.has(name) else []

    def place(self, name: str) -> str:
        """The file and the key."""
        return f"{self.path} ({self._path(name)})"

    def _path(self, name: str) -> str:
        return f"{self.group}/{name}" if self.group else name

    def _of(self, ask: Callable[[Hdf5], T]) -> T:
        """What a file answers. Raises Unreadable for whatever the library raises of one that is damaged inside."""
        file = self._file()
        try:
            return ask(file)
        except (Unreadable, MemoryError):
            raise
        except Exception as error:  # the library raises most kinds that there are
            raise Unreadable(" ".join(str(error).split())[:150] or type(error).__name__) from None
