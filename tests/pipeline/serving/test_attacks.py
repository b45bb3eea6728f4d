"""Attacks on a real server over real sockets: 4xx and nothing else, bounded memory, and good clients answered."""

import json
import os
import random
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from serving_site import parsed, rest_of, serving

from pipelines.serving import access as door
from pipelines.serving.access import Access
from pipelines.serving.connections import BoundedProtocol
from pipelines.serving.service import ServiceOptions
from spikemba.video.files import write_video

SECRET = b"the secret of this machine"
TOKEN = "a-token-of-the-test"
MB = 1024 * 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Videos in a folder, a link that leads outside, and a secret beside the folder."""
    place = tmp_path_factory.mktemp("site")
    images = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
    write_video(place / "films" / "film.mp4", images, 10)
    write_video(place / "outside.mp4", images, 10)
    (place / "secret.txt").write_bytes(SECRET)
    (place / "films" / "notes.txt").write_bytes(SECRET)
    (place / "films" / "linked.mp4").symlink_to(place / "outside.mp4")
    (place / "films" / "secret.mp4").symlink_to(place / "secret.txt")
    (place / "films" / "up").symlink_to(place)
    return place


@pytest.fixture(scope="module")
def site(folder):
    """A server of the folder; what it answers good clients is the same before an attack and after."""
    with serving([folder / "films"], options=ServiceOptions(uploads=folder / "new", upload_limit=MB)) as running:
        yield running


@pytest.fixture
def film(site):
    """The id of the one video."""
    (video,) = site.ask("GET", "/api/videos").json()["videos"]
    return video["id"]


@pytest.fixture(autouse=True)
def _good_clients_are_answered(site):
    """Before and after every attack."""
    expected = site.ask("GET", "/api/state")
    yield
    after = site.ask("GET", "/api/state")
    assert (after.status, after.body) == (200, expected.body)


def refused(reply):
    """Whether an answer is a refusal, with the headers of all answers."""
    if reply.status:
        assert reply.headers["x-content-type-options"] == "nosniff", reply
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
        assert "access-control-allow-origin" not in reply.headers
    return 400 <= reply.status < 500


def resident():
    """Bytes of memory that this process, and so the server, has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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
    found = answers_of(site, [site.request("GET", path, None, {"Connection": None}) for path in paths])
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


# bodies


def chunks(*parts):
    """A body in pieces, without its end."""
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)


