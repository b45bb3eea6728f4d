"""A library asked over HTTP: the answer is that of `spikemba search`, and nothing tells where a file lies."""

import base64
import io
import json
import shutil
import time
from pathlib import Path

import av
import numpy as np
import pytest
from planted_library import BLUE, GREEN, NOTHING, RED, plant, planted_grounder
from starlette.testclient import TestClient

from pipelines.library.copying import copy_library
from pipelines.library.search import SearchSettings, search
from pipelines.library.upkeep import compact_library, drop_below
from pipelines.serving.asking import lanes
from pipelines.serving.footage import catalogue
from pipelines.serving.search_messages import SearchMessage
from pipelines.serving.searching.search import Search
from pipelines.serving.service import Service, ServiceOptions
from pipelines.serving.web.app import web_app
from spikemba.errors import LibraryError, command_line
from spikemba.library import Library
from spikemba.video.files import write_video

PATIENCE_S = 300
GREY = np.full((80, 32, 32, 3), 90, np.uint8)
SAID = [(2.0, 5.0, "and here come the elephants")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three videos of eight seconds, a copy of one, a secret beside them, and a library of them: `lib`."""
    for module, name, value in ((catalogue, "FRESH_S", 0.0), (catalogue, "SHARE", 0), (catalogue, "QUICK_S", 10.0)):
        monkeypatch.setattr(module, name, value)
    films = tmp_path / "films"
    (films / "holiday").mkdir(parents=True)
    write_video(films / "sea.mp4", GREY, 10)
    for name in ("holiday/sunset.mp4", "holiday/again.mp4", "wood.mp4"):
        shutil.copy(films / "sea.mp4", films / name)
    shutil.copy(films / "sea.mp4", tmp_path / "secret.mp4")
    rows = {
        films / "sea.mp4": [NOTHING, BLUE, BLUE, NOTHING],
        films / "holiday" / "sunset.mp4": [NOTHING, 0.9 * RED, 0.9 * RED, NOTHING],
        films / "holiday" / "again.mp4": [NOTHING, 0.9 * RED, 0.9 * RED, NOTHING],
        films / "wood.mp4": [0.6 * RED, NOTHING, GREEN, GREEN],
    }
    digests = dict.fromkeys([films / "holiday" / "sunset.mp4", films / "holiday" / "again.mp4"], "the same")
    plant(tmp_path / "lib", rows, digests=digests, texts={films / "sea.mp4": SAID})
    return tmp_path


@pytest.fixture
def client(folder):
    """A server of the library alone; `client.ids` names its videos."""
    yield from serving(ServiceOptions(library=folder / "lib"))


def serving(options, videos=(), **how):
    service = Service(list(videos), {"planted": planted_grounder(**how)}, options)
    with TestClient(web_app(service), raise_server_exceptions=False) as one:
        one.service = service
        one.ids = {video["name"]: video["id"] for video in one.get("/api/videos").json()["videos"]}
        yield one
    service.close()


def asked(client, **how):
    """What becomes of a search."""
    begun = client.post("/api/searches", json=how)
    assert begun.status_code == 201, begun.text
    until = time.monotonic() + PATIENCE_S
    while True:
        found = client.get(f"/api/searches/{begun.json()['id']}")
        SearchMessage.model_validate_json(found.text)
        if found.json()["state"] not in ("waiting", "working"):
            return found.json()
        assert time.monotonic() < until
        time.sleep(0.01)


def places(found):
    return [(one["video"], one["start_s"], one["end_s"]) for one in found["found"]["moments"]]


def test_the_answer_is_that_of_search_with_names_in_place_of_paths(client, folder):
    found = asked(client, query="red")
    with Library.open(folder / "lib") as library:
        same = search(library, planted_grounder(), "red", SearchSettings())
    assert places(found) == [(one.video.name, one.start_s, one.end_s) for one in same.moments]
    first, second = found["found"]["moments"]
    assert places(found) == [("again.mp4", 2.0, 6.0), ("wood.mp4", 0.0, 2.0)]
    assert first["score"] == pytest.approx(0.9, abs=1e-3)
    assert first["video_id"] == client.ids["again.mp4"]
    assert first["copies"] == [{"video": "sunset.mp4", "video_id": client.ids["sunset.mp4"]}]
    assert (found["found"]["order"], found["found"]["n_videos"], first["duration_s"]) == ("calibrated", 4, 8.0)
    assert [(one["video_id"], one["moments"][0]["start_s"]) for one in found["answers"]] == [
        (first["video_id"], 2.0),
        (second["video_id"], 0.0),
    ]
    assert str(folder) not in json.dumps(found)


def test_what_no_video_shows_is_no_such_moment_until_guesses_are_wanted(client):
    found = asked(client, query="red", min_exists=0.95)["found"]
    assert (found["moments"], found["nothing"]) == ([], "no such moment (0.90)")
    shown = asked(client, query="red", show_all=True)["found"]
    assert (len(shown["moments"]), shown["nothing"]) == (2, None)


def test_words_of_subtitles_are_found_and_the_order_says_so(client):
    (moment,) = asked(client, query="elephants", texts=True)["found"]["moments"]
    assert (moment["video"], moment["sources"], moment["text"]) == ("sea.mp4", ["subtitles"], SAID[0][2])
    assert (moment["score"], moment["start_s"], moment["end_s"]) == (None, 2.0, 5.0)
    found = asked(client, query="elephants")["found"]
    assert (found["order"], "texts" in found["order_said"]) == ("fused", True)
    assert asked(client, query="elephants", texts=False)["found"]["moments"] == []


def test_words_choose_videos_by_name_and_folder_and_nothing_is_sql(client):
    assert places(asked(client, query="red", only="HÓLIDAY again")) == [("again.mp4", 2.0, 6.0)]
    assert places(asked(client, query="red", only="wood")) == [("wood.mp4", 0.0, 2.0)]
    for words in ("mountains", "1 OR 1=1", "'", "%"):
        lost = asked(client, query="red", only=words)
        assert lost["state"] == "failed"
        assert lost["problem"] == f"no video of the library has {words!r} in its name or folder; ask about others"


def test_a_part_finds_what_looks_like_it_and_not_itself(client):
    part = {"video": client.ids["wood.mp4"], "start_s": 0.0, "end_s": 2.0}
    found = asked(client, like=part)
    assert (found["query"], found["problem"]) == ("wood.mp4 from 0 to 2 s", None)
    assert places(found)[0] == ("again.mp4", 2.0, 6.0)
    assert ("wood.mp4", 0.0, 2.0) not in places(found)
    assert (found["found"]["order"], found["answers"]) == ("similarity", [])


def test_a_picture_finds_what_looks_like_it(client):
    found = asked(client, picture=jpeg(np.full((48, 64, 3), (250, 0, 0), np.uint8)), top=1)
    assert places(found) == [("again.mp4", 2.0, 6.0)]
    assert found["query"] == "a picture"


def jpeg(image):
    """A picture, (H, W, 3), as a page sends it."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mjpeg") as file:
        track = file.add_stream("mjpeg", rate=1)
        track.width, track.height, track.pix_fmt = image.shape[1], image.shape[0], "yuvj420p"
        file.mux(track.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(track.encode(None))
    return base64.b64encode(stream.getvalue()).decode()


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client):
    head = bytearray(base64.b64decode(jpeg(np.zeros((16, 16, 3), np.uint8))))
    at = head.index(b"\xff\xc0") + 5
    head[at : at + 4] = (30000).to_bytes(2, "big") + (20000).to_bytes(2, "big")
    reply = client.post("/api/searches", json={"picture": base64.b64encode(head).decode()})
    assert reply.json()["error"] == "the picture has 20000 x 30000 pixels; send one of 4096 x 4096 at most"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "give one of query, like and picture"),
        ({"query": "red", "picture": "AAAA"}, 400, "give one of query, like and picture"),
        ({"query": "  "}, 400, ""),
        ({"query": "red", "top": 101}, 400, "top: "),
        ({"query": "red", "where": "1"}, 400, "where is no key of this call"),
        ({"query": "red", "show_all": True, "min_exists": 0.5}, 400, "show_all shows every moment"),
        ({"query": "red", "checkpoint": "other"}, 404, "no checkpoint is called 'other'"),
        ({"like": {"video": "wood-0", "start_s": 0.0, "end_s": 2.0}}, 404, "no video has the id 'wood-0'"),
        ({"picture": "!"}, 400, "picture is no JPEG in base64"),
        ({"picture": base64.b64encode(b"GIF89a").decode()}, 400, "picture is no JPEG in base64"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(client, body, status, says):
    reply = client.post("/api/searches", json=body)
    assert reply.status_code == status
    assert reply.json()["error"].startswith(says)
    assert "\n" not in reply.json()["error"]


def test_a_part_that_ends_before_it_begins_is_refused(client):
    part = {"video": client.ids["wood.mp4"], "start_s": 3.0, "end_s": 2.0}
    reply = client.post("/api/searches", json={"like": part})
    assert (reply.status_code, reply.json()["error"][:20]) == (400, "a part from 3 to 2 s")


def test_events_tell_what_was_found_and_the_end_to_who_comes_back_too(client):
    path = f"/api/searches/{asked(client, query='red')['id']}/events"
    whole = client.get(path).text
    assert [line for line in whole.splitlines() if line.startswith("event: ")] == ["event: found", "event: end"]
    assert client.get(path, headers={"Last-Event-ID": "1"}).text.startswith("id: 2\nevent: end\n")
    assert client.get("/api/searches/nothing/events").status_code == 404


def test_questions_and_searches_are_not_taken_for_each_other(client):
    search_id = asked(client, query="red")["id"]
    assert client.get(f"/api/questions/{search_id}").status_code == 404
    assert client.post(f"/api/questions/{search_id}/cancel", json={}).status_code == 404
    assert client.post(f"/api/searches/{search_id}/cancel", json={}).json()["state"] == "done"


def test_a_search_that_is_cancelled_stops_at_its_next_report():
    reports = []

    def look(report):
        report(0, 2)
        running.cancel()
        reports.append(running.status().n_total)
        report(1, 2)
        raise AssertionError("it goes on")

    running = Search("red", look, str)
    running.run()
    assert (running.state, running.found, reports) == ("cancelled", None, [2])


def test_searches_count_among_the_questions_that_are_open(client, monkeypatch):
    monkeypatch.setattr(lanes, "MOST_OPEN", 0)
    reply = client.post("/api/searches", json={"query": "red"})
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("form", ["csv", "json", "edl", "otio", "fcpxml", "xml", "markers.csv"])
def test_every_format_about_all_videos_is_exported(client, folder, form):
    reply = client.post("/api/exports", json={"question": asked(client, query="red")["id"], "format": form})
    assert reply.status_code == 200, reply.text
    assert "again" in reply.text
    assert "wood" in reply.text
    if form in ("csv", "json"):
        assert str(folder) not in reply.text


@pytest.mark.parametrize("form", ["srt", "vtt", "chapters"])
def test_a_file_of_one_video_names_it(client, form):
    search_id = asked(client, query="red")["id"]
    refused = client.post("/api/exports", json={"question": search_id, "format": form})
    assert (refused.status_code, "there are 2; name one in videos" in refused.text) == (400, True)
    body = {"question": search_id, "format": form, "videos": [client.ids["wood.mp4"]]}
    reply = client.post("/api/exports", json=body)
    assert (reply.status_code, "red" in reply.text) == (200, True)
    assert 'filename="wood_red.' in reply.headers["Content-Disposition"]
    missing = client.post("/api/exports", json=body | {"videos": [client.ids["sea.mp4"]]})
    assert missing.status_code == 409


def test_a_table_has_the_order_over_all_videos(client):
    search_id = asked(client, query="red")["id"]
    text = client.post("/api/exports", json={"question": search_id, "format": "csv"}).text
    assert [line.split(",")[1:3] for line in text.splitlines()] == [
        ["rank", "video"],
        ["1", "again.mp4"],
        ["2", "wood.mp4"],
    ]


def test_files_that_are_gone_or_changed_are_told_of_and_not_opened(client, folder):
    (folder / "films" / "wood.mp4").unlink()
    (folder / "films" / "sea.mp4").write_bytes(b"another film")
    red, blue = asked(client, query="red")["found"], asked(client, query="blue")["found"]
    assert [(one["video"], one["video_id"] is None) for one in red["moments"]] == [
        ("again.mp4", False),
        ("wood.mp4", True),
    ]
    again = command_line("spikemba", "index", folder / "films", "--encoder", "colour", "--library", folder / "lib")
    assert red["notes"] == [f"wood.mp4 is not there any more; run `{again}` once more"]
    assert blue["moments"][0]["video_id"] is None
    assert blue["notes"][0].startswith("sea.mp4 has changed since it was taken in")
    assert client.get(f"/api/videos/{client.ids['sea.mp4']}").status_code == 404
    search_id = asked(client, query="red")["id"]
    refused = client.post("/api/exports", json={"question": search_id, "format": "edl"})
    assert refused.json()["error"].startswith("wood.mp4 is gone, or no more what was taken in; leave it out")


def test_a_library_alone_is_what_is_served_by_folder(client):
    listed = client.get("/api/videos").json()["videos"]
    assert [(one["name"], one["folder"]) for one in listed] == [
        ("again.mp4", "holiday"),
        ("sea.mp4", ""),
        ("sunset.mp4", "holiday"),
        ("wood.mp4", ""),
    ]
    assert client.get(f"/api/videos/{client.ids['sea.mp4']}/file").status_code == 200
    state = client.get("/api/state").json()["library"]
    assert (state["name"], state["n_videos"], state["checkpoints"]) == ("lib", 4, ["planted"])


def test_a_file_that_becomes_a_link_is_not_served(client, folder):
    place = folder / "films" / "sea.mp4"
    place.unlink()
    place.symlink_to(folder / "secret.mp4")
    assert client.get(f"/api/videos/{client.ids['sea.mp4']}/file").status_code == 404
    assert asked(client, query="blue")["found"]["moments"][0]["video_id"] is None


@pytest.mark.parametrize("link", ["linked.mp4", "up"])
def test_a_link_that_was_taken_in_leads_nowhere_unless_its_folder_is_served(folder, link):
    (folder / "films" / link).symlink_to(folder / "secret.mp4" if link.endswith(".mp4") else folder)
    place = folder / "films" / link if link.endswith(".mp4") else folder / "films" / link / "secret.mp4"
    plant(folder / "lib", {place: [GREEN, GREEN, GREEN, GREEN]})
    (client,) = [one for one in serving(ServiceOptions(library=folder / "lib")) if place.name not in one.ids]
    assert len(client.ids) == 4
    for one in serving(ServiceOptions(library=folder / "lib"), [folder / "secret.mp4", folder]):
        assert {"secret.mp4", place.name} <= {name.rpartition("/")[2] for name in one.ids}


def test_videos_of_a_library_and_of_folders_are_served_beside_each_other(folder):
    for client in serving(ServiceOptions(library=folder / "lib"), [folder / "secret.mp4"]):
        assert set(client.ids) == {"secret.mp4", "sea.mp4", "sunset.mp4", "again.mp4", "wood.mp4"}


def test_what_is_taken_in_dropped_or_compacted_meanwhile_is_seen_by_the_next_question(client, folder):
    before = places(asked(client, query="red"))
    new = folder / "films" / "new.mp4"
    shutil.copy(folder / "secret.mp4", new)
    plant(folder / "lib", {new: [RED, RED, NOTHING, NOTHING]})
    found = asked(client, query="red")
    assert places(found) == [("new.mp4", 0.0, 4.0), *before]
    assert found["found"]["moments"][0]["video_id"] is not None
    drop_below(folder / "lib", new)
    compact_library(folder / "lib")
    assert places(asked(client, query="red")) == before
    assert "new.mp4" not in {one["name"] for one in client.get("/api/videos").json()["videos"]}


def test_a_library_that_goes_is_one_line_and_one_that_comes_back_is_asked(client, folder):
    before = places(asked(client, query="red"))
    (folder / "lib").rename(folder / "away")
    lost = asked(client, query="red")
    assert lost["problem"].startswith(f"library {folder / 'lib'}: there is no library; run `spikemba index")
    assert client.get("/api/videos").status_code == 200
    (folder / "away").rename(folder / "lib")
    assert places(asked(client, query="red")) == before


def test_a_library_of_lancedb_is_asked_as_a_local_one_and_seen_to_change(client, folder):
    copy_library(folder / "lib", folder / "other", form="lance")
    for one in serving(ServiceOptions(library=folder / "other")):
        for query in ("red", "green", "elephants"):
            assert places(asked(one, query=query)) == places(asked(client, query=query)), query
        drop_below(folder / "other", folder / "films" / "holiday")
        assert [video for video, _, _ in places(asked(one, query="red"))] == ["wood.mp4"]


def test_rows_of_other_weights_are_refused_at_the_start_and_when_they_come(client, folder):
    with pytest.raises(LibraryError, match="other weights|weights"):
        Service([], {"planted": planted_grounder(weights="second")}, ServiceOptions(library=folder / "lib"))
    shutil.rmtree(folder / "lib")
    plant(folder / "lib", {folder / "films" / "sea.mp4": [BLUE] * 4}, weights="second")
    lost = asked(client, query="blue")
    assert (lost["state"], "weights" in lost["problem"]) == ("failed", True)


def test_a_checkpoint_that_fits_answers_where_the_first_does_not(folder):
    models = {"other": planted_grounder(weights="second"), "planted": planted_grounder()}
    service = Service([], models, ServiceOptions(library=folder / "lib"))
    with TestClient(web_app(service)) as client:
        assert client.get("/api/state").json()["library"]["checkpoints"] == ["planted"]
        assert asked(client, query="red")["found"]["checkpoint"] == "planted"
        assert "weights" in asked(client, query="red", checkpoint="other")["problem"]
    service.close()


@pytest.mark.parametrize("name", ["lib", "my library's"])
def test_other_machines_are_not_told_where_the_library_lies(folder, name):
    (folder / "films" / "wood.mp4").unlink()
    (folder / "lib").rename(folder / name)
    for client in serving(ServiceOptions(library=folder / name, full_addresses=False)):
        assert client.get("/api/state").json()["library"]["given"] == name
        found = asked(client, query="red")
        cure = "run `spikemba index FOLDER --encoder colour --library DIR` once more"
        assert found["found"]["notes"] == [f"wood.mp4 is not there any more; {cure}"]
        shutil.rmtree(folder / name)
        lost = asked(client, query="red")
        assert str(folder) not in json.dumps([found, lost])
        assert (
            lost["problem"]
            == "the library: there is no library; run `spikemba index VIDEOS --encoder ENCODER --library DIR`"
        )


def test_an_order_without_a_scale_is_said_to_be_fused(folder):
    for client in serving(
        ServiceOptions(library=folder / "lib"), calibrated=False, tells_existence=False, min_exists=None
    ):
        found = asked(client, query="red")["found"]
        assert (found["order"], "share no scale" in found["order_said"]) == ("fused", True)


def test_without_a_library_there_is_none_to_search(folder):
    for client in serving(ServiceOptions(), [folder / "films"]):
        assert client.get("/api/state").json()["library"] is None
        reply = client.post("/api/searches", json={"query": "red"})
        assert (reply.status_code, reply.json()["error"][:30]) == (404, "no library is searched here; s")


def test_names_of_two_folders_tell_copies_apart(folder):
    twin = folder / "more" / "wood.mp4"
    twin.parent.mkdir()
    shutil.copy(folder / "secret.mp4", twin)
    plant(folder / "lib", {twin: [0.8 * RED, NOTHING, NOTHING, NOTHING]})
    for client in serving(ServiceOptions(library=folder / "lib")):
        assert [name for name, *_ in places(asked(client, query="red"))] == [
            "again.mp4",
            "more/wood.mp4",
            "films/wood.mp4",
        ]


def test_where_the_library_lies_below_a_link_its_videos_are_served(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "films").symlink_to(tmp_path / "disk")
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "disk" / name, GREY[:20], 10)
    plant(tmp_path / "lib", {Path(tmp_path / "films" / name): [RED] for name in ("a.mp4", "b.mp4")})
    for client in serving(ServiceOptions(library=tmp_path / "lib")):
        assert set(client.ids) == {"a.mp4", "b.mp4"}
