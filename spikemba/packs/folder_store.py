"""A folder with a file or two per item: .npz, .npy, I3D's _rgb.npy beside _opt.npy, or .pt."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch
from spikemba.files import is_file
from spikemba.packs.store import ONLY
from spikemba.packs.tensors import tensor_shapes, tensor_values
from spikemba.reading.arrays import array_shape, array_shapes, read_array
from spikemba.video.names import file_about

PAIR = ("_rgb.npy", "_opt.npy")
"""Files of an item that are joined on the channels; each is an array of its own, by this key."""
FORMS = ((".npz",), (".npy",), PAIR, (".pt",), (".pth",))
"""Endings of the files that hold an item; whichever form is there first is read."""

ENDINGS = {".npz", ".npy", ".pt", ".pth"}
"""Suffixes of files of one item."""


class FolderStore:
    """Files of one encoder. A slash in a name is a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def names(self) -> list[str]:
        """All items, by listing the folder and those in it."""
        found: set[str] = set()
        for above, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = Path(above).relative_to(self.path).as_posix()
            there = set(files)
            for file in files:
                if name := _name(file, there):
                    found.add(name if inside == "." else f"{inside}/{name}")
        return sorted(found)

    def has(self, name: str) -> bool:
        """Whether the item's files are there."""
        return bool(self.files(name))

    def files(self, name: str) -> list[Path]:
        """The item's file, or the two that are joined."""
        return next(self._forms(name), [])

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Key -> shape, by the heads of the files."""
        files = self._found(name)
        if len(files) == 2:
            return {key: array_shape(path, ONLY) for key, path in zip(PAIR, files, strict=True)}
        path = files[0]
        if path.suffix == ".npz":
            return array_shapes(path)
        return {ONLY: array_shape(path, ONLY)} if path.suffix == ".npy" else tensor_shapes(path)

    def read(self, name: str, key: str) -> NDArray[Any]:
        """An array of the item."""
        files = self._found(name)
        if len(files) == 2:
            return read_array(dict(zip(PAIR, files, strict=True))[key], ONLY)
        path = files[0]
        return read_array(path, key) if path.suffix in (".npz", ".npy") else tensor_values(path, key)

    def place(self, name: str) -> str:
        """The item's file."""
        return str(next(iter(self.files(name)), self.path))

    def _forms(self, name: str) -> Iterator[list[Path]]:
        for endings in FORMS:
            files = [file_about(self.path, name, ending) for ending in endings]
            if all(map(is_file, files)):
                yield files

    def _found(self, name: str) -> list[Path]:
        """The item's files. Raises KeyError, and FeaturesMismatch where there are several forms of it."""
        forms = list(self._forms(name))
        if not forms:
            raise KeyError(name)
        if len(forms) > 1:
            first, second = forms[0][0], forms[1][0].name
            raise FeaturesMismatch(
                f"{first} and {second} beside it are both of {name!r}; expected one: delete the other"
            )
        return forms[0]


def _name(file: str, there: set[str]) -> str:
    """The item that a file is of; empty for none."""
    if file.startswith("."):
        return ""
    for ending, other in (PAIR, PAIR[::-1]):
        if file.endswith(ending) and file.removesuffix(ending) + other in there:
            return file.removesuffix(ending)
    ending = next((one for form in FORMS for one in form if file.endswith(one)), "")
    return file.removesuffix(ending) if ending else ""
