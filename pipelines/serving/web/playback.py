"""Videos as a browser takes them: the file itself by ranges, pieces of what it cannot play, pictures, cuts.

What takes time runs in threads of its own, a few at a time, and stops when nobody waits for it any more.
"""

import os
import re
from collections.abc import Callable
from functools import partial

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pipelines.serving.faults import NotThere
from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.messages import StillQuery
from pipelines.serving.service import Service
from pipelines.serving.web.bodies import query_of
from pipelines.serving.web.rooms import Room
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.reading.printable import printable
from spikemba.video.kept import etag_of
from spikemba.video.stills import Stills
from spikemba.video.stopping import Stop

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
_ASK_AGAIN = {"Cache-Control": "no-cache"}


def routes(service: Service) -> list[Route]:
    """The addresses of a video's pictures and sound."""
    stills = Stills()
    return [
        Route("/api/videos/{id}/file", partial(_file, service)),
        Route("/api/videos/{id}/pieces/{n}", partial(_piece, service, Room("pieces", AT_ONCE, WAITING))),
        Route("/api/videos/{id}/still", partial(_still, service, stills, Room("pictures", AT_ONCE, WAITING))),
        Route("/api/cuts/{id}", partial(_cut_file, service)),
    ]


async def _file(service: Service, request: Request) -> Response:
    video = await anyio.to_thread.run_sync(service.video, request.path_params["id"])
    size = await anyio.to_thread.run_sync(_readable, video)
    if "range" in request.headers:
        check_range(request.headers["range"], size)
    media_type = TYPES.get(video.path.suffix.lower(), "application/octet-stream")
    return FileResponse(video.path, media_type=media_type, headers=_ASK_AGAIN)


def _readable(video: ServedVideo) -> int:
    """Bytes of a file. Raises VideoError where it cannot be read."""
    try:
        with video.path.open("rb") as file:
            return file.seek(0, os.SEEK_END)
    except OSError as error:
        raise VideoError(video.name, f"cannot be opened ({error.strerror}); expected a readable file") from None


def check_range(asked: str, size: int) -> None:
    """Raises SpikeMbaError for what is no range of bytes, HTTPException for one that a file of this size has not."""
    shown = printable(asked[:60])
    parts = asked.partition("=")[2].split(",", RANGES)
    if len(parts) > RANGES or len(asked) > 40 * RANGES:
        raise SpikeMbaError(f"Range is {shown!r} and more; expected {RANGES} ranges at most")
    for part in parts:
        found = re.fullmatch(r"\s*([0-9]{0,18})-([0-9]{0,18})\s*", part)
        first, last = found.groups() if found else ("", "")
        if not (asked.startswith("bytes=") and (first or last)) or (first and last and int(first) > int(last)):
            raise SpikeMbaError(f"Range is {shown!r}; expected such as `bytes=0-499`")
        if (int(first) >= size) if first else not 0 < int(last) <= size:
            beyond = f"Range is {shown!r}; expected one within the file, which has {size} bytes"
            raise HTTPException(416, beyond, {"Content-Range": f"bytes */{size}"})


async def _cut_file(service: Service, request: Request) -> Response:
    cut = await anyio.to_thread.run_sync(service.cuts.get, request.path_params["id"])
    media_type = TYPES.get(cut.path.suffix.lower(), "application/octet-stream")
    return FileResponse(cut.path, media_type=media_type, filename=cut.name)


async def _piece(service: Service, room: Room, request: Request) -> Response:
    number = request.path_params["n"]
    if not (number.isascii() and number.isdigit() and len(number) < 8):
        raise NotThere(f"no piece is called {printable(number)[:40]!r}; they are counted from 0 on")
    video = await anyio.to_thread.run_sync(service.video, request.path_params["id"])

    def make(stop: Stop) -> bytes:
        n = len(service.pieces.playing(video.path, stop).limits)
        if int(number) >= n:
            there = f"it has 0 to {n - 1}" if n else "it is played as it is"
            raise NotThere(f"{video.name} has no piece {number}; {there}")
        return service.pieces.piece(video.path, int(number), stop)

    return await _made(video, f"piece {number}", "video/mp4", make, room, request)


async def _still(service: Service, stills: Stills, room: Room, request: Request) -> Response:
    asked = query_of(request, StillQuery)
    video = await anyio.to_thread.run_sync(service.video, request.path_params["id"])
    make = partial(stills.still, video.path, asked.at_s, asked.height)
    return await _made(video, f"still {asked.at_s} {asked.height}", "image/jpeg", make, room, request)


async def _made(
    video: ServedVideo,
    name: str,
    media_type: str,
    make: Callable[[Stop], bytes],
    room: Room,
    request: Request,
) -> Response:
    """What is made of a file, or that the browser has it."""
    headers = _ASK_AGAIN | {"ETag": _etag(video, name)}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        content = await room.do(make, request.is_disconnected)
    except VideoError as error:
        raise video.fault(error) from None
    return Response(content, media_type=media_type, headers=headers)


def _etag(video: ServedVideo, name: str) -> str:
    try:
        return etag_of(video.path, name)
    except OSError as error:
        raise VideoError(video.name, f"cannot be opened ({error.strerror}); expected a readable file") from None
