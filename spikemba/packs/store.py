"""What every form of a pack offers: items by name, and in each of them arrays by key."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")

ONLY = ""
"""The key of an array that stands alone, as that of an npy or a plain tensor does."""


class Store(Protocol):
    """The items of a pack, as its files have them. All raise OSError, Unreadable; KeyError for what is not there."""

    path: Path

    def names(self) -> list[str]:
        """All items, sorted."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such an item."""
        ...

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Key -> shape of an item's arrays, without reading their numbers where the form allows it."""
        ...

    def read(self, name: str, key: str) -> NDArray[Any]:
        """One array of an item."""
        ...

    def files(self, name: str) -> list[Path]:
        """The files that hold an item; empty when there is none."""
        ...

    def place(self, name: str) -> str:
        """Where an item lies, for messages."""
        ...


class PerProcess(Generic[T]):
    """A file that is held open, by each process for itself: the workers of a loader must not share a place in it."""

    def __init__(self, opening: Callable[[], AbstractContextManager[T]]) -> None:
        self._opening = opening
        self._process: int | None = None
        self._context: AbstractContextManager[T] | None = None
        self._file: T | None = None

    def __call__(self) -> T:
        """The open file."""
        if self._file is None or self._process != os.getpid():
            self._context = self._opening()
            self._file, self._process = self._context.__enter__(), os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {"_opening": self._opening, "_process": None, "_context": None, "_file": None}
