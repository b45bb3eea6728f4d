"""docs/openapi.json says what the server does: the file is held to the table of calls, and replies to the file."""

import json
import shutil
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from kernel_cache import cache_with_kernels
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from pipelines.serving.service import Service, ServiceOptions
from pipelines.serving.web.api import CALLS, openapi
from pipelines.serving.web.app import web_app
from spikemba.files import json_text
from spikemba.grounder.grounder import load

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "shapes.mp4"
QUERY = "a red circle enters"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A server of the example and of a broken file, which the example's question was put to: `client.question`."""
    folder = tmp_path_factory.mktemp("films")
    shutil.copy(EXAMPLE, folder)
    (folder / "broken.mp4").write_text("no video")
    truth = folder / "truth.jsonl"
    row = {"qid": 1, "query": QUERY, "duration": 60, "vid": "shapes", "relevant_windows": [[22, 26]]}
    truth.write_text(json.dumps(row))
    options = ServiceOptions(1, folder / "corrections", folder / "new", 10**6, (truth,))
    with pytest.MonkeyPatch.context() as patch:
        cache = cache_with_kernels(tmp_path_factory.mktemp("cache"))
        patch.setenv("SPIKEMBA_CACHE", str(cache))
        service = Service([folder], {"mini": load("mini")}, options)
        with TestClient(web_app(service), raise_server_exceptions=False) as one:
            one.cache = cache
            one.ids = {video["name"]: video["id"] for video in one.get("/api/videos").json()["videos"]}
            one.question = over(one, one.post("/api/questions", json={"query": QUERY}).json()["id"])
            yield one
        service.close()


@pytest.fixture(autouse=True)
def _same_cache(client, monkeypatch):
    """The cache of the module's server, in place of one for each test."""
    monkeypatch.setenv("SPIKEMBA_CACHE", str(client.cache))


def over(client, question_id):
    until = time.monotonic() + PATIENCE_S
    while True:
        found = client.get(f"/api/questions/{question_id}").json()
        if found["state"] not in ("waiting", "working"):
            return found
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_file_is_what_the_code_says():
    assert (ROOT / "docs" / "openapi.json").read_text("utf-8") == json_text(openapi()), (
        "run `python -m pipelines.serving.web.api > docs/openapi.json`"
    )


def test_the_document_is_valid_openapi():
    validate(openapi())


def test_every_call_of_the_table_has_an_address_and_every_address_of_the_api_is_in_the_table(client):
    routes = {
        (method, route.path)
        for route in client.app.routes
        for method in route.methods - {"HEAD"}
        if route.path.startswith("/api/")
    }
    unnamed = {(method, path.replace("{number}", "{n}").replace("{number:int}", "{n}")) for method, path in routes}
    assert unnamed == {(call.method, call.path) for call in CALLS}


