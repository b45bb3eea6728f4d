"""Lists that are longer than the screen, and lists that grow: what is looked at stays where it is."""

import re

import pytest
from playwright.sync_api import expect

from browser.screen import Screen

N_MANY = 10_000
N_IN_VIEW = 80
"""Rows that may be elements at once, whatever there is."""


@pytest.fixture
def long_list(visit, served, context):
    """The page of a server that has ten thousand more videos, in a hundred folders."""

    def with_many(route):
        reply = route.fetch()
        document = reply.json()
        one = {**document["videos"][0], "has_truth": False, "n_corrections": 0}
        more = [
            {**one, "id": f"x-{k:05d}", "name": f"clip {k:05d}.mp4", "folder": f"day {k // 100:02d}"}
            for k in range(N_MANY)
        ]
        route.fulfill(response=reply, json={"videos": document["videos"] + more})

    context.route("**/api/videos", with_many)
    screen = Screen(visit(served))
    expect(screen.videos.get_by_text(f"{N_MANY + 4:,} videos")).to_be_visible()
    return screen


def at_the_keys(screen):
    """The row that the keys are at, by what aria-activedescendant says."""
    listbox = screen.videos.get_by_role("listbox")
    return screen.page.locator(f"id={listbox.get_attribute('aria-activedescendant')}")


def test_ten_thousand_videos_are_as_many_elements_as_are_seen_and_all_in_reach_of_keys(long_list):
    rows = long_list.videos.get_by_role("option")
    assert 4 < rows.count() <= N_IN_VIEW
    long_list.videos.get_by_role("listbox").focus()
    long_list.page.keyboard.press("End")
    expect(at_the_keys(long_list)).to_have_attribute("aria-label", "more/shapes_plain_000041.mp4, has true windows")
    expect(at_the_keys(long_list)).to_have_attribute("aria-posinset", str(N_MANY + 4))
    expect(at_the_keys(long_list)).to_be_in_viewport()
    long_list.page.keyboard.press("Home")
    expect(at_the_keys(long_list)).to_have_attribute("aria-posinset", "1")
    assert rows.count() <= N_IN_VIEW


def test_typing_finds_one_of_ten_thousand_and_the_keys_go_on_from_there(long_list):
    field = long_list.videos.get_by_role("searchbox")
    field.fill("42/clip 0420")
    expect(long_list.videos.get_by_text(f"10 of {N_MANY + 4:,} videos")).to_be_visible()
    field.press("ArrowDown")
    expect(at_the_keys(long_list)).to_have_attribute("aria-label", "day 42/clip 04200.mp4")
    long_list.page.keyboard.press("ArrowDown")
    expect(at_the_keys(long_list)).to_have_attribute("aria-label", "day 42/clip 04201.mp4")


GROWING = """async (counts) => {
  const { renderResults } = await import("/page/modules/results.js");
  const room = document.getElementById("results");
  room.hidden = false;
  const videos = Array.from({ length: 5 }, (_, k) => ({ id: `v${k}`, name: `v${k}.mp4`, folder: "" }));
  const app = { state: { get: () => ({ videos }) }, openVideo() {} };
  const answers = [0.2, 0.9, 0.5, 0.7].map((exists, k) => ({
    video_id: `v${k}`, checkpoint: "mini", exists, duration_s: 60, nothing: null,
    moments: [{ start_s: 10, end_s: 20, score: exists }],
  }));
  window.grow = (n, state) => renderResults(room, {
    id: "q", state, n_done: n, n_total: 4, reading: null, place: 0, answers: answers.slice(0, n), failed: [],
  }, app);
  for (const n of counts) window.grow(n, "working");
}"""


@pytest.fixture
def growing(visit, served, context):
    """The page with an answer to a question over four videos, of which two are there; `grow(n, state)` brings more."""
    picture = {"content_type": "image/svg+xml", "body": PICTURE}
    context.route(re.compile(r"/api/videos/v\d/still"), lambda route: route.fulfill(**picture))
    stills_alone = {"play": {"kind": "pieces", "type": "video/mp4"}}
    context.route(re.compile(r"/api/videos/v\d$"), lambda route: route.fulfill(json=stills_alone))
    screen = Screen(visit(served))
    expect(screen.videos.get_by_role("option").first).to_be_visible()
    screen.page.evaluate(GROWING, [1, 2])
    return screen


PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="90"/>'


def names(screen):
    return screen.results.get_by_role("heading").all_inner_texts()


def test_answers_keep_their_places_while_more_arrive_and_are_sorted_when_the_last_is_there(growing):
    assert names(growing) == ["v0.mp4", "v1.mp4"]
    growing.page.evaluate("() => window.grow(3, 'working')")
    assert names(growing) == ["v0.mp4", "v1.mp4", "v2.mp4"]
    growing.page.evaluate("() => window.grow(4, 'done')")
    assert names(growing) == ["v1.mp4", "v3.mp4", "v2.mp4", "v0.mp4"]


def test_nothing_is_sorted_under_the_pointer_until_somebody_says_so(growing):
    growing.results.get_by_role("button", name="Open v0.mp4").hover()
    growing.page.evaluate("() => window.grow(4, 'done')")
    assert names(growing) == ["v0.mp4", "v1.mp4", "v2.mp4", "v3.mp4"]
    growing.results.get_by_role("button", name="Put the best first").click()
    assert names(growing) == ["v1.mp4", "v3.mp4", "v2.mp4", "v0.mp4"]
    expect(growing.results.get_by_role("button", name="Put the best first")).to_be_hidden()


def test_the_focus_stays_on_its_answer_when_the_others_are_sorted(growing):
    strip = growing.results.get_by_role("button", name="Open v0.mp4")
    strip.focus()
    growing.page.evaluate("() => window.grow(4, 'done')")
    growing.results.get_by_role("button", name="Put the best first").dispatch_event("click")
    expect(strip).to_be_focused()
