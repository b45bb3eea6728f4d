"""Who is let in, tried without a network: rules over heads, then the door around an app that answers to anything."""

import asyncio
import json
import time
from dataclasses import replace

import pytest

from pipelines.serving import access as door
from pipelines.serving.access import Access, guarded
from pipelines.serving.admission import (
    JSON_BYTES,
    LIST_BYTES,
    PART_BYTES,
    AccessError,
    Head,
    body_limit,
    needs_token,
    parse_host,
    refused,
)
from pipelines.serving.wrong_tokens import ADDRESSES, MINUTE_S, WRONG_ONES, WrongTokens

TOKEN = "k3y-of-this-run"
OURS = {"host": "127.0.0.1:8765"}


def head(method="GET", path="/api/state", *, query=b"", headers=(), here=("127.0.0.1", 8765), **more):
    """A request that would be let in, but for what is said of it; `none` leaves a header out."""
    given = {**OURS}
    if method in ("POST", "PUT"):
        given["content-type"] = "application/json" if method == "POST" else "application/octet-stream"
    given |= {name.replace("_", "-"): value for name, value in more.items()}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in given.items() if value is not None]
    return Head(method, path.encode("latin-1"), query, (*pairs, *headers), "127.0.0.1", here)


def status(request, access=None):
    """The number of the refusal; 0 for what is let in."""
    refusal = refused(request, access or Access())
    return refusal.status if refusal else 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765", "[0:0:0::1]:8765"]
)
def test_names_of_this_machine_are_let_in(host):
    assert status(head(host=host)) == 0


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example:8765",
            "127.0.0.1.evil.example:8765",
            "localhost.:8765",
            "localhost.evil:8765",
            "10.0.0.1:8765",
        ),
        *("127.0.0.1:80", "127.0.0.1", "localhost:1", "2130706433:8765", "127.1:8765", "0x7f.0.0.1:8765", "[::2]:8765"),
    ],
)
def test_another_name_or_port_is_misdirected(host):
    assert status(head(host=host)) == 421


@pytest.mark.parametrize(
    "host",
    [None, "", "a b", "me@localhost:8765", "localhost:8765/x", "localhost:99999", "[::1", "::1", "é:8765", "[x]:1"],
)
def test_what_is_no_host_is_a_bad_request(host):
    assert status(head(host=host)) == 400


def test_two_host_headers_are_refused_even_where_both_are_ours():
    assert status(head(headers=[(b"host", b"127.0.0.1:8765")])) == 400


def test_at_port_80_a_browser_leaves_the_port_out():
    assert status(head(host="localhost", here=("127.0.0.1", 80))) == 0


def test_on_all_addresses_the_one_that_was_asked_is_ours_and_a_name_that_leads_to_it_is_not():
    access = Access.on("0.0.0.0", token=TOKEN)
    here = ("192.0.2.7", 8765)
    assert status(head(host="192.0.2.7:8765", here=here), access) == 0
    assert status(head(host="192.0.2.8:8765", here=here), access) == 421
    assert status(head(host="rebound.example:8765", here=here), access) == 421
    assert status(head(host="192.0.2.7:8765", here=("::ffff:192.0.2.7", 8765)), access) == 0


def test_further_names_are_let_in_with_the_port_that_they_say():
    access = Access.on("127.0.0.1", ("Films.Example", "tunnel.example:9000", "[fe80::1]", "proxy.example:443"))
    assert status(head(host="films.example:8765"), access) == 0
    assert status(head(host="films.example:9000"), access) == 421
    assert status(head(host="tunnel.example:9000"), access) == 0
    assert status(head(host="tunnel.example:8765"), access) == 421
    assert status(head(host="[fe80::1]:8765"), access) == 0
    assert status(head(host="proxy.example"), access) == 0


def test_the_refusal_of_a_name_says_how_to_allow_it():
    refusal = refused(head(host="films.example:8765"), Access())
    assert refusal.line == (
        "this server is not called films.example:8765; "
        "start the server with --known-as films.example:8765 if this is its name"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "films.example", "fe80::1"])
