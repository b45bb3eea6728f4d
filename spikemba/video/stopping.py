"""Breaking off work on a file that nobody waits for any more."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Stop = Callable[[], bool]
"""Says whether to break off; asked now and then."""
T = TypeVar("T")


class Stopped(Exception):
    """Nobody waits for it any more."""


def going_on() -> bool:
    """The Stop of work that is always wanted."""
    return False


def until_stopped(items: Iterable[T], stop: Stop) -> Iterator[T]:
    """The items as they come. Raises Stopped."""
    for item in items:
        if stop():
            raise Stopped
        yield item
