"""Who is let in, by the head of a request alone: no network, no app."""

import json
from dataclasses import replace

import pytest

from pipelines.serving.admission import (
    JSON_BYTES,
    LIST_BYTES,
    PART_BYTES,
    Access,
    AccessError,
    Head,
    body_limit,
    needs_token,
    parse_host,
    refused,
)

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
    names = ("Films.Example", "tunnel.example:9000", "[fe80::1]", "proxy.example:443")
    access = Access.on("127.0.0.1", names, TOKEN)
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


def test_a_proxy_in_front_of_loopback_needs_a_token_and_a_tunnel_from_this_machine_does_not():
    assert needs_token("127.0.0.1", ("films.example:443",))
    assert not needs_token("127.0.0.1", ("localhost:9000", "127.0.0.1:9000", "[::1]:9000"))
    with pytest.raises(AccessError, match="127.0.0.1, films.example can be reached by other machines"):
        Access.on("127.0.0.1", ("films.example",))


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
