"""The door of the server: what `admission` refuses, tokens, bodies in size and time, and headers on every answer.

It is plain ASGI around the app, so that nothing can be added to the app that is not behind it.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.serving.door.admission import (
    Access,
    Head,
    Header,
    Refusal,
    body_limit,
    claim,
    from_another_site,
    refused,
    too_large,
)
from pipelines.serving.door.wrong_tokens import WrongTokens

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Access", "guarded"]

JSON_WITHIN_S, PART_WITHIN_S = 10.0, 120.0
"""Seconds within which a body has to arrive: 8 MiB pass in two minutes at half a megabit per second."""
LINGER_S, LINGER_BYTES = 1.0, 1024 * 1024
"""How long, and how much, is still read of a body that was refused: closed at once, the answer would be lost."""
STREAMS_OF_ONE, STREAMS = 64, 192
"""Answers that stay open (server-sent events) at once, of one address and of all."""

SECURITY_HEADERS: tuple[Header, ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_SET_HERE = {name for name, _ in SECURITY_HEADERS}

_log = logging.getLogger(__name__)


def guarded(app: "ASGIApp", access: Access) -> "ASGIApp":
    """The app behind the door."""
    return _Door(app, access)


class _Refused(Exception):
    """A body is too large or too slow, which is found while the app reads it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.line)
        self.refusal = refusal


@dataclass
class _Door:
    app: "ASGIApp"
    access: Access
    wrong: WrongTokens = field(default_factory=WrongTokens)
    streams: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            head = head_of(scope)
            try:
                trusted = self.access.token is None or _is_this_machine(head)
                await _Visit(head, receive, send, trusted=trusted).run(self, scope)
            except Exception:
                _log.exception("%s %s failed", head.method, head.path.decode("latin-1"))
                raise
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "no websockets here"})

    def refusal_of(self, head: Head) -> Refusal | None:
        """Why the request is not let in; None for one that is."""
        return refused(head, self.access) or self._token_refusal(head)

    def _token_refusal(self, head: Head) -> Refusal | None:
        token = self.access.token
        if token is None:
            return None
        cookie = cookie_name(head)
        brought, in_address = claim(head, token, cookie)
        if brought == "right":
            return _to_the_page(head, token) if in_address else None
        if brought == "wrong" and (wait_s := self.wrong.add(head.client)):
            line = f"too many wrong tokens; wait {wait_s} s, then open the address that `spikemba serve` printed"
            return Refusal(429, line, ((b"retry-after", str(wait_s).encode()),))
        line = "a token is needed; open the address that `spikemba serve` printed, or send Authorization: Bearer TOKEN"
        return Refusal(401, line, ((b"www-authenticate", b"Bearer"),))


def _is_this_machine(head: Head) -> bool:
    """Whether the address is one that no network leads to."""
    host = next(iter(head.all_of("host")), "").rpartition(":")[0]
    return host in ("localhost", "[::1]") or host.startswith("127.")


def cookie_name(head: Head) -> str:
    """Of the cookie with the token: ports of one machine share their cookies."""
    return f"spikemba-{head.here[1]}"


def _to_the_page(head: Head, token: str) -> Refusal:
    """From the address with the token to the page without it.

    A browser sends no strict cookie on the way from a link of another page, redirections included; a page of ours that
    goes on by itself is no other page.
    """
    cookie = f"{cookie_name(head)}={token}; Path=/; HttpOnly; SameSite=Strict"
    headers: tuple[Header, ...] = ((b"set-cookie", cookie.encode()),)
    if from_another_site(head):
        return Refusal(200, "", (*headers, (b"refresh", b"0; url=/")))
    return Refusal(303, "", (*headers, (b"location", b"/")))


