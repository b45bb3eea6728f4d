"""Connections in number and time: who opens many, or sends a request letter by letter, does not keep others out.

uvicorn waits for a request's head as long as the other side likes, and answers 503 to everybody once there are as many
connections as it may have. Here a head has its time, and where there are too many connections the one that was quiet
longest, of the address that has most, is closed for the new one.
"""

import asyncio
import time
from collections import Counter
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipelines.serving.access import SECURITY_HEADERS, error_body

HEAD_WITHIN_S = 10.0
"""Seconds from a request's first byte, or from the connection's beginning, to the end of its head."""
CONNECTIONS = 256
"""At once; each may hold a file open, and many systems give a process 1,024 of them."""
LINGER_S = 1.0
"""Seconds for which what still comes is dropped after a refusal: closed at once, the refusal would be lost."""
STALLED_S = 30.0
"""Seconds after which an answer that nobody takes may be given up for a new connection."""


class BoundedProtocol(H11Protocol):
    """One connection of uvicorn's, with its place among the others."""

    head_within_s, most_connections, stalled_s = HEAD_WITHIN_S, CONNECTIONS, STALLED_S

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._quiet_since = time.monotonic()
        self._paused_since: float | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, of another connection where there is none left."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._make_room()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and see whether a head is still being waited for."""
        self._quiet_since = time.monotonic()
        if not self._ended:
            super().data_received(data)
            self._await_head()

    def on_response_complete(self) -> None:
        """The answer is sent: what comes next is another head."""
        self._quiet_since = time.monotonic()
        super().on_response_complete()

    def shutdown(self) -> None:
        """The server ends."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # after a refusal there is nothing left to say
            self.transport.close()

    def pause_writing(self) -> None:
        """The other side does not take what is sent."""
        self._paused_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It takes it again."""
        self._paused_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, with the headers of every answer."""
        self._end_with(400, f"{msg.rstrip('.')}; expected HTTP/1.1 with one Host header")

    def _busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._busy() or self._ended or self.transport.is_closing():
            self._stop_timer()
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self.head_within_s, self._too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self._busy() and not self.transport.is_closing():
            if self.conn.trailing_data[0]:
                self._end_with(408, "the request did not arrive in time; send it whole")
            else:
                self.transport.close()

    def _end_with(self, status: int, line: str) -> None:
        """Answer without the app, and close."""
        body = error_body(line)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"cache-control", b"no-store"), *SECURITY_HEADERS, (b"connection", b"close")]
        head = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode())
        try:
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.write_eof()
        except (h11.LocalProtocolError, OSError):  # in the middle of another answer, or nobody is there any more
            self.transport.close()
            return
        self._ended = True
        self.loop.call_later(LINGER_S, self.transport.close)

    def _make_room(self) -> None:
        """Close the connection that is waited for longest, of the address that has most; else this new one."""
        now = time.monotonic()
        others = [one for one in self.connections if one is not self and isinstance(one, BoundedProtocol)]
        idle = [one for one in others if not one._busy() and not one.transport.is_closing()]
        stalled = [one for one in others if one._paused_since and now - one._paused_since >= self.stalled_s]
        candidates = idle or stalled
        counts = Counter(_address(one) for one in candidates)
        if candidates:
            victim = max(candidates, key=lambda one: (counts[_address(one)], now - one._quiet_since))
            victim.transport.abort()
        else:
            self._end_with(503, f"{self.most_connections} connections are open and busy; try again in a moment")


def _address(connection: H11Protocol) -> str:
    return connection.client[0] if connection.client else ""
