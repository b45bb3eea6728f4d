"""How a stage tells its caller what is going on: a function, so that no stage knows a terminal.

How far it is says `spikemba.progress`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


def unheard(path: Path, problem: str) -> None:
    """Tell nobody that a file failed."""


@dataclass(frozen=True)
class BestYet:
    """The epoch that is kept so far, and what chooses it."""

    metric: str
    epoch: int | None = None
    value: float | None = None
    """None before anything was validated."""


class TrainEvents(Protocol):
    """What a caller can be told while training goes on."""

    def epochs(self, done: int, total: int) -> None:
        """`done` of `total` epochs; told as training begins or goes on, and after each of them."""

    def step(self, done: int, total: int | None) -> None:
        """`done` of `total` optimiser steps of an epoch."""

    def epoch(self, row: Mapping[str, Any], best: BestYet) -> None:
        """An epoch ended; its row of metrics.jsonl, and the best one so far."""

    def note(self, message: str) -> None:
        """What was decided for this run."""

    def warn(self, message: str) -> None:
        """Something a person should look at."""


class Quiet:
    """Events that nobody watches."""

    def epochs(self, done: int, total: int) -> None:
        """Do nothing."""

    def step(self, done: int, total: int | None) -> None:
        """Do nothing."""

    def epoch(self, row: Mapping[str, Any], best: BestYet) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""