class _Visit:
    """One request, from its head to the end of its answer."""

    def __init__(self, head: Head, receive: "Receive", send: "Send", *, trusted: bool) -> None:
        """trusted: a browser trusts the address, so it takes the header about openers; else it complains of it."""
        self.head = head
        self._receive, self._send = receive, send
        self._headers = [one for one in SECURITY_HEADERS if trusted or one[0] != b"cross-origin-opener-policy"]
        self._limit = body_limit(head)
        self._until = time.monotonic() + (PART_WITHIN_S if head.method == "PUT" else JSON_WITHIN_S)
        self._n_bytes = 0
        self._whole = not (head.all_of("transfer-encoding") or _length(head))
        self._started = self._gone = self._failed = False
        self._refusal: Refusal | None = None

    async def run(self, door: _Door, scope: "Scope") -> None:
        """Answer it."""
        if refusal := door.refusal_of(self.head):
            await self._refuse(refusal)
        elif self.head.method in ("GET", "HEAD") and self.head.path.endswith(b"/events"):
            await self._stream(door, scope)
        else:
            await self._pass_on(door, scope)

    async def _stream(self, door: _Door, scope: "Scope") -> None:
        streams, client = door.streams, self.head.client
        if streams[client] >= STREAMS_OF_ONE or streams.total() >= STREAMS:
            line = f"{streams[client]} answers are open already for {client}; close a page, or wait for one to end"
            await self._refuse(Refusal(429, line, ((b"retry-after", b"5"),)))
            return
        streams[client] += 1
        try:
            await self._pass_on(door, scope)
        finally:
            streams[client] -= 1
            if not streams[client]:
                del streams[client]

    async def _pass_on(self, door: _Door, scope: "Scope") -> None:
        secrets = (b"authorization", b"cookie")  # whatever the app writes anywhere, no token is in it
        query = b"" if self.head.path == b"/" else scope["query_string"]
        headers = [one for one in scope["headers"] if one[0] not in secrets]
        try:
            await door.app({**scope, "headers": headers, "query_string": query}, self.receive, self.send)
        except _Refused:
            pass
        except Exception as error:
            if self._refusal is None and not self._gone and not self._failed:
                kind = type(error).__name__
                _log.exception("%s %s failed", self.head.method, self.head.path.decode("latin-1"))
                self._refusal = Refusal(500, f"the server failed ({kind}), which is a bug; its log shows where")
        if self._refusal and not self._started and not self._gone:
            await self._refuse(self._refusal)

    async def receive(self) -> "Message":
        """The next part of the body, for the app. Raises _Refused for one too large or too slow."""
        if self._whole:
            return await self._receive()
        if self._refusal:
            raise _Refused(self._refusal)
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            self._refusal = Refusal(408, "the body did not arrive in time; send it again, a large one in smaller parts")
            raise _Refused(self._refusal) from None
        self._note(message)
        if self._n_bytes > self._limit:
            self._refusal = too_large(self._limit)
            raise _Refused(self._refusal)
        return message

    def _note(self, message: "Message") -> None:
        self._gone = self._gone or message["type"] == "http.disconnect"
        self._n_bytes += len(message.get("body", b""))
        self._whole = self._gone or not message.get("more_body", False)

    async def send(self, message: "Message") -> None:
        """A part of the app's answer, with the headers of all; nothing once the request was refused."""
        if self._refusal and not self._started:
            return
        if message["type"] == "http.response.start":
            self._started, self._failed = True, message["status"] == 500  # which who sends it has told of
            message = {**message, "headers": self._dressed(message.get("headers", ()))}
        await self._send(message)

    def _dressed(self, headers: Any) -> list[Header]:
        own = [(name.lower(), value) for name, value in headers]
        kept = [one for one in own if one[0] not in _SET_HERE and not one[0].startswith(b"access-control-")]
        closing = [] if self._whole else [(b"connection", b"close")]  # what still comes of the body is nobody's
        return [*kept, *self._headers, *closing]

    async def _refuse(self, refusal: Refusal) -> None:
        kind, body = _page(refusal) if self._wants_page(refusal) else _line(refusal)
        length = str(len(body)).encode()
        plain = [(b"content-type", kind), (b"content-length", length), (b"cache-control", b"no-store")]
        self._started = True
        start = {"type": "http.response.start", "status": refusal.status}
        await self._send({**start, "headers": self._dressed([*plain, *refusal.headers])})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await self._linger()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _wants_page(self, refusal: Refusal) -> bool:
        return self.head.path == b"/" and refusal.status in (200, 303, 401, 429)

    async def _linger(self) -> None:
        """Read on for a moment, so that whoever is still sending gets to read the answer."""
        over = self._n_bytes + LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while not self._whole and self._n_bytes < over:
                    self._note(await self._receive())
        except TimeoutError:
            pass


def head_of(scope: "Scope") -> Head:
    """The head of a request, as a server of ASGI hands it over."""
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
    return Head(
        method=scope["method"],
        path=scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass"),
        query=scope.get("query_string", b""),
        headers=tuple((name.lower(), value) for name, value in scope["headers"]),
        client=client[0],
        here=(server[0], server[1] or 0),
        version=scope.get("http_version", "1.1"),
    )


def _length(head: Head) -> int:
    (given,) = head.all_of("content-length")[:1] or ["0"]
    return int(given) if given.isdecimal() and given.isascii() else 1


def error_body(line: str) -> bytes:
    """A refusal as JSON."""
    return json.dumps({"error": line}).encode()


def _line(refusal: Refusal) -> tuple[bytes, bytes]:
    return b"application/json", error_body(refusal.line)


def _page(refusal: Refusal) -> tuple[bytes, bytes]:
    """A page without style for who opens the server in a browser and has no token yet."""
    said = {
        401: "This page needs a token. Open the whole address that <code>spikemba serve</code> printed.",
        429: "Too many wrong tokens. Wait a minute, then open the address that <code>spikemba serve</code> printed.",
    }.get(refusal.status, 'The token is right.</p><p><a href="/">Go on to the page</a>')
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>spikemba</title>'
        '<meta name="viewport" content="width=device-width"></head>\n'
        f"<body><main><h1>spikemba</h1><p>{said}</p></main></body></html>\n"
    )
    return b"text/html; charset=utf-8", text.encode()
