"""The door around an app: tokens, bodies in size and time, headers on every answer; without a network."""

import asyncio
import json
import time

from pipelines.serving.door import access as door
from pipelines.serving.door.access import Access, guarded
from pipelines.serving.door.admission import JSON_BYTES
from pipelines.serving.door.wrong_tokens import ADDRESSES, MINUTE_S, WRONG_ONES, WrongTokens

TOKEN = "k3y-of-this-run"
OURS = {"host": "127.0.0.1:8765"}


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
    assert b"href" not in page.body  # there is nowhere to go without one


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
