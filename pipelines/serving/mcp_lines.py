"""What comes over stdin that is no message of the protocol: answered with an error in one line, not passed over.

The package hands such a line on as an exception, which its session drops; a client would wait for ever.
"""

import json
from types import TracebackType
from typing import Any

from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp.types import PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

from spikemba.reading.lines import broken_character
from spikemba.reading.printable import printable


class AnsweredLines:
    """The messages of a stream; what is none is answered at once, under the id that it has."""

    def __init__(self, read: ReadStream[SessionMessage | Exception], write: WriteStream[SessionMessage]) -> None:
        self._read, self._write = read, write

    @property
    def last_context(self) -> Any:
        """Of the sender of the last message."""
        return getattr(self._read, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message."""
        return await self._first_message(await self._read.receive())

    async def aclose(self) -> None:
        """Close the stream."""
        await self._read.aclose()

    def __aiter__(self) -> "AnsweredLines":
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return await self._first_message(await self._read.__anext__())

    async def _first_message(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        while isinstance(item, ValidationError):
            await self._write.send(SessionMessage(refusal(item)))
            item = await self._read.__anext__()
        return item

    async def __aenter__(self) -> "AnsweredLines":
        await self._read.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._read.__aexit__(kind, error, trace)


def refusal(error: ValidationError) -> JSONRPCError:
    """What is wrong with a line, in one line."""
    first = error.errors(include_url=False)[0]
    given = _document(first["input"])
    asked = given if isinstance(given, dict) and "method" in given else {}
    half = broken_character(json.dumps(given, ensure_ascii=False))
    why = f"it holds {half}, half of a character" if half else first["msg"][:1].lower() + first["msg"][1:]
    text = printable(f"the request cannot be read: {why}; expected one JSON-RPC message in UTF-8 per line")
    data = ErrorData(code=PARSE_ERROR, message=" ".join(text.split()))
    return JSONRPCError(jsonrpc="2.0", id=_id(asked.get("id")), error=data)


def _document(line: object) -> object:
    """A line as more lenient readers take it; None for one that nobody can read."""
    if not isinstance(line, str):
        return line
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _id(value: object) -> str | int | None:
    """The id of a request, which an answer can bear."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return value if isinstance(value, str) and broken_character(value) is None else None
