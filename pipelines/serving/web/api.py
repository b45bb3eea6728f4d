"""All calls in one table: what the server's addresses are made of, and docs/openapi.json.

python -m pipelines.serving.web.api > docs/openapi.json
"""

import re
import sys
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.json_schema import models_json_schema

from pipelines.serving import corrections_messages as c
from pipelines.serving import messages as m
from pipelines.serving import search_messages as s
from pipelines.serving.upload_messages import Upload, UploadPart, UploadProgress
from spikemba import __version__
from spikemba.files import json_text

JSON = "application/json"


@dataclass(frozen=True)
class Call:
    """An address, what goes in and what comes out."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    name: str
    summary: str
    reply: type[m.Message] | str
    """A record, or the type of media that it is."""
    body: type[m.Message] | None = None
    query: type[m.Message] | None = None
    """What stands behind the address's `?`."""
    status: int = 200
    more: str = ""
    """What the summary has no room for."""

    @property
    def refusals(self) -> tuple[int, ...]:
        """Numbers of the answers that say what is wrong, beside those of every call."""
        own = [400] if self.body or self.query else []
        own += (
            [404]
            if "{" in self.path or self.name in ("ask", "search", "words", "cut", "export", "correct", "corrections")
            else []
        )
        own += {
            **{name: [503] for name in ("videos", "question", "cancel", "found", "cancel_search", "truth")},
            "video": [422, 503],
            "file": [400, 416, 422],
            "piece": [422, 503],
            "still": [422, 503],
            "ask": [503],
            "search": [503],
            "words": [409, 422, 503],
            "cut": [422, 503, 507],
            "export": [409, 422, 503],
            "correct": [409, 422, 503, 507],
            "corrections": [409, 503],
            "upload": [404, 413, 503, 507],
            "upload_part": [409, 422, 507],
        }.get(self.name, [])
        return tuple(sorted({*own}))


EVENTS = (
    "`event: state` carries a QuestionState, `event: answer` an AnswerMessage, `event: failed` a Failure, and "
    "`event: end` a QuestionState, after which the stream is over. All but `state` have an id: a client that sends the "
    "last one as Last-Event-ID gets what came after it. A comment comes every ten seconds where nothing happens."
)
FOUND = (
    "`event: state` carries a SearchState, `event: found` the keys `found` and `answers` of a SearchMessage, and "
    "`event: end` a SearchState, after which the stream is over; otherwise as of a question."
)
CALLS: tuple[Call, ...] = (
    Call("GET", "/api/openapi.json", "openapi", "This document.", JSON),
    Call("GET", "/api/state", "state", "What this server is and can do.", m.State),
    Call("GET", "/api/videos", "videos", "All videos; no file is opened.", m.Videos),
    Call("GET", "/api/videos/{id}", "video", "What a file says of itself, and how a browser plays it.", m.VideoInfo),
    Call("GET", "/api/videos/{id}/file", "file", "The file as it is, or ranges of its bytes.", "video/*"),
    Call("GET", "/api/videos/{id}/pieces/{n}", "piece", "A piece of a video, as a whole MP4 from 0 on.", "video/mp4"),
    Call("GET", "/api/videos/{id}/still", "still", "One picture of a video.", "image/jpeg", query=m.StillQuery),
    Call("GET", "/api/videos/{id}/truth", "truth", "What is known to be true of a video.", m.Truths),
    Call("POST", "/api/questions", "ask", "Ask a sentence of some videos.", m.QuestionMessage, m.Ask, None, 201),
    Call("GET", "/api/questions/{id}", "question", "A question with what was found so far.", m.QuestionMessage),
    Call("GET", "/api/questions/{id}/events", "events", "What becomes of it.", "text/event-stream", more=EVENTS),
    Call("POST", "/api/questions/{id}/cancel", "cancel", "Stop it; what is found stays.", m.QuestionMessage, m.Nothing),
    Call("POST", "/api/searches", "search", "Ask the whole library.", s.SearchMessage, s.AskLibrary, None, 201),
    Call("GET", "/api/searches/{id}", "found", "A search with what was found.", s.SearchMessage),
    Call("GET", "/api/searches/{id}/events", "search_events", "What becomes of it.", "text/event-stream", more=FOUND),
    Call("POST", "/api/searches/{id}/cancel", "cancel_search", "Stop looking.", s.SearchMessage, m.Nothing),
    Call("POST", "/api/words", "words", "What each word contributes to a window.", m.Words, m.AskWords),
    Call("POST", "/api/exports", "export", "Answers as a file, in the formats of `spikemba ground`.", "*/*", m.Export),
    Call("POST", "/api/cuts", "cut", "Cut a part out of a video.", m.CutMessage, m.AskCut, None, 201),
    Call("GET", "/api/cuts/{id}", "cut_file", "A part that was cut out.", "video/*"),
    Call("GET", "/api/corrections", "corrections", "What people said.", c.Corrections, query=c.CorrectionsQuery),
    Call("POST", "/api/corrections", "correct", "Say what is right.", c.CorrectionRow, c.Correction, None, 201),
    Call("POST", "/api/uploads", "upload", "Begin to add a video.", UploadProgress, Upload, None, 201),
    Call(
        *("PUT", "/api/uploads/{id}", "upload_part", "Add bytes to it, at most 8 MiB at once.", UploadProgress),
        query=UploadPart,
        more="The body is application/octet-stream. With the last byte the reply names the new video.",
    ),
)  # fmt: skip


