"""How long work tells its caller how far it is: a function, so that nothing here knows a terminal."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Report(Protocol):
    """Called as work gets done."""

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` units; total is None while it is not known."""


def silent(done: int, total: int | None) -> None:
    """Report nothing."""


def reported(items: Iterable[T], total: int, report: Report) -> Iterator[T]:
    """The items as they come, each counted once it is dealt with."""
    report(0, total)
    for done, item in enumerate(items, start=1):
        yield item
        report(done, total)
