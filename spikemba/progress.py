"""How long work tells its caller how far it is: a function, so that nothing here knows a terminal."""

from typing import Protocol


class Report(Protocol):
    """Called as work gets done."""

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` units; total is None while it is not known."""


def silent(done: int, total: int | None) -> None:
    """Report nothing."""
