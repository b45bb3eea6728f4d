"""The calls as addresses: each parses what came in, asks the service, and sends what it says."""

import logging
from collections.abc import Awaitable, Callable
from functools import cache, partial

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pipelines.serving.asking.questions import Question
from pipelines.serving.faults import Busy, NotNow, NotOurs, NotThere, TooLarge
from pipelines.serving.footage.exports import attachment
from pipelines.serving.messages import (
    Ask,
    AskCut,
    AskWords,
    Correction,
    CorrectionsQuery,
    Export,
    Fault,
    Message,
    Nothing,
)
from pipelines.serving.service import Service
from pipelines.serving.web import page_files, playback, upload_calls
from pipelines.serving.web.api import CALLS, openapi
from pipelines.serving.web.bodies import body_of, query_of
from pipelines.serving.web.streams import events, last_seen
from spikemba.errors import OutputError, SpikeMbaError, VideoError
from spikemba.files import json_text
from spikemba.reading.printable import utf8_text

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
Handler = Callable[[Service, Request], Awaitable[Response]]
_log = logging.getLogger("spikemba")


def web_app(service: Service) -> Starlette:
    """What answers over HTTP, without any guard."""
    routes = [
        Route(call.path, partial(HANDLERS[call.name], service), methods=[call.method])
        for call in CALLS
        if call.name in HANDLERS
    ]
    app = Starlette(
        routes=[*routes, *playback.routes(service), *upload_calls.routes(service), *page_files.routes()],
        exception_handlers={SpikeMbaError: refused, HTTPException: not_an_address, Exception: broken},
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
    return Response(message.model_dump_json(), status, {"Cache-Control": "no-store"}, media_type="application/json")


async def _state(service: Service, request: Request) -> Response:  # noqa: ARG001
    return sent(await run_in_threadpool(service.state))


async def _videos(service: Service, request: Request) -> Response:  # noqa: ARG001
    return sent(await run_in_threadpool(service.list))


async def _video(service: Service, request: Request) -> Response:
    return sent(await run_in_threadpool(service.info, request.path_params["id"]))


async def _ask(service: Service, request: Request) -> Response:
    asked = await body_of(request, Ask)
    return _question_sent(await run_in_threadpool(service.ask, asked), 201)


async def _question(service: Service, request: Request) -> Response:
    return _question_sent(service.question(request.path_params["id"]))


async def _events(service: Service, request: Request) -> Response:
    question = service.question(request.path_params["id"])
    after = last_seen(request.headers.get("last-event-id"))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(question, after), headers=headers, media_type="text/event-stream")


async def _cancel(service: Service, request: Request) -> Response:
    await body_of(request, Nothing)
    return _question_sent(service.cancel(request.path_params["id"]))


async def _truth(service: Service, request: Request) -> Response:
    return sent(await run_in_threadpool(service.truth, request.path_params["id"]))


async def _words(service: Service, request: Request) -> Response:
    return sent(await run_in_threadpool(service.words, await body_of(request, AskWords)))


async def _export(service: Service, request: Request) -> Response:
    file = await run_in_threadpool(service.export, await body_of(request, Export))
    headers = {"Content-Disposition": attachment(file.name), "Cache-Control": "no-store"}
    return Response(file.body, headers=headers, media_type=file.media_type)


async def _cut(service: Service, request: Request) -> Response:
    return sent(await run_in_threadpool(service.cut, await body_of(request, AskCut)), 201)


async def _corrections(service: Service, request: Request) -> Response:
    asked = query_of(request, CorrectionsQuery)
    return sent(await run_in_threadpool(service.corrections, asked))


async def _correct(service: Service, request: Request) -> Response:
    return sent(await run_in_threadpool(service.correct, await body_of(request, Correction)), 201)


async def _openapi(service: Service, request: Request) -> Response:  # noqa: ARG001
    return Response(_document(), media_type="application/json")


@cache
def _document() -> str:
    return json_text(openapi())


def _question_sent(question: Question, status: int = 200) -> Response:
    return Response(question.document(), status, {"Cache-Control": "no-store"}, media_type="application/json")


HANDLERS: dict[str, Handler] = {
    "openapi": _openapi,
    "state": _state,
    "videos": _videos,
    "video": _video,
    "truth": _truth,
    "ask": _ask,
    "question": _question,
    "events": _events,
    "cancel": _cancel,
    "words": _words,
    "export": _export,
    "cut": _cut,
    "corrections": _corrections,
    "correct": _correct,
}
"""By the names of the table; videos in pieces and uploads have addresses of their own modules."""
