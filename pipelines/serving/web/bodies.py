"""What comes in with a call: a small JSON document of a known form, or a fault in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request

from pipelines.serving.door.access import head_of
from pipelines.serving.door.admission import body_limit
from pipelines.serving.faults import NotOurs, TooLarge
from pipelines.serving.messages import Message
from spikemba.errors import SpikeMbaError
from spikemba.reading.printable import printable

SHOWN_FAULTS = 3
M = TypeVar("M", bound=Message)


async def body_of(request: Request, model: type[M]) -> M:
    """The document of a call. Raises TooLarge, NotOurs, SpikeMbaError for what is wrong in it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        kind = printable(request.headers.get("content-type", ""))[:60]
        raise NotOurs(f"the body is of type {kind!r}; expected `Content-Type: application/json`")
    taken, limit = bytearray(), body_limit(head_of(request.scope))
    async for chunk in request.stream():
        taken += chunk
        if len(taken) > limit:
            raise TooLarge(f"the body has more than {limit:,} bytes; send less at once")
    return parsed(bytes(taken), model)


def parsed(body: bytes, model: type[M]) -> M:
    """The document. Raises SpikeMbaError with what is wrong in one line."""
    with _one_line():
        return model.model_validate_json(body or b"{}")


def query_of(request: Request, model: type[M]) -> M:
    """What stands behind an address's `?`. Raises SpikeMbaError."""
    with _one_line():
        return model.model_validate_strings(dict(request.query_params))


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        lines = [_line(tuple(fault["loc"]), fault["msg"], fault["type"], fault["input"]) for fault in faults]
        more = f"; and {len(lines) - SHOWN_FAULTS} more" if len(lines) > SHOWN_FAULTS else ""
        raise SpikeMbaError("; ".join(lines[:SHOWN_FAULTS]) + more) from None


def _line(place: tuple[int | str, ...], message: str, kind: str, seen: object) -> str:
    said = message[:1].lower() + message[1:]
    if kind == "json_invalid":
        return f"the body is no JSON document ({said.removeprefix('invalid JSON: ')})"
    where = printable(".".join(map(str, place)))[:100] or "the body"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is no key of this call"
    return f"{where}: {said}, found {printable(repr(seen))[:60]}"
