"""Who may look: this machine alone, or whoever has the token."""

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser.screen import ASKED, Screen


@pytest.fixture(scope="module")
def open_to_others(serve, films):
    return serve(films, options=("--host", "0.0.0.0"))


def test_the_token_of_the_address_opens_the_page_and_leaves_the_address(visit, open_to_others):
    assert "?token=" in open_to_others.url
    page = visit(open_to_others)
    screen = Screen(page)
    assert "token" not in page.url
    screen.open("shapes.mp4")
    screen.ask(ASKED)
    assert screen.best() == (22.0, 26.0)
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("() => document.cookie") == ""
    page.goto(open_to_others.origin)
    expect(screen.videos.get_by_role("option").first).to_be_visible()


def test_without_the_token_there_is_nothing(visit, watch, open_to_others):
    watch.expect(401, "")
    page = visit(open_to_others, open_to_others.origin)
    expect(page.get_by_role("option")).to_have_count(0)
    for path in ("/api/videos", "/page/modules/main.js", "/api/state"):
        reply = page.request.get(open_to_others.origin + path)
        assert reply.status == 401, path
        assert set(json.loads(reply.text())) == {"error"}


def test_what_comes_from_another_page_or_under_another_name_is_refused(visit, served):
    own = urlsplit(served.origin)
    page = visit(served)
    sent = page.request.post(
        f"{served.origin}/api/questions",
        data={"query": ASKED},
        headers={"Origin": f"http://evil.example:{own.port}", "Sec-Fetch-Site": "cross-site"},
    )
    assert sent.status == 403
    foreign = page.request.get(f"{served.origin}/api/videos", headers={"Host": "evil.example"})
    assert foreign.status in (403, 421)