def test_what_other_machines_reach_needs_a_token(host):
    assert needs_token(host)
    with pytest.raises(AccessError, match="need a token; got none"):
        Access.on(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_token(host):
    assert not needs_token(host)
    assert Access.on(host).token is None


def test_a_further_name_that_is_none_is_refused():
    with pytest.raises(AccessError, match="'a b' is no name of a host"):
        Access.on("127.0.0.1", ("a b",))


def test_an_address_has_one_form():
    assert parse_host("[0:0::0:1]:80") == ("::1", 80)
    assert parse_host("[::ffff:7f00:1]") == ("127.0.0.1", None)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/../etc/passwd",
            "/page/../../x",
            "/page/..",
            "/page/./x",
            "/%2e%2e/x",
            "/page/%2E%2e%2fx",
            "/..%2fx",
            "/a%5cb",
        ),
        *(
            "/page/..\\x",
            "/%252e%252e/",
            "/page/\xc0\xae\xc0\xae/x",
            "/page/%00",
            "/page/x\x00.js",
            "//etc/passwd",
            "/a//b",
        ),
        *(
            "http://127.0.0.1:8765/",
            "*",
            "",
            "x",
            "/page/%",
            "/page/%zz",
            "/page/a;b",
            "/..;/x",
            "/page/a?b",
            "/page/a#b",
        ),
        *("/page/\r\nx", "/api/videos/file:///etc/passwd/file", "/page/\u00e9"),
    ],
)
def test_paths_that_could_mean_another_one_are_refused(path):
    assert status(head(path=path)) == 400


def test_ids_files_of_the_page_and_endings_with_a_slash_are_let_in():
    for path in ("/", "/page/modules/app.js", "/api/videos/kitchen-3f2a9c0d1e4b/file", "/page/", "/page/..a"):
        assert status(head(path=path)) == 0


def test_many_or_heavy_headers_are_refused():
    assert status(head(headers=[(b"x", b"1")] * 99)) == 0
    assert status(head(headers=[(b"x", b"1")] * 100)) == 431
    assert status(head(headers=[(b"x", b"a" * 17_000)])) == 431


def test_another_version_of_http_is_refused():
    assert status(replace(head(), version="2.0")) == 400


def test_an_overlong_address_is_refused():
    assert status(head(path="/" + "a" * 9000)) == 414
    assert status(head(query=b"a" * 9000)) == 414


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 500])
def test_other_methods_are_not_answered_and_the_answer_names_those_that_are(method):
    refusal = refused(head(method), Access())
    assert refusal.status == 405
    assert dict(refusal.headers)[b"allow"] == b"GET, HEAD, POST, PUT"


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8765", 0),
        ("HTTP://127.0.0.1:8765", 0),
        ("http://localhost:8765", 403),  # ours, but not where this request went
        ("http://127.0.0.1:8766", 403),
        ("http://127.0.0.1", 403),
        ("null", 403),
        ("http://evil.example", 403),
        ("http://127.0.0.1:8765.evil.example", 403),
        ("", 403),
    ],
)
def test_only_pages_of_this_server_may_ask(origin, expected):
    assert status(head("POST", origin=origin)) == expected
    assert status(head("GET", origin=origin)) == expected


@pytest.mark.parametrize(
    ("site", "expected"), [("same-origin", 0), ("none", 0), ("same-site", 403), ("cross-site", 403), ("?", 403)]
)
def test_what_the_browser_says_of_the_asking_page_counts(site, expected):
    for request in (head(sec_fetch_site=site), head("POST", sec_fetch_site=site), head(path="/", sec_fetch_site=site)):
        assert status(request) == expected


def test_a_link_of_another_page_may_open_the_page_and_nothing_else():
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert status(head(path="/", **link)) == 0
    assert status(head(path="/api/state", **link)) == 403
    assert status(head("POST", path="/", **link)) == 403
    assert status(head(path="/", **{**link, "sec_fetch_dest": "iframe"})) == 403
    assert status(head(path="/", **{**link, "sec_fetch_mode": "no-cors"})) == 403


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/json", 0),
        ("Application/JSON; charset=UTF-8", 0),
        ('application/json; charset="utf-8"', 0),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=application/json", 415),
        ("application/jsonp", 415),
        ("application/octet-stream", 415),
        (None, 415),
    ],
)
def test_changes_come_as_json_which_no_form_can_send(kind, expected):
    assert status(head("POST", content_type=kind)) == expected


