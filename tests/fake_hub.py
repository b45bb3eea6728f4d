"""A hub of models on 127.0.0.1: as much of its interface as pushing, looking up and downloading needs."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

TOKEN = "hf_" + "t" * 34


@dataclass
class Repository:
    """Files of the newest commit."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    """Status and code of the error that every question is answered with."""

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


@dataclass
class FakeHub:
    """What the server holds, and what it was asked."""

    beside: dict[str, bytes]
    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def environment(self, cache: str) -> dict[str, str]:
        """Variables under which huggingface_hub asks this server and nothing else."""
        own = {"HF_ENDPOINT": self.address, "HF_HOME": cache, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        return own | {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}


@contextmanager
def serving(beside: dict[str, bytes]) -> Iterator[FakeHub]:
    """Serve an empty hub; every repository that is made there also holds the files `beside`."""
    hub = FakeHub(beside=beside)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        path = self._path()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid username or password."})
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            self.hub.repositories.setdefault(
                name, Repository(wanted.get("visibility") == "private", dict(self.hub.beside))
            )
            return self._answer(200, {"url": f"{self.hub.address}/{name}", "name": name})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path):
            repository = self.hub.repositories[found[1]]
            return self._preupload(body) if found[2] == "preupload" else self._commit(found[1], repository, body)
        return self._answer(404, {"error": path})

    def do_GET(self) -> None:
        path = self._path()
        if path == "/api/whoami-v2":
            return self._answer(200, {"type": "user", "name": "me", "orgs": []})
        found = re.fullmatch(r"/(?:api/models/)?([^/]+/[^/]+?)(?:/(revision|tree|resolve)/([^/]+)(?:/(.*))?)?", path)
        repository = self.hub.repositories.get(found[1]) if found else None
        if found is None or repository is None:
            return self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if repository.refusal is not None:
            status, code = repository.refusal
            return self._answer(status, {"error": code}, {"X-Error-Code": code} if code else None)
        _, what, revision, file = found.groups()
        if revision not in (None, "main", repository.commit):
            return self._answer(404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        if what == "resolve":
            return self._file(repository, file)
        if what == "tree":
            return self._answer(200, [_entry(name, data) for name, data in repository.files.items()])
        siblings = [{"rfilename": name} for name in repository.files]
        return self._answer(200, {"id": found[1], "sha": repository.commit, "siblings": siblings, "private": False})

    do_HEAD = do_GET

    def _preupload(self, body: bytes) -> None:
        files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]
        self._answer(200, {"files": files})

    def _commit(self, name: str, repository: Repository, body: bytes) -> None:
        for line in map(json.loads, body.decode().splitlines()):
            if line["key"] == "header":
                repository.messages.append(line["value"]["summary"])
            elif line["key"] == "file":
                repository.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        url = f"{self.hub.address}/{name}/commit/{repository.commit}"
        self._answer(200, {"success": True, "commitUrl": url, "commitOid": repository.commit})

    def _file(self, repository: Repository, name: str) -> None:
        if name not in repository.files:
            return self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        data = repository.files[name]
        marks = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": repository.commit}
        return self._send(200, data, {**marks, "Content-Type": "application/octet-stream"})

    def _path(self) -> str:
        path = unquote(urlparse(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        return path

    def _answer(self, status: int, document: object, marks: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(document).encode(), {**(marks or {}), "Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, marks: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**marks, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _entry(name: str, data: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