def test_bodies_that_are_too_large_are_refused_however_they_say_it(site, monkeypatch):
    monkeypatch.setattr(door, "LINGER_S", 0.1)
    for path, limit in (("/api/words", 64 * 1024), ("/api/questions", MB)):
        start = time.monotonic()
        for length in (limit + 1, 10**12, 10**19):
            assert site.ask("POST", path, b"{}", {"Content-Length": str(length)}).status in (400, 413)
        assert site.ask("POST", path, b"x" * (limit + 1)).status == 413
        head = {"Transfer-Encoding": "chunked", "Content-Length": None}
        assert site.ask("POST", path, chunks(*[b"x" * 8192] * (limit // 8192 + 2)), head).status == 413
        assert time.monotonic() - start < 8


def test_a_part_of_an_upload_over_eight_megabytes_is_refused_as_it_comes(site):
    before = resident()
    start = site.post("/api/uploads", {"name": "x.mp4", "size_bytes": MB}).json()["id"]
    head = {"Transfer-Encoding": "chunked", "Content-Length": None}
    for _ in range(3):
        assert refused(site.ask("PUT", f"/api/uploads/{start}?at=0", chunks(*[b"x" * MB] * 12), head))
    assert refused(site.ask("PUT", f"/api/uploads/{start}?at=0", b"x", {"Content-Length": str(9 * MB)}))
    assert resident() - before < 64 * MB


def test_lengths_that_lie_are_refused(site):
    for length in ("-1", "+2", "0x2", "2, 3", "1e3", "", "9" * 30, "²"):
        assert refused(site.ask("POST", "/api/questions", b"{}", {"Content-Length": length})), length
    short = site.request("POST", "/api/questions", b"{}", {"Content-Length": "50"})
    with site.connect() as connection:
        connection.sendall(short)
        connection.shutdown(socket.SHUT_WR)
        assert rest_of(connection)[:10] in (b"", b"HTTP/1.1 4")


def test_json_that_is_none_is_refused(site):
    deep = b"[" * 30_000
    for body in (
        b"",
        b"{",
        b"nul",
        b"\xff\xfe",
        deep,
        b'{"a":' * 9000,
        b'"\\ud800"',
        b"NaN",
        b"1" * 60_000,
        b'{"query":1e999}',
    ):
        for path in ("/api/questions", "/api/words", "/api/exports", "/api/cuts", "/api/corrections", "/api/uploads"):
            assert refused(site.ask("POST", path, body)), (path, body[:20])


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
        assert site.ask("PUT", f"{path}?at={len(data)}", b"").status == 404
    expected = ["ab.mp4", "escaped-2.mp4", "escaped-3.mp4", "escaped.mp4", "hidden.mp4", "new-2.mp4", "new.mp4"]
    got = folder / "new"
    assert sorted(one.name for one in got.iterdir() if one.name[0] != ".") == expected
    for one in got.iterdir():
        one.unlink()
    site.service.videos.all(anew=True)


def test_an_upload_that_is_no_video_is_refused_and_gone(site, folder):
    text = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    begun = site.post("/api/uploads", {"name": "list.mp4", "size_bytes": len(text)}).json()["id"]
    reply = site.ask("PUT", f"/api/uploads/{begun}?at=0", text)
    assert reply.status == 422
    assert reply.json()["error"].startswith("list.mp4: is an M3U playlist")
    assert not (folder / "new" / "list.mp4").exists()


# slow clients and many


def test_two_hundred_clients_that_never_end_their_heads_keep_nobody_out(site, monkeypatch):
    monkeypatch.setattr(BoundedProtocol, "head_within_s", 1.0)
    slow = [site.connect() for _ in range(200)]
    for connection in slow:
        connection.sendall(f"GET /api/state HTTP/1.1\r\nHost: {site.host}\r\nX-".encode())
    start = time.monotonic()
    for _ in range(5):
        assert site.ask("GET", "/api/state").status == 200
    assert time.monotonic() - start < 2
    for connection in slow:
        with connection:
            assert parsed(rest_of(connection)).status == 408


def test_a_letter_now_and_then_does_not_lengthen_the_time_of_a_head(site, monkeypatch):
    monkeypatch.setattr(BoundedProtocol, "head_within_s", 0.5)
    with site.connect() as connection:
        connection.sendall(site.request("GET", "/api/state").replace(b"Connection: close\r\n", b""))
        connection.recv(1 << 16)  # kept alive: its next head has its time, too
        start, letters = time.monotonic(), b"GET /api/state HTTP/1.1\r\n" * 9
        while time.monotonic() - start < 5:
            try:
                connection.sendall(letters[:1])
                connection.settimeout(0.05)
                if connection.recv(1 << 16).startswith(b"HTTP/1.1 4"):
                    break
            except TimeoutError:
                continue
        assert time.monotonic() - start < 3


def test_more_connections_than_there_are_places_close_the_quietest_and_the_newest_is_answered(site, monkeypatch):
    monkeypatch.setattr(BoundedProtocol, "most_connections", 30)
    idle = [site.connect() for _ in range(100)]
    assert site.ask("GET", "/api/state").status == 200
    assert len(site_connections(idle)) <= 31
    for connection in idle:
        connection.close()


def site_connections(clients):
    """Those of some clients' connections that the server has not closed."""
    time.sleep(0.05)
    return [one for one in clients if _is_open(one)]


def _is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_clients_that_never_end_their_bodies_are_told_and_let_go(site, monkeypatch):
    monkeypatch.setattr(door, "JSON_WITHIN_S", 0.3)
    slow = [site.connect() for _ in range(50)]
    for connection in slow:
        connection.sendall(site.request("POST", "/api/questions", b"{", {"Content-Length": "100"}))
    assert site.ask("GET", "/api/state").status == 200
    for connection in slow:
        with connection:
            assert parsed(rest_of(connection)).status == 408


def test_clients_that_take_no_answers_hold_little_memory(tmp_path):
    write_video(tmp_path / "a.mp4", np.random.default_rng(1).integers(0, 255, (60, 320, 320, 3), np.uint8), 10, crf=1)
    with (tmp_path / "a.mp4").open("ab") as file:
        file.write(bytes(40 * MB))
    with serving([tmp_path]) as own:
        (video,) = own.ask("GET", "/api/videos").json()["videos"]
        before = resident()
        stuck = [own.connect() for _ in range(60)]
        for connection in stuck:
            connection.sendall(own.request("GET", f"/api/videos/{video['id']}/file"))
        time.sleep(0.5)
        assert own.ask("GET", "/api/state").status == 200
        assert resident() - before < 60 * MB
        for connection in stuck:
            connection.close()


# ranges

ABSURD = [
    *("bytes=", "bytes", "bytes=-", "bytes=a-b", "bytes=9-1", "items=0-5", "bytes=1-2-3", "bytes=0x1-0x2", "bytes=-0"),
    *("bytes=99999999999999999999999-", "bytes=-99999999999999999999", "bytes=1_0-20", "bytes=+1-", "bytes=999999-"),
    *("bytes=" + ",".join(["0-"] * 1500), "bytes=" + ",".join(f"{k}-{k}" for k in range(1500)), "bytes=0-0,-1"),
    *(
        "bytes=0-99,50-149",
        "bytes=100000000-",
        "bytes=0-0, 2-2",
        "bytes=18446744073709551615-",
    ),
]


def answers_of(site, requests):
    """The status of each answer and the bytes of its body; the requests are sent a hundred at a time."""
    found = []
    with site.connect(30) as connection, connection.makefile("rb") as reader:
        for start in range(0, len(requests), 100):
            some = requests[start : start + 100]
            connection.sendall(b"".join(some))
            found.extend(_read_one(reader) for _ in some)
    return found


def _read_one(reader):
    status, length = int(reader.readline()[9:12]), 0
    while (line := reader.readline()) != b"\r\n":
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    return status, len(reader.read(length))


def test_ten_thousand_range_requests_are_answered_or_refused_in_bounded_memory(site, film, folder):
    size = (folder / "films" / "film.mp4").stat().st_size
    rng = random.Random(0)
    good = [(start := rng.randrange(size), rng.randrange(start, start + 2000)) for _ in range(1000)]
    ranges = [f"bytes={start}-{end}" for start, end in good] + [rng.choice(ABSURD) for _ in range(9000)]
    path = f"/api/videos/{film}/file"
    requests = [site.request("GET", path, None, {"Range": one, "Connection": None}) for one in ranges]
    warm = answers_of(site, requests[:50])
    before = resident()
    found = answers_of(site, requests)
    assert [status for status, _ in warm] == [206] * 50
    assert [status for status, _ in found if status not in (400, 416)] == [206] * 1000
    assert max(length for _, length in found) <= 2000
    assert resident() - before < 50 * MB


def test_one_range_gives_its_bytes_and_one_beyond_the_end_is_refused(site, film, folder):
    data = (folder / "films" / "film.mp4").read_bytes()
    path = f"/api/videos/{film}/file"
    for given, expected in (("bytes=5-9", data[5:10]), ("bytes=-7", data[-7:]), ("bytes=0-99999999", data)):
        reply = site.ask("GET", path, headers={"Range": given})
        assert (reply.status, reply.body) == (206, expected)
    assert site.ask("GET", path, headers={"Range": f"bytes={len(data)}-"}).status == 416
    assert site.ask("GET", path, headers={"Range": "bytes=-0"}).status == 416


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
        assert [_read_one(reader)[0] for _ in paths] == [200, 404, 200, 400, 200]


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