def test_parts_of_uploads_come_as_bytes():
    assert status(head("PUT", "/api/uploads/1")) == 0
    assert status(head("PUT", "/api/uploads/1", content_type="application/json")) == 415


def test_a_body_over_its_limit_is_refused_by_its_length_alone():
    for method, path, limit in (
        ("POST", "/api/words", JSON_BYTES),
        ("POST", "/api/questions", LIST_BYTES),
        ("PUT", "/api/uploads/1", PART_BYTES),
    ):
        assert body_limit(head(method, path)) == limit
        assert status(head(method, path, content_length=str(limit))) == 0
        assert status(head(method, path, content_length=str(limit + 1))) == 413


def test_a_question_about_ten_thousand_videos_has_its_place():
    ids = [f"{'x' * 40}-{k:012x}" for k in range(10_000)]
    assert len(json.dumps({"query": "x" * 1000, "videos": ids})) < LIST_BYTES


def test_a_length_that_is_given_twice_is_refused():
    assert status(head("POST", content_length="2", transfer_encoding="chunked")) == 400
    assert status(head("POST", content_length="2", headers=[(b"content-length", b"3")])) == 400


def test_what_only_reads_has_no_body():
    assert status(head(content_length="5")) == 400
    assert status(head(transfer_encoding="chunked")) == 400
    assert status(head(content_length="0")) == 0


@pytest.mark.parametrize(
    "given", ["bytes=0-", "bytes=0-0", "bytes=5-99999999", "bytes=-500", "bytes=999999999999999999-"]
)
def test_one_range_is_let_in(given):
    assert status(head(range=given)) == 0


@pytest.mark.parametrize(
    "given",
    [
        *(
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-1",
            "bytes=0-1,3-4",
            "bytes=" + "0-," * 5000,
            "items=0-1",
        ),
        *(
            "bytes=+1-2",
            "bytes=1_0-20",
            "bytes= 0-1",
            "bytes=0-1 ",
            "bytes=--1",
            "bytes=0x0-0x9",
            "bytes=²-",
            "Bytes=0-1",
        ),
        *("bytes=" + "9" * 19 + "-", "bytes=-" + "9" * 4000),
    ],
)
def test_all_other_ranges_are_refused(given):
    assert status(head(range=given)) == 416


def test_two_range_headers_are_refused():
    assert status(head(range="bytes=0-1", headers=[(b"range", b"bytes=0-1")])) == 416


# the door itself


async def echo(scope, receive, send):
    """An app that says what reached it, and how many bytes of a body."""
    n_bytes = 0
    more = scope["method"] in ("POST", "PUT")
    while more:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    seen = {"path": scope["path"], "query": scope["query_string"].decode(), "bytes": n_bytes}
    seen["headers"] = sorted(name.decode() for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"access-control-allow-origin", b"*")]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


class Reply:
    """What was sent back."""

    def __init__(self, messages):
        self.status = messages[0]["status"]
        self.headers = dict(messages[0]["headers"])
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def text(self):
        """All of it, to look for what must not be in it."""
        return repr(self.headers) + self.body.decode()


def ask(app, method="GET", path="/api/state", *, query=b"", body=(), client="127.0.0.1", **headers):
    """Send one request through the door. body: parts, each after so many seconds as it says: (seconds, bytes)."""
    given = {**OURS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if method in ("POST", "PUT"):
        given.setdefault("content-type", "application/json" if method == "POST" else "application/octet-stream")
        given.setdefault("transfer-encoding", "chunked")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None],
        "client": (client, 50000),
        "server": ("127.0.0.1", 8765),
    }
    parts, sent = list(body), []

    async def receive():
        if not parts:
            await asyncio.sleep(60)
        wait_s, part = parts.pop(0)
        await asyncio.sleep(wait_s)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return Reply(sent)


