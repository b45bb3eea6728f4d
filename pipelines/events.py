"""How a stage tells its caller what is going on: a function, so that no stage knows a terminal."""

from pathlib import Path
from typing import Protocol


class Report(Protocol):
    """Called as work gets done."""

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` units; total is None while it is not known."""


def unheard(path: Path, problem: str) -> None:
    """Tell nobody that a file failed."""


def silent(done: int, total: int | None) -> None:
    """Report nothing."""
