"""The events of a question, or of a search, as a browser's EventSource takes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from pipelines.serving.asking.work import Event, Work

KEEP_ALIVE_S = 10.0
"""Between two signs of life where nothing happens."""
STATE_EVERY_S = 0.2
"""Between two reports of how far it is, at least."""


def last_seen(header: str | None) -> int:
    """How many events a client has, by its Last-Event-ID; 0 where that says nothing."""
    return int(header) if header and header.isascii() and header.isdigit() and len(header) < 10 else 0


async def events(work: Work, after: int = 0) -> AsyncIterator[str]:
    """The events behind the first `after` ones, then each as it happens; over when the question is."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    at, version, told_at, due = after, -1, -STATE_EVERY_S, False

    def wake() -> None:
        if due and len(work.log) <= at:
            return  # how far it is will be told in any case
        with suppress(RuntimeError):  # the loop may have ended
            loop.call_soon_threadsafe(changed.set)

    if work.is_over:
        at = min(at, len(work.log) - 1)  # the end is said to everybody
    with work.listening(wake):
        while True:
            changed.clear()
            over, seen = work.is_over, work.version
            for number, event in enumerate(work.log[at:], start=at + 1):
                yield _sent(event, number)
                at = number
            if over:
                return
            due_s = told_at + STATE_EVERY_S - loop.time()
            due = seen != version and due_s > 0
            if seen != version and not due:
                version, told_at = seen, loop.time()
                yield f"event: state\ndata: {work.status().model_dump_json()}\n\n"
                continue
            try:
                await asyncio.wait_for(changed.wait(), due_s if due else KEEP_ALIVE_S)
            except TimeoutError:
                if not due:
                    yield ": still here\n\n"


def _sent(event: Event, number: int) -> str:
    return f"id: {number}\nevent: {event.kind}\ndata: {event.data}\n\n"
