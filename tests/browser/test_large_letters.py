"""Letters twice as large, and a phone: nothing covers anything, and what was asked for is in view."""

import pytest
from playwright.sync_api import expect

from browser.screen import ASKED, Screen, no_wider_than_the_window

TWICE = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("html { font-size: 200% }");
  document.adoptedStyleSheets = [sheet];
}"""
COVERED = """() => {
  const ids = ["library", "results", "stage", "answers", "axis", "words", "exports", "corrections"];
  const shown = ids.map((id) => document.getElementById(id)).filter((one) => one.offsetWidth);
  const boxes = shown.map((one) => [one.id, one.getBoundingClientRect()]);
  const wide = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1;
  const high = (a, b) => Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  const covered = ([, x], rest) => rest.filter(([, y]) => wide(x, y) && high(x, y)).map(([id]) => id);
  return boxes.flatMap((one, i) => covered(one, boxes.slice(i + 1)).map((id) => `${one[0]} and ${id}`));
}"""
"""Pairs of the page's regions that share some of the screen."""


@pytest.fixture
def answered(visit, served):
    """A function that opens the page at a width, asks, and chooses the best answer."""

    def ask(width):
        screen = Screen(visit(served, width=width))
        screen.open("shapes.mp4")
        screen.ask(ASKED)
        screen.marked().first.click()
        expect(screen.words.get_by_text("circle", exact=True).first).to_be_visible()
        return screen

    return ask


@pytest.mark.parametrize("width", [320, 390, 700, 900, 1024, 1280, 1920])
def test_no_part_covers_another(answered, width):
    screen = answered(width)
    assert screen.page.evaluate(COVERED) == []
    screen.page.evaluate(TWICE)
    screen.page.wait_for_timeout(300)
    assert screen.page.evaluate(COVERED) == []
    sizes = screen.page.evaluate("() => [...document.querySelectorAll('#player, #answers')].map((e) => e.offsetWidth)")
    assert min(sizes) >= min(width - 80, 300)


def test_large_letters_are_no_wider_than_a_phone(answered):
    screen = answered(390)
    screen.page.evaluate(TWICE)
    no_wider_than_the_window(screen.page)


def test_a_phone_shows_the_video_that_was_chosen_and_its_answers(visit, served):
    screen = Screen(visit(served, width=390))
    screen.open("shapes.mp4")
    expect(screen.videos.get_by_role("listbox")).to_be_hidden()
    screen.ask(ASKED)
    expect(screen.page.locator("video")).to_be_in_viewport(ratio=0.9)
    expect(screen.answers.get_by_role("button", name="Play answer 1").first).to_be_in_viewport()


def test_whoever_corrects_on_a_phone_sees_the_video_beside_the_fields(answered):
    screen = answered(390)
    screen.corrections.get_by_role("button", name="Correct").click()
    for field in screen.corrections.get_by_role("textbox").all()[:4]:
        field.scroll_into_view_if_needed()
        expect(field).to_be_in_viewport()
        expect(screen.page.locator("video")).to_be_in_viewport(ratio=0.9)
