"""One .npz whose keys are identifiers."""

from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spikemba.packs.store import ONLY, PerProcess
from spikemba.reading.arrays import LONGEST_HEAD, parse_array, parse_shape
from spikemba.reading.zips import Zip


class NpzStore:
    """The arrays of one archive, which is held open: its list of 10,000 names is read once."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, Unreadable."""
        self.path = path
        self._archive: PerProcess[Zip] = PerProcess(partial(Zip, path))
        self._names = {name.removesuffix(".npy") for name in self._archive().names if name.endswith(".npy")}

    def names(self) -> list[str]:
        """The keys."""
        return sorted(self._names)

    def has(self, name: str) -> bool:
        """Whether it is a key."""
        return name in self._names

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """The shape of the one array of a key."""
        return {ONLY: parse_shape(self._archive().beginning(f"{name}.npy", LONGEST_HEAD))}

    def read(self, name: str, key: str) -> NDArray[Any]:
        """The array of a name, which has no keys below it."""
        if key != ONLY:
            raise KeyError(key)
        return parse_array(self._archive().read(f"{name}.npy"))

    def files(self, name: str) -> list[Path]:
        """The archive."""
        return [self.path] if self.has(name) else []

    def place(self, name: str) -> str:
        """The archive and the key."""
        return f"{self.path} ({name})"
