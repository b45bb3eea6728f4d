"""Attacks on a real server over real sockets: 4xx and nothing else, and good clients answered afterwards."""

import json
import random
import re
import socket
from contextlib import suppress

import numpy as np
import pytest
from serving_site import SECRET, parsed, read_answer, refused, rest_of, serving

from pipelines.serving.door.access import Access
from spikemba.video.files import write_video

TOKEN = "a-token-of-the-test"


pytestmark = pytest.mark.usefixtures("good_clients_are_answered")


# paths

UPWARDS = [
    "..",
    "%2e%2e",
    "%2E%2e",
    ".%2e",
    "..%2f",
    "%2e%2e%2f",
    "..%5c",
    "..\\",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "....//",
]
TARGETS = ["secret.txt", "films/notes.txt", "etc/passwd", "films/film.mp4"]


def escapes(film):
    """Paths that would lead to a file by some reading of them."""
    for base in ("", "/page", "/page/modules", "/api/videos", f"/api/videos/{film}", "/api/cuts"):
        for up in UPWARDS:
            for target in TARGETS:
                yield f"{base}/{up}/{target}"
                yield f"{base}/{'/'.join([up] * 8)}/{target}"
                yield f"{base}/{up}{target}/file"


def test_no_reading_of_a_path_leads_to_a_file(site, film, folder):
    absolute = str(folder / "secret.txt")
    others = [
        f"/page{absolute}",
        f"/page/{absolute.replace('/', '%2f')}",
        f"/api/videos/{absolute.replace('/', '%2f')}/file",
        "/api/videos/film.mp4/file",
        "/api/videos/film/file",
        "/api/videos/linked.mp4/file",
        "/films/film.mp4",
        "/films/",
        "/page/",
        "/page/.",
        "/page/index.html%00.js",
        "/page/app.js/..%00/",
        "//etc/passwd",
        "///etc/passwd",
        "/\\etc\\passwd",
        "file:///etc/passwd",
        f"http://{site.host}/etc/passwd",
        f"http://{site.host}/",
        "http://evil.example/",
        "*",
        "..",
        "/" + "a" * 12_000,
        "/" + "a/" * 4000,
        "/?" + "a" * 12_000,
        "/page/index.html;.js",
        f"/api/videos/{film};/file",
        f"/api/videos/{film}%20/file",
        f"/api/videos/{film}/file/",
        f"/api/videos/{film}/pieces/-1",
        f"/api/videos/{film}/pieces/99999999999999999999",
        f"/api/videos/{film}/pieces/x",
        f"/api/videos/{film}/still?at_s=nan&height=90",
        f"/api/videos/{film}/still?at_s=1e999&height=90",
        f"/api/videos/{film}/still?at_s=-1&height=100000",
        f"/api/videos/{film}/still?at_s=%00",
    ]
    paths = list(escapes(film))
    found = site.answers_of([site.request("GET", path, None, {"Connection": None}) for path in paths])
    assert len(paths) == len(found) > 700
    assert {status for status, _ in found} == {400, 404}
    replies = [(path, site.ask("GET", path)) for path in others]
    for path, reply in replies:
        assert refused(reply), (path, reply)
        assert SECRET not in reply.body, path
        assert b"root:" not in reply.body, path


def test_links_out_of_the_folder_are_not_served_neither_listed_nor_by_name(site):
    listed = site.ask("GET", "/api/videos").json()["videos"]
    assert [video["name"] for video in listed] == ["film.mp4"]


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_served(tmp_path, folder):
    write_video(tmp_path / "films" / "a.mp4", np.zeros((3, 32, 32, 3), np.uint8), 10)
    with serving([tmp_path / "films"]) as own:
        (video,) = own.ask("GET", "/api/videos").json()["videos"]
        path = f"/api/videos/{video['id']}/file"
        assert own.ask("GET", path).status == 200
        (tmp_path / "films" / "a.mp4").unlink()
        (tmp_path / "films" / "a.mp4").symlink_to(folder / "secret.txt")
        reply = own.ask("GET", path)
        assert reply.status == 404
        assert SECRET not in reply.body
        (tmp_path / "films" / "a.mp4").unlink()
        assert own.ask("GET", path).status == 404