def openapi() -> dict[str, Any]:
    """The table as OpenAPI 3.1 describes interfaces."""
    replies: set[type[m.Message]] = {one.reply for one in CALLS if not isinstance(one.reply, str)}
    replies |= {m.Fault, m.AnswerMessage, m.Failure, m.QuestionState, s.SearchState}
    bodies: set[type[m.Message]] = {one.body for one in CALLS if one.body is not None}
    _, schemas = models_json_schema(
        [
            (one, "serialization" if one in replies else "validation")
            for one in sorted(replies | bodies, key=lambda one: one.__name__)
        ],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spikemba serve",
            "version": __version__,
            "summary": "Videos, sentences, and the moments that they describe.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "responses": {
                str(number): {"description": why, "content": {JSON: {"schema": _ref(m.Fault)}}}
                for number, why in REFUSALS.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed where --host is not this machine alone; `spikemba serve` prints it.",
                }
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": call.name, "summary": call.summary}
    if call.more:
        found["description"] = call.more
    if parameters := [*_in_path(call.path), *_in_query(call.query)]:
        found["parameters"] = parameters
    if call.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(call.body)}}}
    elif call.method == "PUT":
        found["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    content = {call.reply: {}} if isinstance(call.reply, str) else {JSON: {"schema": _ref(call.reply)}}
    responses: dict[str, Any] = {str(call.status): {"description": call.summary, "content": content}}
    if call.name == "file":
        responses["206"] = {"description": "The ranges that were asked for.", "content": content}
    numbers = [*map(str, call.refusals), "default"]
    responses |= {number: {"$ref": f"#/components/responses/{number}"} for number in numbers}
    found["responses"] = responses
    return found


REFUSALS: dict[int | str, str] = {
    400: "What was asked is not possible as it stands.",
    404: "Nothing is called that.",
    409: "It cannot be done yet, or no more.",
    413: "It is too large.",
    416: "The file has no such bytes.",
    422: "The video cannot be read.",
    503: "Too much is asked for already; later the same call works.",
    507: "The server's disk does not take it.",
    "default": "The request is not let in: no token (401), another site (403) or host (421), too slow (408), too much "
    "(413, 429), of another type (415).",
}


def _in_path(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", path)
    kinds: dict[str, dict[str, Any]] = {"n": {"type": "integer", "minimum": 0}}
    return [
        {"name": name, "in": "path", "required": True, "schema": kinds.get(name, {"type": "string"})} for name in names
    ]


def _in_query(model: type[m.Message] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema()
    found = []
    for name, field in schema["properties"].items():
        described = {"description": field.pop("description")} if "description" in field else {}
        field.pop("title", None)
        required = name in schema.get("required", ())
        found.append({"name": name, "in": "query", "required": required, **described, "schema": field})
    return found


def _ref(model: type[m.Message]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


if __name__ == "__main__":
    sys.stdout.write(json_text(openapi()))
