"""The calls as addresses: each parses what came in, asks the service, and sends what it says."""

import logging
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pipelines.serving.asking.work import Work
from pipelines.serving.corrections_messages import Correction, CorrectionsQuery
from pipelines.serving.faults import Busy, NotNow, NotOurs, NotThere, TooLarge
from pipelines.serving.footage.cut_store import AT_ONCE, MOST_WAITING
from pipelines.serving.footage.exports import attachment
from pipelines.serving.messages import Ask, AskCut, AskWords, Export, Fault, Message, Nothing
from pipelines.serving.search_messages import AskLibrary
from pipelines.serving.service import Service
from pipelines.serving.web import page_files, playback, upload_calls
from pipelines.serving.web.api import CALLS, openapi
from pipelines.serving.web.bodies import body_of, query_of
from pipelines.serving.web.rooms import Room
from pipelines.serving.web.streams import events, last_seen
from spikemba.errors import OutputError, SpikeMbaError, VideoError
from spikemba.files import json_text
from spikemba.reading.printable import utf8_text
from spikemba.video.stopping import Stopped

STATUS: tuple[tuple[type[SpikeMbaError], int], ...] = (
    (NotThere, 404),
    (NotNow, 409),
    (TooLarge, 413),
    (NotOurs, 415),
    (VideoError, 422),
    (Busy, 503),
    (OutputError, 507),
    (SpikeMbaError, 400),
)
"""The first that fits."""
T = TypeVar("T")
_log = logging.getLogger("spikemba")


def web_app(service: Service) -> Starlette:
    """What answers over HTTP, without any guard."""
    site = Site(service)
    routes = [
        Route(call.path, partial(HANDLERS[call.name], site), methods=[call.method])
        for call in CALLS
        if call.name in HANDLERS
    ]
    app = Starlette(
        routes=[*routes, *playback.routes(service), *upload_calls.routes(service), *page_files.routes()],
        exception_handlers={
            SpikeMbaError: refused,
            HTTPException: not_an_address,
            Stopped: nobody_there,
            Exception: broken,
        },
    )
    app.router.redirect_slashes = False  # each address is written in one way
    return app


