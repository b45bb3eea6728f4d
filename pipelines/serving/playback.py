"""Videos as a browser takes them: the file itself by ranges, pieces of what it cannot play, single pictures.

What takes time runs in threads of its own, a few at a time, and stops when nobody waits for it any more.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import anyio
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pipelines.serving.catalogue import ServedVideo
from pipelines.serving.faults import Busy
from pipelines.serving.service import Service, told
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.video.kept import etag_of
from spikemba.video.piece_reading import Stop, Stopped
from spikemba.video.stills import HEIGHTS

TYPES = {
    **dict.fromkeys((".mp4", ".m4v", ".f4v"), "video/mp4"),
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".ogv": "video/ogg",
}
AT_ONCE = 4
"""Pieces and pictures that are looked for at the same time, each; the others wait without a thread."""
WAITING = 200
"""Of them that may wait, at most."""
RANGES = 8
"""That one request may ask for, at most."""
_LOOK_S = 0.2
"""Between two looks whether the client is still there."""
_UNCHANGED = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


def routes(service: Service) -> list[Route]:
    """The addresses of a video's pictures and sound."""
    pieces, stills = _Turns(), _Turns()
    return [
        Route("/api/videos/{id}/file", partial(_file, service)),
        Route("/api/videos/{id}/pieces/{number}", partial(_piece, service, pieces)),
        Route("/api/videos/{id}/still", partial(_still, service, stills)),
    ]


async def _file(service: Service, request: Request) -> Response:
    asked = request.headers.get("range", "")
    if asked.count(",") >= RANGES or len(asked) > 40 * RANGES:
        raise SpikeMbaError(f"asks for {asked.count(',') + 1} ranges at once; expected {RANGES} at most")
    video = await anyio.to_thread.run_sync(service.video, request.path_params["id"])
    await anyio.to_thread.run_sync(_open_once, video)
    media_type = TYPES.get(video.path.suffix.lower(), "application/octet-stream")
    return FileResponse(video.path, media_type=media_type, headers=_UNCHANGED)


def _open_once(video: ServedVideo) -> None:
    """Raises VideoError where the file cannot be read."""
    try:
        video.path.open("rb").close()
    except OSError as error:
        raise VideoError(video.name, f"cannot be opened ({error.strerror}); expected a readable file") from None


async def _piece(service: Service, turns: "_Turns", request: Request) -> Response:
    number = _number(request.path_params["number"], "a piece")
    video = await anyio.to_thread.run_sync(service.video, request.path_params["id"])
    make = partial(service.pieces.piece, video.path, number)
    return await _made(video, f"piece {number}", "video/mp4", make, turns, request)


async def _still(service: Service, turns: "_Turns", request: Request) -> Response:
    at_s = _seconds(request.query_params.get("at_s", ""))
    height = _number(request.query_params.get("height", str(HEIGHTS[0])), "height")
    if height not in HEIGHTS:
        raise SpikeMbaError(f"height is {height}; expected {', '.join(map(str, HEIGHTS))}")
    video = await anyio.to_thread.run_sync(service.video, request.path_params["id"])
    make = partial(service.stills.still, video.path, at_s, height)
    return await _made(video, f"still {at_s} {height}", "image/jpeg", make, turns, request)


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise SpikeMbaError(f"{name} is {text[:40]!r}; expected a whole number from 0 on")
    return int(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        at_s = float(text)
        if 0 <= at_s < 1e7:
            return at_s
    raise SpikeMbaError(f"at_s is {text[:40]!r}; expected seconds from 0 on")


async def _made(
    video: ServedVideo,
    name: str,
    media_type: str,
    make: Callable[[Stop], bytes],
    turns: "_Turns",
    request: Request,
) -> Response:
    """What is made of a file, or that the browser has it."""
    headers = _UNCHANGED | {"ETag": etag_of(video.path, name)}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        content = await turns.do(make, request.is_disconnected)
    except Stopped:
        return Response(status_code=499)  # nobody reads it
    except VideoError as error:
        raise told(video, error) from None
    return Response(content, media_type=media_type, headers=headers)


class _Turns:
    """Work in a few threads; what waits for one of them holds none."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._waiting = 0

    async def do(self, make: Callable[[Stop], bytes], gone: Callable[[], Awaitable[bool]]) -> bytes:
        """What `make` gives.  gone: whether the client has left.  Raises Busy, Stopped, what `make` raises."""
        if self._waiting >= WAITING:
            raise Busy("too many pieces and pictures are being made; ask again in a moment")
        left = threading.Event()
        self._waiting += 1
        task = asyncio.ensure_future(
            anyio.to_thread.run_sync(_unless(left, make), limiter=self._limiter, abandon_on_cancel=False)
        )
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
                if await gone():
                    left.set()
            return task.result()
        finally:
            left.set()
            self._waiting -= 1


def _unless(left: threading.Event, make: Callable[[Stop], bytes]) -> Callable[[], bytes]:
    def call() -> bytes:
        if left.is_set():
            raise Stopped
        return make(left.is_set)

    return call
