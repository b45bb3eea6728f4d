"""Rooms for calls that take long: a few threads each and a short queue, so that quick calls are never behind them.

Starlette's own threads are forty for all calls together. A call that computes, reads a file through, or waits for
another one to do so would hold one of them for as long; here it waits without a thread, and where too many wait already
it is refused.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from pipelines.serving.faults import Busy
from spikemba.video.stopping import Stop, Stopped

T = TypeVar("T")
_LOOK_S = 0.2
"""Between two looks whether the client is still there."""


class Room:
    """Work of one kind in a few threads."""

    def __init__(self, what: str, at_once: int, waiting: int) -> None:
        """what: is made in it, in words.  at_once: threads.  waiting: calls that may wait for one of them."""
        self._what, self._most = what, at_once + waiting
        self._turns, self._threads = asyncio.Semaphore(at_once), anyio.CapacityLimiter(at_once)
        self._inside = 0

    async def do(self, make: Callable[[Stop], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """What `make` gives; it is told by its argument when nobody waits for it any more.

        gone: whether the client has left; one that waits for its turn gives up its place then.
        Raises Busy, Stopped, what `make` raises.
        """
        if self._inside >= self._most:
            raise Busy(
                f"{self._what}: {self._inside} such calls are open, and no more are taken; try again in a moment"
            )
        visit = _Visit()
        self._inside += 1
        task = asyncio.ensure_future(self._visited(visit, make))
        task.add_done_callback(self._left)
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
                if not visit.left.is_set() and await gone():
                    visit.left.set()
                    if not visit.begun:
                        raise Stopped
            return task.result()
        finally:
            visit.left.set()
            if not visit.begun:
                task.cancel()

    async def _visited(self, visit: "_Visit", make: Callable[[Stop], T]) -> T:
        async with self._turns:
            visit.begun = True
            return await anyio.to_thread.run_sync(_unless(visit.left, make), limiter=self._threads)

    def _left(self, task: "asyncio.Future[T]") -> None:
        self._inside -= 1
        if not task.cancelled():
            task.exception()  # nobody may be there to be told


class _Visit:
    """A call in a room."""

    def __init__(self) -> None:
        self.left, self.begun = threading.Event(), False


def _unless(left: threading.Event, make: Callable[[Stop], T]) -> Callable[[], T]:
    def call() -> T:
        if left.is_set():
            raise Stopped
        return make(left.is_set)

    return call