# other pages, other names


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": None},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},  # a name that was turned to this address
        {"Host": "127.0.0.1"},
        {"Host": "localhost:1"},
        {"Host": None},
        {"Host": ""},
    ],
)
def test_a_change_that_another_page_asks_for_is_refused(site, headers):
    for path in ("/api/questions", "/api/corrections", "/api/exports", "/api/cuts", "/api/words", "/api/uploads"):
        assert refused(site.post(path, {"query": "a red circle"}, headers)), path


def test_a_browser_that_asks_whether_another_page_may_is_told_nothing(site):
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for path in ("/api/questions", "/", "*"):
        reply = site.ask("OPTIONS", path, headers=asking)
        assert reply.status == 405
        assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.nip.io:{port}", "0.0.0.0:{port}", "[::]:{port}"]
)
def test_a_foreign_host_reads_nothing(site, film, host):
    for path in ("/", "/page/app.js", "/api/state", "/api/videos", f"/api/videos/{film}/file"):
        assert site.ask("GET", path, headers={"Host": host.format(port=site.port)}).status == 421


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "MOVE", "X"])
def test_other_methods_do_nothing(site, film, method):
    for path in ("/", "/api/questions", f"/api/videos/{film}/file"):
        assert site.ask(method, path).status == 405


def test_without_the_token_nothing_is_read_and_it_stands_in_no_log(folder, caplog, capfd):
    with serving([folder / "films"], access=Access(token=TOKEN)) as own:
        for path in ("/", "/page/index.html", "/api/state", "/api/videos", "/api/openapi.json", "/nothing"):
            assert own.ask("GET", path).status == 401
            assert own.ask("GET", path, headers={"Authorization": "Bearer wrong"}).status in (401, 429)
            assert own.ask("GET", path, headers={"Authorization": f"Bearer {TOKEN}"}).status in (200, 404)
        reply = own.ask("GET", f"/?token={TOKEN}")
        assert (reply.status, reply.headers["location"]) == (303, "/")
        cookie = reply.headers["set-cookie"].partition(";")[0]
        assert own.ask("GET", "/", headers={"Cookie": cookie}).status == 200
        own.send(f"GET /?token={TOKEN} HTTP/9.9\r\nConnection: close\r\n\r\n".encode())
        assert own.post(f"/api/questions?token={TOKEN}", {}).status == 401
    assert TOKEN not in caplog.text + "".join(capfd.readouterr())


# names of files that people choose


def test_there_are_no_new_files_where_none_are_allowed(folder):
    before = set(folder.rglob("*"))
    with serving([folder / "films"]) as own:
        reply = own.post("/api/uploads", {"name": "new.mp4", "size_bytes": 10})
        assert (reply.status, refused(reply)) == (404, True)
        assert reply.json()["error"] == "no new videos are taken; start the server with --uploads DIR to allow that"
        assert own.ask("PUT", "/api/uploads/0?at=0", b"0123456789").status == 404
    assert set(folder.rglob("*")) == before


def test_an_upload_by_any_name_lies_in_its_folder(site, folder):
    data = (folder / "films" / "film.mp4").read_bytes()
    for name in (
        "../../escaped.mp4",
        "/tmp/escaped.mp4",
        "..\\escaped.mp4",
        ".hidden.mp4",
        "new.mp4",
        "new.mp4",
        "a\0b.mp4",
    ):
        begun = site.post("/api/uploads", {"name": name, "size_bytes": len(data)})
        assert begun.status == 201, begun
        path = f"/api/uploads/{begun.json()['id']}"
        assert site.ask("PUT", f"{path}?at=5", data).json()["received"] == 0
        assert site.ask("PUT", f"{path}?at=0", data[:1000]).json()["received"] == 1000
        assert site.ask("PUT", f"{path}?at=0", data[:1000]).status == 409
        last = site.ask("PUT", f"{path}?at=1000", data[1000:])
        assert last.json()["video"] in [one["id"] for one in site.ask("GET", "/api/videos").json()["videos"]]
        again = site.ask("PUT", f"{path}?at=1000", data[1000:])
        assert (again.status, again.json()) == (200, last.json())
    expected = ["ab.mp4", "escaped-2.mp4", "escaped-3.mp4", "escaped.mp4", "hidden.mp4", "new-2.mp4", "new.mp4"]
    got = folder / "new"
    assert sorted(one.name for one in got.iterdir() if one.name[0] != ".") == expected
    for one in got.iterdir():
        one.unlink()
    site.service.videos._due_at = 0.0
    site.service.videos.all()


