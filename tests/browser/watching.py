"""What a page must never do, noticed as it does it: complain, fail a request, or ask another machine."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

_NO_SERVER = re.compile(
    r"net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED|ABORTED)|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|SOCKET_NOT_CONNECTED)"
)
_TOLD_BY_RESPONSE = "Failed to load resource: the server responded with a status of"
"""What the console says of an answer that `_on_response` judges."""


class Watch:
    """Collects the problems of all pages of a context; `problems` must be empty in the end.

    own: scheme, host and port of the servers that may be asked.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.own: set[str] = set()
        self.problems: list[str] = []
        self._expected: list[tuple[int, str]] = []
        self._down = False
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failed)
        context.on("response", self._on_response)

    def expect(self, status: int, path: str) -> None:
        """Let answers with this status pass for addresses whose path matches a regular expression."""
        self._expected.append((status, path))

    @contextmanager
    def server_down(self) -> Iterator[None]:
        """Within the block, requests may find no server; anything else is still a problem."""
        self._down = True
        try:
            yield
        finally:
            self._down = False

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        where = message.location.get("url", "") if message.location else ""
        if message.text.startswith(_TOLD_BY_RESPONSE):
            return
        if self._down and _NO_SERVER.search(message.text):
            return
        self.problems.append(f"console {message.type}: {message.text} ({where})")

    def _on_error(self, error: WebError) -> None:
        self.problems.append(f"uncaught: {error.error}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme == "data" or request.url.startswith(tuple(f"blob:{origin}/" for origin in self.own)):
            return
        if f"{parts.scheme}://{parts.netloc}" not in self.own:
            self.problems.append(f"asked another host: {request.url}")

    def _on_failed(self, request: Request) -> None:
        why = request.failure or ""
        if self._down and _NO_SERVER.search(why):
            return
        only_asks = request.method == "GET" or request.url.endswith("/api/words")
        if only_asks and "ERR_ABORTED" in why:  # the page took back what it no longer wants to know
            return
        self.problems.append(f"request failed: {request.method} {request.url} ({request.resource_type}): {why}")

    def _on_response(self, response: Response) -> None:
        if response.status < 400 or any(
            response.status == status and re.search(path, response.url) for status, path in self._expected
        ):
            return
        self.problems.append(f"{response.status}: {response.request.method} {response.url}")