def refused(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """What is wrong, in one line, under the number of its kind."""
    status = next(number for kind, number in STATUS if isinstance(error, kind))
    return fault(status, str(error), {"Retry-After": "2"} if status == 503 else None)


def not_an_address(request: Request, error: Exception) -> Response:
    """An address or a method that there is not."""
    assert isinstance(error, HTTPException)
    said = {
        404: "there is no such address; GET /api/openapi.json lists all",
        405: f"{request.method} is not taken here; GET /api/openapi.json lists what is",
    }
    return fault(error.status_code, said.get(error.status_code, error.detail), dict(error.headers or {}))


def nobody_there(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """The client has left before its turn, or while its call was worked on."""
    return Response(status_code=499)


def broken(request: Request, error: Exception) -> Response:
    """A fault of this program; its traceback is the server's to see."""
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return fault(500, f"the server failed ({type(error).__name__}); its terminal shows where: please report that")


def fault(status: int, problem: str, headers: dict[str, str] | None = None) -> Response:
    """One line about what is wrong."""
    body = Fault(error=utf8_text(" ".join(problem.split())))
    return Response(body.model_dump_json(exclude_none=True), status, headers, media_type="application/json")


def sent(message: Message, status: int = 200) -> Response:
    """A message as JSON."""
    return _text(message.model_dump_json(), status)


def _text(document: str, status: int = 200) -> Response:
    return Response(document, status, {"Cache-Control": "no-store"}, media_type="application/json")


class Site:
    """A service, and the rooms in which what takes long is done: see `rooms`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.listing = Room("lists", 2, 64)
        self.knowing = Room("what is known", 2, 64)
        self.looking = Room("looking into files", 4, 200)
        self.telling = Room("answers", 2, 64)
        self.wording = Room("effects of words", service.options.workers, 16)
        self.exporting = Room("exports", 2, 16)
        self.cutting = Room("cuts", AT_ONCE, MOST_WAITING)
        self.hearing = Room("corrections", 2, 32)

    async def in_room(self, room: Room, request: Request, work: Callable[..., T], *given: object) -> T:
        """What the work gives, in its turn. Raises Busy, Stopped, what the work raises."""
        return await room.do(lambda stop: work(*given), request.is_disconnected)


async def _state(site: Site, request: Request) -> Response:  # noqa: ARG001
    return sent(await run_in_threadpool(site.service.state))


async def _videos(site: Site, request: Request) -> Response:
    return _text(await site.in_room(site.listing, request, lambda: site.service.list().model_dump_json()))


async def _video(site: Site, request: Request) -> Response:
    return sent(await site.in_room(site.looking, request, site.service.info, request.path_params["id"]))


async def _ask(site: Site, request: Request) -> Response:
    asked = await body_of(request, Ask)
    question = await run_in_threadpool(site.service.ask, asked)
    return _text(question.document(), 201)


async def _question(site: Site, request: Request) -> Response:
    question = site.service.question(request.path_params["id"])
    return _text(await site.in_room(site.telling, request, question.document))


async def _events(site: Site, request: Request) -> Response:
    return _stream(site.service.question(request.path_params["id"]), request)


def _stream(work: Work, request: Request) -> Response:
    after = last_seen(request.headers.get("last-event-id"))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(work, after), headers=headers, media_type="text/event-stream")


async def _cancel(site: Site, request: Request) -> Response:
    await body_of(request, Nothing)
    question = site.service.cancel(request.path_params["id"])  # done, though nobody be told of it
    return _text(await site.in_room(site.telling, request, question.document))


async def _search(site: Site, request: Request) -> Response:
    asked = await body_of(request, AskLibrary)
    search = await run_in_threadpool(site.service.search, asked)
    return _text(search.document(), 201)


async def _found(site: Site, request: Request) -> Response:
    search = site.service.lanes.get_search(request.path_params["id"])
    return _text(await site.in_room(site.telling, request, search.document))


async def _search_events(site: Site, request: Request) -> Response:
    return _stream(site.service.lanes.get_search(request.path_params["id"]), request)


async def _cancel_search(site: Site, request: Request) -> Response:
    await body_of(request, Nothing)
    search = site.service.lanes.cancel_search(request.path_params["id"])
    return _text(await site.in_room(site.telling, request, search.document))


async def _truth(site: Site, request: Request) -> Response:
    return sent(await site.in_room(site.knowing, request, site.service.truth, request.path_params["id"]))


async def _words(site: Site, request: Request) -> Response:
    asked = await body_of(request, AskWords)
    return sent(await site.in_room(site.wording, request, site.service.words, asked))


async def _export(site: Site, request: Request) -> Response:
    asked = await body_of(request, Export)
    file = await site.in_room(site.exporting, request, site.service.export, asked)
    headers = {"Content-Disposition": attachment(file.name), "Cache-Control": "no-store"}
    return Response(file.body, headers=headers, media_type=file.media_type)


async def _cut(site: Site, request: Request) -> Response:
    asked = await body_of(request, AskCut)
    return sent(await site.in_room(site.cutting, request, site.service.cut, asked), 201)


async def _corrections(site: Site, request: Request) -> Response:
    asked = query_of(request, CorrectionsQuery)
    return sent(await site.in_room(site.knowing, request, site.service.corrections, asked))


async def _correct(site: Site, request: Request) -> Response:
    said = await body_of(request, Correction)
    return sent(await site.in_room(site.hearing, request, site.service.correct, said), 201)


async def _openapi(site: Site, request: Request) -> Response:  # noqa: ARG001
    return Response(_document(), media_type="application/json")


@cache
def _document() -> str:
    return json_text(openapi())


HANDLERS: dict[str, Callable[[Site, Request], Awaitable[Response]]] = {
    "openapi": _openapi,
    "state": _state,
    "videos": _videos,
    "video": _video,
    "truth": _truth,
    "ask": _ask,
    "question": _question,
    "events": _events,
    "cancel": _cancel,
    "search": _search,
    "found": _found,
    "search_events": _search_events,
    "cancel_search": _cancel_search,
    "words": _words,
    "export": _export,
    "cut": _cut,
    "corrections": _corrections,
    "correct": _correct,
}
"""By the names of the table; videos in pieces and uploads have addresses of their own modules."""