def test_every_answer_has_the_headers_that_keep_other_pages_out():
    app = guarded(echo, Access())
    for reply in (ask(app), ask(app, host="evil.example"), ask(app, "OPTIONS", origin="http://evil.example")):
        assert reply.headers[b"content-security-policy"].startswith(b"default-src 'none'; script-src 'self';")
        assert reply.headers[b"x-content-type-options"] == b"nosniff"
        assert reply.headers[b"referrer-policy"] == b"no-referrer"
        assert reply.headers[b"cross-origin-opener-policy"] == b"same-origin"
        assert reply.headers[b"cross-origin-resource-policy"] == b"same-origin"
        assert not [name for name in reply.headers if name.startswith(b"access-control-")]


def test_a_refusal_is_one_line_of_json():
    reply = ask(guarded(echo, Access()), host="evil.example")
    assert reply.status == 421
    assert list(json.loads(reply.body)) == ["error"]


def test_without_a_token_nothing_but_the_way_to_it():
    app = guarded(echo, Access(token=TOKEN))
    reply = ask(app)
    assert reply.status == 401
    assert json.loads(reply.body)["error"] == (
        "a token is needed; open the address that `spikemba serve` printed, or send Authorization: Bearer TOKEN"
    )
    page = ask(app, path="/")
    assert page.status == 401
    assert b"<main><h1>spikemba</h1><p>This page needs a token." in page.body


def test_the_printed_address_sets_a_cookie_that_then_opens_everything():
    app = guarded(echo, Access(token=TOKEN))
    reply = ask(app, path="/", query=b"token=" + TOKEN.encode())
    assert (reply.status, reply.headers[b"location"]) == (303, b"/")
    cookie = reply.headers[b"set-cookie"].decode()
    assert cookie == f"spikemba-8765={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    assert ask(app, cookie="theme=dark; " + cookie.partition(";")[0]).status == 200
    assert ask(app, cookie=f"spikemba-8766={TOKEN}").status == 401


def test_from_a_link_of_another_page_the_page_goes_on_by_itself_since_no_strict_cookie_is_sent_on_the_way():
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    reply = ask(guarded(echo, Access(token=TOKEN)), path="/", query=b"token=" + TOKEN.encode(), **link)
    assert (reply.status, reply.headers[b"refresh"]) == (200, b"0; url=/")
    assert TOKEN.encode() not in reply.body


def test_programs_bring_the_token_in_a_header():
    app = guarded(echo, Access(token=TOKEN))
    assert ask(app, authorization=f"Bearer {TOKEN}").status == 200
    assert ask(app, authorization=f"bearer {TOKEN}").status == 200
    for wrong in (
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \u00e9",
        TOKEN,
    ):
        assert ask(app, authorization=wrong.encode().decode("latin-1")).status == 401


def test_the_token_is_taken_in_the_address_of_the_page_alone_and_once():
    app = guarded(echo, Access(token=TOKEN))
    right = b"token=" + TOKEN.encode()
    assert ask(app, query=right).status == 401
    assert ask(app, path="/", query=right + b"&" + right).status == 401
    assert ask(app, path="/", query=b"token=").status == 401
    assert ask(app, path="/", query=b"token=%00%ff").status == 401


def test_the_app_behind_the_door_never_sees_the_token():
    app = guarded(echo, Access(token=TOKEN))
    seen = json.loads(ask(app, path="/", query=b"x=1", authorization=f"Bearer {TOKEN}", cookie="a=b").body)
    assert seen["headers"] == ["host"]
    assert seen["query"] == ""


def test_no_answer_and_no_text_about_the_access_shows_the_token():
    access = Access(token=TOKEN)
    app = guarded(echo, access)
    for reply in (
        ask(app),
        ask(app, path="/"),
        ask(app, query=TOKEN.encode()),
        ask(app, authorization=f"Bearer {TOKEN}"),
    ):
        assert TOKEN not in reply.text
    assert TOKEN not in repr(access)


def test_wrong_tokens_are_limited_by_address_and_the_right_one_is_let_in_all_the_same():
    app = guarded(echo, Access(token=TOKEN))
    found = [ask(app, authorization=f"Bearer {k}", client="192.0.2.1").status for k in range(WRONG_ONES + 2)]
    assert found == [401] * WRONG_ONES + [429] * 2
    assert ask(app, authorization="Bearer x", client="192.0.2.2").status == 401
    assert ask(app, authorization=f"Bearer {TOKEN}", client="192.0.2.1").status == 200


