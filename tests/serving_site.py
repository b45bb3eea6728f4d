"""A real server on a port of its own in a thread, and a client that sends exactly the bytes that it is told to."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import uvicorn

from pipelines.serving.access import Access, guarded
from pipelines.serving.server import configured, listening
from pipelines.serving.service import Service, ServiceOptions
from pipelines.serving.web import web_app
from spikemba.video.files import write_video

SECRET = b"the secret of this machine"
MB = 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as what it says."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    port: int
    service: Service

    @property
    def host(self) -> str:
        """As a Host header names it."""
        return f"127.0.0.1:{self.port}"

    def connect(self, timeout_s: float = 10) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def send(self, data: bytes, *, timeout_s: float = 10) -> bytes:
        """Send bytes, and read until the server closes; what comes after a reset is nothing."""
        with self.connect(timeout_s) as connection:
            with suppress(OSError):  # it has closed already, and said why
                connection.sendall(data)
            return rest_of(connection)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str | None] | None = None
    ) -> Reply:
        """One request as a good client sends it, but for the headers given; None leaves one out."""
        return parsed(self.send(self.request(method, path, body, headers)))

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str | None] | None = None
    ) -> bytes:
        """The bytes of one request, on a connection that ends with it."""
        given: dict[str, str | None] = {"Host": self.host, "Connection": "close"}
        if body is not None:
            kind = "application/octet-stream" if method == "PUT" else "application/json"
            given |= {"Content-Type": kind, "Content-Length": str(len(body))}
        lines = [f"{name}: {value}" for name, value in (given | dict(headers or {})).items() if value is not None]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + (body or b"")

    def answers_of(self, requests: Sequence[bytes]) -> list[tuple[int, int]]:
        """The status of each answer and the bytes of its body; the requests are sent a hundred at a time."""
        found = []
        with self.connect(30) as connection, connection.makefile("rb") as reader:
            for start in range(0, len(requests), 100):
                some = requests[start : start + 100]
                connection.sendall(b"".join(some))
                found += [read_answer(reader) for _ in some]
        return found

    def post(self, path: str, document: Any, headers: Mapping[str, str | None] | None = None) -> Reply:
        """A call of the page."""
        return self.ask("POST", path, json.dumps(document).encode(), headers)


def films_beside_secrets(place: Path) -> Path:
    """A folder of films in `place`: one video, a text, and links out; a secret and another video beside it."""
    images = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
    write_video(place / "films" / "film.mp4", images, 10)
    write_video(place / "outside.mp4", images, 10)
    (place / "secret.txt").write_bytes(SECRET)
    (place / "films" / "notes.txt").write_bytes(SECRET)
    (place / "films" / "linked.mp4").symlink_to(place / "outside.mp4")
    (place / "films" / "secret.mp4").symlink_to(place / "secret.txt")
    (place / "films" / "up").symlink_to(place)
    return place


def refused(reply: Reply) -> bool:
    """Whether an answer is a refusal; each has the headers of all answers."""
    if reply.status:
        assert reply.headers["x-content-type-options"] == "nosniff", reply
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
        assert "access-control-allow-origin" not in reply.headers
    return 400 <= reply.status < 500


def read_answer(reader: IO[bytes]) -> tuple[int, int]:
    """The next answer on a connection that stays: its status and the bytes of its body."""
    status, length = int(reader.readline()[9:12]), 0
    while (line := reader.readline()) != b"\r\n":
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    return status, len(reader.read(length))


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    with suppress(OSError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def parsed(data: bytes) -> Reply:
    """An answer out of its bytes; status 0 where there is none."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Reply(int(first.split(" ")[1]) if first.startswith("HTTP/1.") else 0, headers, body)


def _unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        length, _, body = body.partition(b"\r\n")
        parts.append(body[: int(length, 16)])
        body = body[int(length, 16) + 2 :]
    return b"".join(parts)


@contextmanager
def serving(
    videos: Sequence[Path],
    models: Mapping[str, Any] | None = None,
    *,
    access: Access | None = None,
    options: ServiceOptions | None = None,
) -> Iterator[Site]:
    """A server of some videos, until the block ends."""
    service = Service(list(videos), dict(models or {}), options)
    bound = listening("127.0.0.1", 0)
    server = uvicorn.Server(configured(guarded(web_app(service), access or Access())))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield Site(bound.getsockname()[1], service)
    finally:
        server.should_exit = True
        thread.join(10)
        service.close()
        bound.close()
