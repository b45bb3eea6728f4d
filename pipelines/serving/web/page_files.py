"""The files of the page, as they lie beside this module: those, and nothing else."""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGE = Path(__file__).parents[1] / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
}
"""Endings of files that belong to a page."""


def page_files(folder: Path = PAGE) -> dict[str, Path]:
    """Address below /page/ -> file; listed once, so that no address is ever made into a path."""
    found = (path for path in folder.rglob("*") if path.suffix in TYPES and path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def routes(folder: Path = PAGE) -> list[Route]:
    """The page and its files."""
    files = page_files(folder)

    def index(request: Request) -> Response:
        return _sent(request, files.get("index.html"))

    def file(request: Request) -> Response:
        return _sent(request, files.get(request.path_params["name"]))

    return [Route("/", index), Route("/page/{name:path}", file)]


def _sent(request: Request, path: Path | None) -> Response:
    """The file, or that the browser has it; it asks each time, so that a new version is seen at once."""
    if path is None or not path.is_file():
        return Response("there is no such file of the page\n", 404, media_type="text/plain; charset=utf-8")
    body = path.read_bytes()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in (request.headers.get("if-none-match") or ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=TYPES[path.suffix], headers=headers)