def test_a_correction_by_any_name_lies_in_its_folder(site, film, folder):
    before = {path for path in folder.rglob("*") if "said" not in path.parts}
    said = {"video": film, "query": "a red circle", "windows": [[0, 1]], "wrong": [], "absent": False}
    for name in (
        "../../evil",
        "/tmp/evil",
        "..",
        ".",
        "a/b",
        "a\\b",
        "a\0b",
        ".hidden",
        "x" * 290,
        "CON",
        "Zoë",
        "\u202egpj",
    ):
        reply = site.post("/api/corrections", {**said, "name": name})
        assert reply.status == 201 or refused(reply), (name, reply)
    for wrong in ([[1, 0]], [[0, 10**9]], [["a", 1]], [[0]], [[0, 1, 2]], "x", [[float("nan"), 1]]):
        assert refused(site.post("/api/corrections", {**said, "name": "me", "windows": wrong})), wrong
    assert {path for path in folder.rglob("*") if "said" not in path.parts} == before
    assert all(path.is_file() and path.suffix in (".jsonl", "") for path in (folder / "said").iterdir())


def test_cuts_and_exports_of_what_there_is_not_are_refused(site, film):
    for start, end in ((1, 0), (-1, 1), (0, 10**7), (5, 5), ("x", 1), (0, 1e308)):
        for mode in ("exact", "copy", "../x"):
            made = site.post("/api/cuts", {"video": film, "start_s": start, "end_s": end, "mode": mode})
            assert refused(made) or (start, end) == (0, 10**7), (start, end, mode, made)
    for document in (
        {"question": "../x", "format": "csv"},
        {"question": "x", "format": "../csv"},
        {"format": "csv"},
        [],
    ):
        assert refused(site.post("/api/exports", document))


def test_an_upload_that_is_no_video_is_refused_and_gone(site, folder):
    text = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    begun = site.post("/api/uploads", {"name": "list.mp4", "size_bytes": len(text)}).json()["id"]
    reply = site.ask("PUT", f"/api/uploads/{begun}?at=0", text)
    assert reply.status == 422
    assert reply.json()["error"].startswith("list.mp4: is an M3U playlist")
    assert not (folder / "new" / "list.mp4").exists()


# requests that two readers would take for different ones

SMUGGLING = [
    b"POST /api/questions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/videos HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"POST /api/questions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Content-Length: 40\r\n\r\n{}",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffffffffff\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n2;" + b"x" * 40_000 + b"\r\n{}\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n0123456789",
    b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\nHost: {host}\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {host}\r\n X: folded\r\nX\x00: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET / x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: {host}\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: {host}\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200 + b"\r\n\r\n",
    b"\r\n\r\n\r\n\r\nHELO there\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n",
    bytes(range(256)) * 200,
]


@pytest.mark.parametrize("k", range(len(SMUGGLING)))
def test_requests_that_can_be_read_in_two_ways_are_refused_and_nothing_behind_them_is_answered(site, k):
    data = SMUGGLING[k].replace(b"{host}", site.host.encode())
    with site.connect(5) as connection:
        with suppress(OSError):  # closed before all was sent
            connection.sendall(data)
        answer = connection.recv(1 << 16)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        answer += rest_of(connection)
    assert refused(parsed(answer)), answer[:200]
    assert all(status.startswith(b"4") for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer))


def test_requests_behind_each_other_on_one_connection_are_answered_in_their_order(site, film):
    paths = ["/api/state", "/nothing", f"/api/videos/{film}", "/..", "/api/state"]
    requests = [site.request("GET", path, None, {"Connection": None}) for path in paths]
    with site.connect() as connection, connection.makefile("rb") as reader:
        connection.sendall(b"".join(requests))
        assert [read_answer(reader)[0] for _ in paths] == [200, 404, 200, 400, 200]


def test_http_1_0_is_answered(site):
    reply = parsed(site.send(f"GET /api/state HTTP/1.0\r\nHost: {site.host}\r\n\r\n".encode()))
    assert reply.status == 200
    assert "n_videos" in json.loads(reply.body)


def test_noise_is_refused_or_closed(site):
    rng = random.Random(0)
    for _ in range(200):
        data = rng.randbytes(rng.randrange(1, 400))
        if rng.random() < 0.5:
            data = b"GET / HTTP/1.1\r\nHost: " + site.host.encode() + b"\r\n" + data
        with site.connect(3) as connection:
            connection.sendall(data + b"\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            reply = parsed(rest_of(connection))
        assert reply.status == 0 or refused(reply)
