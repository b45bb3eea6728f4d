"""The page on serving: its calls are answered, and all calls, options and keys are on it."""

import json
import re
import shlex
import shutil
from pathlib import Path
from string import Template

import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient
from typed import run
from typer.main import get_command

import spikemba
from pipelines.serving.door.access import Access, guarded
from pipelines.serving.service import Service, ServiceOptions
from pipelines.serving.web.api import CALLS
from pipelines.serving.web.app import web_app
from spikemba_cli.main import app

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "serve.md"
STARTS = [(name, f"/api/{name}s") for name in ("question", "cut", "upload")] + [("search", "/api/searches")]
"""What the page's `$name` stands for: the id in the reply of a call."""
MODULES = ROOT / "pipelines" / "serving" / "page" / "modules"
AT = "http://127.0.0.1:8765"


def curls():
    """Words of each `curl` line of the page, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("curl ")]


def request_of(line, values):
    """(method, address, headers, body, file) of a curl line, with values in the place of its variables."""
    known = {"at": AT, "json": "Content-Type: application/json", **values}
    method, headers, body, file, address = None, {}, None, None, None
    for name in ("video", "question"):
        line = line.replace(f"'${name}'", f"${name}")  # out of the quotes of JSON and into them again
    _, *typed = shlex.split(Template(line).substitute(known))
    words = iter(typed)
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words).encode()
        elif word == "--data-binary":
            body = (ROOT / next(words).removeprefix("@")).read_bytes()
        elif word == "-X":
            method = next(words)
        elif word == "-o":
            file = next(words)
        elif word != "-N":
            assert address is None, line
            address = word
    return method or ("GET" if body is None else "POST"), address, headers, body, file


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The server on the example and its model, with all that can be switched on."""
    tmp_path = tmp_path_factory.mktemp("serve")
    shutil.copy(ROOT / "examples" / "shapes.mp4", tmp_path / "footage.mp4")
    library = tmp_path / "library"
    assert run("index", tmp_path / "footage.mp4", "--encoder", "mini", "--library", library).exit_code == 0
    options = ServiceOptions(corrections=tmp_path / "corrections", uploads=tmp_path / "new", library=library)
    service = Service([tmp_path / "footage.mp4"], {"mini": spikemba.load("mini")}, options)
    yield TestClient(guarded(web_app(service), Access.on("127.0.0.1")), base_url=AT)
    service.close()


def test_every_call_of_the_page_is_answered(client):
    values = {"video": client.get("/api/videos").json()["videos"][0]["id"]}
    for line in curls():
        method, address, headers, body, file = request_of(line, values)
        reply = client.request(method, address, headers=headers, content=body)
        if "/pieces/" in line:  # the example needs none: a browser plays it as it is
            assert reply.status_code in (200, 404), f"{line}\n{reply.text}"
            continue
        assert reply.is_success, f"{line}\n{reply.status_code} {reply.text}"
        assert reply.content
        if file is None and "/events" not in line:
            assert isinstance(reply.json(), dict), line
        for name, place in STARTS:
            if (method, address) == ("POST", AT + place):
                values[name] = reply.json()["id"]


def test_what_the_page_asks_of_the_example_is_found(client):
    values = {"video": client.get("/api/videos").json()["videos"][0]["id"]}
    (line,) = [one for one in curls() if one.endswith("$at/api/questions")]
    method, address, headers, body, _ = request_of(line, values)
    question = client.request(method, address, headers=headers, content=body).json()
    events = client.get(f"/api/questions/{question['id']}/events").text
    (answer,) = [json.loads(data) for data in re.findall(r"event: answer\n(?:id: .*\n)?data: (.*)", events)]
    best = answer["moments"][0]
    assert (best["start_s"], best["end_s"]) == (22.0, 26.0)  # as in README


def test_all_calls_are_on_the_page_once():
    values = {"video": "VIDEO", "question": "QUESTION", "search": "SEARCH", "cut": "CUT", "upload": "UPLOAD"}
    shown = []
    for line in curls():
        method, address, *_ = request_of(line, values)
        path = re.sub(r"VIDEO|QUESTION|SEARCH|CUT|UPLOAD", "{id}", address.removeprefix(AT).partition("?")[0])
        shown.append((method, path.replace("/pieces/0", "/pieces/{n}")))
    assert sorted(shown) == sorted((call.method, call.path) for call in CALLS)


def test_the_upload_of_the_page_has_the_size_of_its_file():
    (size,) = re.findall(r'"size_bytes": (\d+)', PAGE.read_text(encoding="utf-8"))
    assert int(size) == (ROOT / "examples" / "shapes.mp4").stat().st_size


def test_every_option_is_on_the_page():
    parameters = get_command(app).commands["serve"].params
    options = {name for one in parameters for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
    shown = set(re.findall(r"(?<![\w-])--[a-z-]+", PAGE.read_text(encoding="utf-8")))
    assert options - shown == set()


def test_the_keys_that_modules_bind_are_on_the_page():
    table = PAGE.read_text(encoding="utf-8").partition("### Keys")[2].partition("\n## ")[0]
    signs = {"ArrowLeft": "←", "ArrowRight": "→", " ": "space", "Escape": "Esc", "=": "+"}
    for module in MODULES.rglob("*.js"):
        for keys in re.findall(r'\bbind\((\[(?:"[^"]*"[, ]*)+\])', module.read_text(encoding="utf-8")):
            for key in json.loads(keys):
                sign = "1 … 9" if key.isdigit() and key != "0" else signs.get(key.removeprefix("Shift+"), key)
                assert sign in table, f"{module.name} binds {key!r}"
