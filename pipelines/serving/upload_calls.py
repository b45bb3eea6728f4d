"""The two calls of uploads: one begins a file, the other adds a part to it."""

import re

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.serving.bodies import body_of
from pipelines.serving.catalogue import ServedVideos
from pipelines.serving.faults import NotThere
from pipelines.serving.messages import Message
from pipelines.serving.uploads import Uploads, WrongPlace
from spikemba.errors import SpikeMbaError
from spikemba.video.folders import absolute

OFF = "no new videos are taken; start the server with --uploads DIR to allow that"


class NewUpload(Message):
    """A file that is to come."""

    name: str = Field(min_length=1, max_length=1000)
    size_bytes: int = Field(ge=1, le=2**53)


class Begun(Message):
    """Where its parts go."""

    id: str
    received: int


class Received(Message):
    """How much of it is here."""

    received: int
    video: str | None = None
    """Its id, when it is whole."""


def routes(uploads: Uploads | None, videos: ServedVideos) -> list[Route]:
    """The addresses of uploads. uploads: None: none are taken."""

    async def begin(request: Request) -> Response:
        asked = await body_of(request, NewUpload)
        begun = await run_in_threadpool(_on(uploads).begin, asked.name, asked.size_bytes)
        return _sent(Begun(id=begun.id, received=0), 201)

    async def add(request: Request) -> Response:
        taken = _on(uploads)
        upload_id, at = request.path_params["id"], _at(request)
        try:
            await _receive(taken, upload_id, at, request)
        except WrongPlace as wrong:
            return JSONResponse({"error": str(wrong), "received": wrong.received}, 409)
        except ClientDisconnect:  # what came of the part is kept; the next one begins behind it
            return Response(status_code=400)
        upload = taken.get(upload_id)
        if not upload.is_whole:
            return _sent(Received(received=upload.received))
        path = await run_in_threadpool(taken.finish, upload)
        listed = await run_in_threadpool(videos.all, anew=True)
        found = next((one.id for one in listed if absolute(one.path) == absolute(path)), None)
        return _sent(Received(received=upload.received, video=found))

    return [Route("/api/uploads", begin, methods=["POST"]), Route("/api/uploads/{id}", add, methods=["PUT"])]


async def _receive(uploads: Uploads, upload_id: str, at: int, request: Request) -> None:
    with uploads.receiving(upload_id, at) as part:
        async for chunk in request.stream():
            await run_in_threadpool(part.write, chunk)


def _on(uploads: Uploads | None) -> Uploads:
    if uploads is None:
        raise NotThere(OFF)
    return uploads


def _at(request: Request) -> int:
    """Raises SpikeMbaError."""
    given = request.query_params.getlist("at")
    if len(given) != 1 or not re.fullmatch(r"[0-9]{1,16}", given[0], re.ASCII):
        raise SpikeMbaError("expected ?at=BYTES, the bytes that the server has of the file")
    return int(given[0])


def _sent(message: Message, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status, media_type="application/json")
