"""What every call of a language model does: mendable faults become the tool's errors, and progress is reported."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from pipelines.serving.asking.work import Work
from spikemba.errors import SpikeMbaError


class Progress(NamedTuple):
    """How far something is; `done` may have a part of one."""

    done: float
    total: float
    message: str


@contextmanager
def mendable() -> Iterator[None]:
    """Faults that the caller can mend are the tool's errors; all others are bugs."""
    try:
        yield
    except SpikeMbaError as error:
        raise ToolError(str(error)) from error


async def until_over(work: Work, context: Context[Any, Any], progress: Callable[[], Progress]) -> None:
    """Wait for the end of what was asked for and report its progress, whose numbers only grow."""
    loop, changed, told = asyncio.get_running_loop(), asyncio.Event(), -1.0

    def tell() -> None:
        loop.call_soon_threadsafe(changed.set)

    with work.listening(tell):
        while True:
            changed.clear()
            now = progress()
            if now.total and now.done > told:
                told = now.done
                await context.report_progress(*now)
            if work.is_over:
                return
            await changed.wait()