def test_wrong_tokens_are_forgotten_after_a_minute_and_counted_by_network_in_ipv6():
    now = [0.0]
    wrong = WrongTokens(lambda: now[0])
    for k in range(WRONG_ONES):
        assert wrong.add(f"2001:db8::{k:x}") == 0
    now[0] = 20
    assert wrong.add("2001:db8::ffff") == MINUTE_S - 20
    assert wrong.add("2001:db8:0:1::") == 0
    now[0] = MINUTE_S
    assert wrong.add("2001:db8::1") == 0


def test_the_memory_of_wrong_tokens_is_bounded():
    wrong = WrongTokens(lambda: 0.0)
    for k in range(3 * ADDRESSES):
        wrong.add(f"10.{k >> 16}.{k >> 8 & 255}.{k & 255}")
    assert len(wrong._counts) == ADDRESSES


def test_a_body_is_counted_while_it_comes_whatever_its_length_said():
    app = guarded(echo, Access())
    part = b"x" * (JSON_BYTES // 2)
    assert json.loads(ask(app, "POST", body=[(0, part), (0, part)]).body)["bytes"] == JSON_BYTES
    reply = ask(app, "POST", body=[(0, part), (0, part), (0, b"x")])
    assert reply.status == 413
    assert json.loads(reply.body)["error"] == f"the body has more than {JSON_BYTES} bytes; send less at once"


def test_a_refused_body_is_read_no_further_than_a_bound(monkeypatch):
    monkeypatch.setattr(door, "LINGER_BYTES", 10_000)
    parts = [(0, b"x" * 1000)] * 1000
    assert ask(guarded(echo, Access()), "POST", host="evil.example", body=parts).status == 421


def test_a_body_that_does_not_come_in_time_is_refused_and_the_connection_closed(monkeypatch):
    monkeypatch.setattr(door, "JSON_WITHIN_S", 0.05)
    monkeypatch.setattr(door, "LINGER_S", 0.05)
    start = time.monotonic()
    reply = ask(guarded(echo, Access()), "POST", body=[(0, b"{"), (30, b"}")])
    assert reply.status == 408
    assert reply.headers[b"connection"] == b"close"
    assert time.monotonic() - start < 5


def test_drops_that_keep_a_body_alive_do_not_lengthen_its_time(monkeypatch):
    monkeypatch.setattr(door, "JSON_WITHIN_S", 0.1)
    monkeypatch.setattr(door, "LINGER_S", 0.01)
    assert ask(guarded(echo, Access()), "POST", body=[(0.02, b"x")] * 1000).status == 408


def test_a_failure_of_the_app_is_said_without_what_it_was_about(caplog):
    async def fails(scope, receive, send):
        raise RuntimeError("/home/me/secret.mp4")

    reply = ask(guarded(fails, Access()))
    assert reply.status == 500
    assert "secret" not in reply.text
    assert "secret" in caplog.text


def test_streams_of_one_address_are_limited(monkeypatch):
    monkeypatch.setattr(door, "STREAMS_OF_ONE", 2)
    app = guarded(echo, Access())

    async def open_streams():
        waiting, statuses = asyncio.Event(), []

        async def stays(scope, receive, send):
            await waiting.wait()
            await echo(scope, receive, send)

        app.app = stays

        async def one(client):
            scope = {"type": "http", "method": "GET", "path": "/api/questions/1/events", "query_string": b""}
            scope |= {"headers": [(b"host", b"localhost:8765")], "client": (client, 1), "server": ("127.0.0.1", 8765)}

            async def send(message):
                statuses.extend([message["status"]] if "status" in message else [])

            await app(scope, None, send)

        tasks = [asyncio.create_task(one(client)) for client in ("a", "a", "a", "b")]
        await asyncio.sleep(0.01)
        assert statuses == [429]
        waiting.set()
        await asyncio.gather(*tasks)
        await one("a")
        return statuses

    assert asyncio.run(open_streams()) == [429, 200, 200, 200, 200]


def test_there_are_no_websockets():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(guarded(echo, Access())({"type": "websocket"}, receive, send))
    assert sent == ["websocket.close"]
