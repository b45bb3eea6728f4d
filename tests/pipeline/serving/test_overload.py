"""Too much for a real server, over real sockets: bodies, slow clients, many ranges. Memory and time stay bounded."""

import json
import os
import random
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from serving_site import MB, parsed, refused, rest_of, serving

from pipelines.serving.door import access as door
from pipelines.serving.door.connections import BoundedProtocol
from spikemba.video.files import write_video

pytestmark = pytest.mark.usefixtures("good_clients_are_answered")


def resident():
    """Bytes of memory that this process, and so the server, has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def until(holds, within_s):
    """Whether something holds before long."""
    end = time.monotonic() + within_s
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.05)
    return held


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


def test_a_list_of_ids_is_taken_up_to_what_the_door_lets_in_and_not_refused_behind_it(site):
    body = json.dumps({"query": "a dog", "videos": ["no-such-video"]}).encode()
    for path, length, status in (("/api/questions", MB, 404), ("/api/words", 64 * 1024, 400), ("/api/words", MB, 413)):
        assert site.ask("POST", path, body.ljust(length)).status == status, (path, length)


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


def test_clients_that_take_no_answers_hold_little_memory_and_give_way_to_one_that_does(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4", np.zeros((3, 32, 32, 3), np.uint8), 10)
    with (tmp_path / "a.mp4").open("ab") as file:
        file.write(bytes(40 * MB))
    with serving([tmp_path]) as own:
        (video,) = own.ask("GET", "/api/videos").json()["videos"]
        before = resident()
        stuck = [socket.socket() for _ in range(30)]
        for connection in stuck:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # full soon
            connection.connect(("127.0.0.1", own.port))
            connection.sendall(own.request("GET", f"/api/videos/{video['id']}/file"))
        time.sleep(0.5)
        assert own.ask("GET", "/api/state").status == 200
        assert resident() - before < 30 * MB
        monkeypatch.setattr(BoundedProtocol, "most_connections", 30)
        monkeypatch.setattr(BoundedProtocol, "stalled_s", 1e9)
        full = own.ask("GET", "/api/state")
        assert (full.status, full.json()["error"]) == (503, "30 connections are open and busy; try again in a moment")
        monkeypatch.setattr(BoundedProtocol, "stalled_s", 0.1)
        assert until(lambda: own.ask("GET", "/api/state").status == 200, within_s=10)
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


def test_ten_thousand_range_requests_are_answered_or_refused_in_bounded_memory(site, film, folder):
    size = (folder / "films" / "film.mp4").stat().st_size
    rng = random.Random(0)
    good = [(start := rng.randrange(size), rng.randrange(start, start + 2000)) for _ in range(400)]
    ranges = [f"bytes={start}-{end}" for start, end in good] + [rng.choice(ABSURD) for _ in range(9600)]
    path = f"/api/videos/{film}/file"
    requests = [site.request("GET", path, None, {"Range": one, "Connection": None}) for one in ranges]
    warm = site.answers_of(requests[:50])
    before = resident()
    found = site.answers_of(requests)
    assert [status for status, _ in warm] == [206] * 50
    assert [status for status, _ in found if status not in (400, 416)] == [206] * 400
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
