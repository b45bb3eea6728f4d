"""Corrections over HTTP: what is kept comes back, and what cannot be kept is refused in one line, never with a 500."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving_site import serving

from pipelines.serving.service import ServiceOptions

CALL = "/api/corrections"


@pytest.fixture
def site(make_video, tmp_path):
    make_video("footage/kitchen.mp4", np.zeros((20, 32, 32, 3), np.uint8), fps=2)
    (tmp_path / "footage" / "broken.mp4").write_bytes(b"no video")
    options = ServiceOptions(corrections=tmp_path / "corrections")
    with serving([tmp_path / "footage"], options=options) as site:
        yield site


@pytest.fixture
def ids(site):
    return {one["name"]: one["id"] for one in site.ask("GET", "/api/videos").json()["videos"]}


@pytest.fixture
def said(ids):
    return {
        "name": "Ana",
        "video": ids["kitchen.mp4"],
        "query": "eggs",
        "windows": [[1, 2]],
        "wrong": [],
        "absent": False,
    }


def test_what_is_said_is_kept_listed_counted_and_true(site, said, tmp_path):
    reply = site.post(CALL, said)
    assert reply.status == 201
    row = reply.json()
    assert (row["vid"], row["duration"], row["relevant_windows"]) == ("kitchen", 10.0, [[1.0, 2.0]])
    written = json.loads((tmp_path / "corrections" / "Ana.jsonl").read_text("utf-8"))
    assert {key: value for key, value in row.items() if value is not None} == written
    assert site.ask("GET", f"{CALL}?video={said['video']}&query=eggs").json() == {
        "rows": [row],
        "n_problems": 0,
        "problem": None,
    }
    assert site.ask("GET", f"{CALL}?query=dogs").json()["rows"] == []
    listed = {one["name"]: one for one in site.ask("GET", "/api/videos").json()["videos"]}
    assert (listed["kitchen.mp4"]["n_corrections"], listed["kitchen.mp4"]["has_truth"]) == (1, True)
    assert listed["broken.mp4"]["n_corrections"] == 0
    (true,) = site.ask("GET", f"/api/videos/{said['video']}/truth").json()["queries"]
    assert true == {"query": "eggs", "windows": [[1.0, 2.0]], "absent": False, "by": "Ana"}


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"name": "../Ana"}, 400, "the name '../Ana' has '/'; expected 1 to 64 letters"),
        ({"name": ""}, 400, "name"),
        ({"name": "x" * 70}, 400, "the name has 70 characters"),
        ({"windows": [[2, 1]]}, 400, "windows holds [2, 1], which is no window; expected [start, end] in seconds"),
        ({"windows": [[9, 11]]}, 400, "windows holds [9, 11], and the video ends at 10 s"),
        ({"windows": [[-1, 1]]}, 400, "windows.0.0"),
        ({"windows": [[1]]}, 400, "windows.0"),
        ({"windows": [["1", "2"]]}, 400, "windows.0.0"),
        ({"windows": [[1, 2]] * 300}, 400, "windows: list should have at most 200 items"),
        ({"windows": []}, 400, "it says nothing; expected windows, wrong windows, or absent as true"),
        ({"absent": True}, 400, "it is absent and has 1 window; expected one of the two"),
        ({"wrong": [[1, 2]]}, 400, "the window [1, 2] is given as right and as wrong"),
        ({"query": " "}, 400, "query is ' '; expected a text"),
        ({"query": "x" * 3000}, 400, "query"),
        ({"video": "nothing"}, 404, "no video has the id 'nothing'"),
        ({"at": "2020"}, 400, "at is no key of this call"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_line(site, said, tmp_path, change, status, why):
    reply = site.post(CALL, said | change)
    assert (reply.status, why in reply.json()["error"]) == (status, True), reply.body
    assert "\n" not in reply.json()["error"]
    assert not (tmp_path / "corrections" / "Ana.jsonl").exists()


def test_a_video_that_cannot_be_read_and_numbers_that_are_none_are_refused(site, said, ids):
    assert site.post(CALL, said | {"video": ids["broken.mp4"]}).status == 422
    for number in ("NaN", "Infinity", "1e999"):
        body = json.dumps(said).replace("[1, 2]", f"[0, {number}]").encode()
        assert site.ask("POST", CALL, body).status == 400


def test_a_folder_that_cannot_be_written_is_said_without_its_place(site, said, tmp_path):
    (tmp_path / "corrections").write_bytes(b"")
    reply = site.post(CALL, said)
    assert 400 <= reply.status < 600
    assert "cannot write corrections: " in reply.json()["error"]
    assert str(tmp_path) not in reply.json()["error"]


def test_where_none_are_taken_that_is_said(make_video, tmp_path, said):
    with serving([tmp_path / "footage"]) as site:
        reply = site.post(CALL, said)
        assert (reply.status, reply.json()["error"]) == (
            409,
            "this server takes no corrections; start it with --corrections DIR",
        )


def test_many_people_at_once_lose_nothing(site, said):
    def say(i):
        return site.post(CALL, said | {"name": f"P{i % 5}", "query": f"sentence {i}"}).status

    with ThreadPoolExecutor(8) as people:
        assert {*people.map(say, range(60))} == {201}
    rows = site.ask("GET", CALL).json()["rows"]
    assert {row["query"] for row in rows} == {f"sentence {i}" for i in range(60)}
    assert len({row["qid"] for row in rows}) == 60


def test_a_row_that_is_shown_of_no_video_is_told_with_its_reason(site, said, tmp_path):
    site.post(CALL, said)
    path = tmp_path / "corrections" / "Ana.jsonl"
    path.write_text(path.read_text("utf-8").replace('"vid": "kitchen"', '"vid": "gone"'), "utf-8")
    found = site.ask("GET", f"{CALL}?video={said['video']}").json()
    assert (found["rows"], found["n_problems"]) == ([], 1)
    assert found["problem"].startswith("Ana.jsonl line 1: no video below")
    assert str(tmp_path) not in found["problem"]