def checked(client, name, method, path, status, **how):
    """The reply of a call, which is as the document says."""
    call = next(one for one in CALLS if one.name == name)
    reply = client.request(method, path, **how)
    assert reply.status_code == status, reply.text
    document = openapi()
    described = document["paths"][call.path][method.lower()]["responses"][str(status)]
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
    (kind,) = described["content"]
    if kind == "application/json" and "schema" in described["content"][kind]:
        schema = described["content"][kind]["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(reply.json())
    return reply


def test_replies_are_as_the_document_says(client):
    shapes = client.ids["shapes.mp4"]
    window = {"video": shapes, "start_s": 22.0, "end_s": 26.0}
    checked(client, "openapi", "GET", "/api/openapi.json", 200)
    checked(client, "state", "GET", "/api/state", 200)
    checked(client, "videos", "GET", "/api/videos", 200)
    checked(client, "video", "GET", f"/api/videos/{shapes}", 200)
    checked(client, "truth", "GET", f"/api/videos/{shapes}/truth", 200)
    checked(client, "question", "GET", f"/api/questions/{client.question['id']}", 200)
    checked(client, "ask", "POST", "/api/questions", 201, json={"query": QUERY})
    checked(client, "cancel", "POST", f"/api/questions/{client.question['id']}/cancel", 200, json={})
    checked(client, "words", "POST", "/api/words", 200, json={**window, "query": QUERY})
    cut = checked(client, "cut", "POST", "/api/cuts", 201, json=window).json()
    checked(client, "cut_file", "GET", cut["url"], 200)
    said = {"name": "Ana", "video": shapes, "query": QUERY, "windows": [[22.0, 26.0]]}
    checked(client, "correct", "POST", "/api/corrections", 201, json=said)
    checked(client, "corrections", "GET", "/api/corrections", 200, params={"video": shapes})
    checked(client, "upload", "POST", "/api/uploads", 201, json={"name": "a.mp4", "size_bytes": 5})


@pytest.mark.parametrize(
    ("name", "method", "path", "status", "body"),
    [
        ("video", "GET", "/api/videos/nothing-0", 404, None),
        ("truth", "GET", "/api/videos/nothing-0/truth", 404, None),
        ("question", "GET", "/api/questions/0", 404, None),
        ("cut_file", "GET", "/api/cuts/0", 404, None),
        ("ask", "POST", "/api/questions", 400, {"query": ""}),
        ("ask", "POST", "/api/questions", 400, {"query": "a dog", "top": 101}),
        ("ask", "POST", "/api/questions", 400, {"query": "a dog", "top": "5"}),
        ("ask", "POST", "/api/questions", 400, {"query": "a dog", "min_exists": 1.5}),
        ("ask", "POST", "/api/questions", 400, {"query": "a dog", "extra": 1}),
        ("ask", "POST", "/api/questions", 400, {"query": "a dog", "show_all": True, "min_exists": 0.5}),
        ("ask", "POST", "/api/questions", 400, {"query": "   "}),
        ("ask", "POST", "/api/questions", 400, {"query": "a " * 200}),
        ("ask", "POST", "/api/questions", 400, [1]),
        ("ask", "POST", "/api/questions", 404, {"query": "a dog", "videos": ["nothing-0"]}),
        ("ask", "POST", "/api/questions", 404, {"query": "a dog", "checkpoints": ["nothing"]}),
        ("words", "POST", "/api/words", 404, {"query": "a dog", "video": "nothing-0", "start_s": 0.0, "end_s": 1.0}),
        ("cut", "POST", "/api/cuts", 404, {"video": "nothing-0", "start_s": 0.0, "end_s": 1.0}),
        ("export", "POST", "/api/exports", 404, {"question": "0", "format": "csv"}),
        ("export", "POST", "/api/exports", 400, {"question": "0", "format": "exe"}),
        ("corrections", "GET", "/api/corrections?video=nothing-0", 404, None),
        ("corrections", "GET", "/api/corrections?colour=red", 400, None),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(client, name, method, path, status, body):
    reply = checked(client, name, method, path, status, **({} if body is None else {"json": body}))
    assert "\n" not in reply.json()["error"]


def test_a_broken_file_is_told_of_by_its_name_and_not_its_path(client):
    reply = checked(client, "video", "GET", f"/api/videos/{client.ids['broken.mp4']}", 422)
    assert reply.json()["error"].startswith("broken.mp4: ")
    assert "/" not in client.question["failed"][0]["problem"].partition(":")[0]


def test_numbers_that_are_none_and_halves_of_characters_are_refused(client):
    for body in (b'{"query":"x","min_exists":NaN}', b'{"query":"\\ud800"}', b"{", b"", b'{"query":"x"'):
        reply = client.post("/api/questions", content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == 400, body
        assert "\n" not in reply.json()["error"]


def test_a_body_that_is_no_json_by_its_type_is_refused(client):
    reply = client.post("/api/questions", content=b'{"query":"x"}', headers={"Content-Type": "text/plain"})
    assert reply.status_code == 415


def test_events_resume_behind_the_last_one_that_was_seen(client):
    path = f"/api/questions/{client.question['id']}/events"
    whole, rest = client.get(path).text, client.get(path, headers={"Last-Event-ID": "1"}).text
    kinds = [line.removeprefix("event: ") for line in whole.splitlines() if line.startswith("event: ")]
    assert sorted(kinds) == ["answer", "end", "failed"]
    assert whole.endswith(rest)
    assert rest.startswith("id: 2\n")
    assert client.get(path, headers={"Last-Event-ID": "99"}).text.startswith("id: 3\nevent: end\n")


def test_an_answer_is_what_ground_prints_and_what_is_behind_it(client):
    (answer,) = client.question["answers"]
    printed = load("mini").ground(EXAMPLE, QUERY, top=5).to_dict()
    same = {"video", "video_id", "checkpoint", "calibrated", "nothing", "explained"}
    assert {key: value for key, value in answer.items() if key not in same} == {
        key: value for key, value in printed.items() if key != "video"
    }
    assert (answer["video"], answer["nothing"], answer["calibrated"]) == ("shapes.mp4", None, True)
    assert len(answer["explained"]["spike_steps"]) == len(answer["saliency"])


def test_the_table_of_an_export_names_videos_as_the_page_does(client):
    asked = {"question": client.question["id"], "format": "csv"}
    reply = client.post("/api/exports", json=asked)
    assert reply.text.splitlines()[0] == "video,query,rank,start_s,end_s,score,exists,model"
    assert reply.text.splitlines()[1].startswith("shapes.mp4,a red circle enters,1,")
    assert reply.headers["Content-Disposition"].startswith('attachment; filename="shapes_a-red-circle-enters.csv"; ')


@pytest.mark.parametrize("form", ["json", "srt", "vtt", "chapters", "edl", "fcpxml", "xml", "markers.csv", "otio"])
def test_every_format_is_exported(client, form):
    reply = client.post("/api/exports", json={"question": client.question["id"], "format": form})
    assert reply.status_code == 200
    assert "a red circle enters" in reply.text


@pytest.mark.parametrize("form", ["srt", "edl", "fcpxml", "chapters"])
def test_a_file_without_any_moment_is_refused_and_told(client, form):
    body = {"query": "a green star leaves", "videos": [client.ids["shapes.mp4"]], "min_exists": 1.0}
    question = client.post("/api/questions", json=body).json()["id"]
    client.get(f"/api/questions/{question}/events")
    reply = checked(client, "export", "POST", "/api/exports", 400, json={"question": question, "format": form})
    assert reply.json()["error"].startswith(f"there is no moment to write as {form}; ask with show_all")
    table = client.post("/api/exports", json={"question": question, "format": "csv"})
    assert table.text.splitlines() == ["video,query,rank,start_s,end_s,score,exists,model"]


def test_a_shape_is_refused_for_what_is_no_timeline(client):
    asked = {"question": client.question["id"], "format": "csv", "shape": "markers"}
    reply = checked(client, "export", "POST", "/api/exports", 400, json=asked)
    assert reply.json()["error"].startswith("csv is no timeline, so it has no shape")


def test_a_video_that_has_no_answer_cannot_be_exported(client):
    asked = {"question": client.question["id"], "format": "csv", "videos": [client.ids["broken.mp4"]]}
    checked(client, "export", "POST", "/api/exports", 409, json=asked)


def test_what_files_and_people_say_is_told_beside_each_other(client):
    shapes = client.ids["shapes.mp4"]
    said = {"name": "Zoë", "video": shapes, "query": "a whale", "absent": True}
    assert client.post("/api/corrections", json=said).json()["relevant_windows"] == []
    told = client.get(f"/api/videos/{shapes}/truth").json()["queries"]
    assert told[0] == {"query": QUERY, "windows": [[22.0, 26.0]], "absent": False, "by": "truth.jsonl"}
    assert {"query": "a whale", "windows": [], "absent": True, "by": "Zoë"} in told
    listed = {video["name"]: video for video in client.get("/api/videos").json()["videos"]}
    assert listed["shapes.mp4"]["has_truth"]
    assert not listed["broken.mp4"]["has_truth"]


def test_an_address_that_is_none_and_a_method_that_is_not_taken_are_told_as_json(client):
    assert client.get("/api/nothing").status_code == 404
    assert client.delete("/api/state").status_code == 405
    assert client.get("/page/../api.py").status_code == 404
    assert "error" in client.get("/api/nothing").json()
