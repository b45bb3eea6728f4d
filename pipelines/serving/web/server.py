"""The server: a socket of its own, bounds on what a client may do to it, and an end within two seconds."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from pipelines.serving.door.admission import bracketed
from pipelines.serving.door.connections import BoundedProtocol
from pipelines.serving.service import Service
from spikemba.errors import SpikeMbaError

GRACE_S = 1
"""Seconds for what is being sent when the server is to end."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound. port: 0: any that is free. Raises SpikeMbaError where it cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise SpikeMbaError(f"--host {host} is no address of this machine; for this machine alone: 127.0.0.1") from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        problem = (error.strerror or str(error)).lower()
        raise SpikeMbaError(
            f"port {port} of {host} cannot be had ({problem}); name another one with --port, or --port 0 for any"
        ) from None
    return bound


def address_of(host: str, bound: socket.socket) -> str:
    """What a person opens."""
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else bracketed(host)
    return f"http://{shown}:{bound.getsockname()[1]}/"


class _Server(uvicorn.Server):
    """Ends the service's work as soon as it is told to end, so that no stream of events keeps it."""

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._when_started = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell that it answers from now."""
        await super().startup(sockets)
        self._when_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the work first: streams of events end with it."""
        self._service.stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; the second time at once."""
        if self.should_exit:
            os._exit(128 + sig)
        super().handle_exit(sig, frame)
        self._captured_signals.clear()  # not raised again: ended as it was asked to, this is no failure


def serve(app: Any, service: Service, bound: socket.socket, started: Callable[[], None] = lambda: None) -> None:
    """Answer until the process is told to end. What is computed then stops as soon as it looks up, in threads that
    nobody waits for: see `leave`.
    """
    server = _Server(configured(app), service, started)
    hang_up = getattr(signal, "SIGHUP", None)  # the terminal has gone
    in_main = threading.current_thread() is threading.main_thread()
    if hang_up is not None and in_main and signal.getsignal(hang_up) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(hang_up, server.handle_exit)
    try:
        server.run(sockets=[bound])
    finally:
        service.close()


def configured(app: Any) -> uvicorn.Config:
    """How uvicorn serves: quietly, since an address may hold a token, and without believing what proxies say."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="critical",  # the door tells of failures; what is cancelled at the end is none
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_S,
    )


def leave(code: int = 0) -> None:
    """End the process at once, though a thread be inside a library; files are whole or hidden until they are."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
