"""The page for everyone: by keyboard alone, in light and dark, on a phone, in long and in other scripts' sentences."""

import re

import pytest
from playwright.sync_api import expect

from browser.accessibility import nothing_serious
from browser.screen import ABSENT, ASKED, Screen, no_wider_than_the_window

SENTENCES = {
    "long": "an extraordinarily conspicuous vermilion circumference unquestionably materialises " * 6,
    "one word": "Donaudampfschifffahrtsgesellschaftskapitän" * 10,
    "Chinese": "一个红色的圆圈从左边慢慢进入画面然后停在中间" * 8,
    "Hebrew": "עיגול אדום נכנס לתמונה מצד שמאל " * 8,
    "Arabic": "تدخل دائرة حمراء إلى الصورة من اليسار " * 8,
}
FOCUS = """() => {
  const at = document.activeElement;
  const look = getComputedStyle(at);
  const box = at.getBoundingClientRect();
  return {
    name: at.getAttribute("aria-label") || at.textContent.trim() || at.id || at.tagName,
    seen: (look.outlineStyle !== "none" && parseFloat(look.outlineWidth) > 0) || look.boxShadow !== "none",
    inside: box.width > 0 && box.height > 0 && box.left >= -1 && box.right <= window.innerWidth + 1,
  };
}"""
"""What has the focus: its name, whether one sees that it has, and whether it lies within the window's width."""


@pytest.fixture
def screen(visit, served):
    return Screen(visit(served))


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_serious_is_found_in_any_state(visit, served, width):
    screen = Screen(visit(served, width=width))
    page = screen.page
    screen.show_videos()
    screen.open("shapes.mp4")
    nothing_serious(page)
    screen.ask(ABSENT)
    expect(screen.answers.get_by_text("no such moment")).to_be_visible()
    nothing_serious(page)
    screen.ask(ASKED)
    screen.marked().first.click()
    nothing_serious(page)
    for name in ("Options", "Sentences asked before", "Lanes"):
        page.get_by_role("button", name=name, exact=True).click()
        nothing_serious(page)
        page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("Help")).click()
    nothing_serious(page)
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Where to look").select_option("all")
    screen.ask(ASKED)
    expect(screen.results.get_by_role("status")).to_contain_text("1 answer with a moment")
    nothing_serious(page)


@pytest.mark.parametrize("kind", SENTENCES)
def test_no_sentence_is_wider_than_a_phone(visit, served, kind):
    screen = Screen(visit(served, width=390))
    screen.show_videos()
    screen.open("shapes.mp4")
    sentence = SENTENCES[kind].strip()[:500]
    screen.ask(sentence)
    expect(screen.answers.get_by_text(sentence, exact=True)).to_be_visible()
    expect(screen.answers.get_by_text("…", exact=True)).to_be_hidden()
    no_wider_than_the_window(screen.page, (320, 390, 1280))


def test_a_sentence_of_too_many_words_is_refused_in_one_line(screen, watch):
    watch.expect(400, "/api/questions$")
    screen.open("shapes.mp4")
    screen.ask("word " * 65)
    expect(screen.answers.get_by_role("alert")).to_have_text("the query has 65 words; this encoder reads at most 64")


def test_a_phone_shows_all_without_moving_sideways(visit, served):
    screen = Screen(visit(served, width=390))
    screen.show_videos()
    screen.open("shapes.mp4")
    screen.choose_checkpoints("mini", "twin")
    screen.ask(ASKED)
    screen.marked().first.click()
    expect(screen.words).to_be_visible()
    no_wider_than_the_window(screen.page, (320, 390))


def test_the_keyboard_alone_is_enough(screen):
    page = screen.page
    screen.playable()
    reached = walk(page)
    for wanted in ("Sentence to look for", "Filter", "Videos", "Play", "Time", "Help"):
        assert any(wanted in name for name in reached), f"{wanted!r} is not reached by Tab: {reached}"
    screen.videos.get_by_role("listbox").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    screen.playable()
    page.keyboard.press("/")
    page.keyboard.type(ASKED)
    page.keyboard.press("Enter")
    assert screen.best() == (22.0, 26.0)
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(screen.marked().first).to_have_attribute("aria-pressed", "true")
    reached = walk(page)
    for wanted in ("Play answer 1", "Cut out 00:22.0", "answer 5", "saliency: what is", "Save", "Copy link", "Correct"):
        assert any(wanted in name for name in reached), f"{wanted!r} is not reached by Tab: {reached}"


def walk(page):
    """Press Tab until the focus leaves the page or comes round; returns the names of all stops, each seen to be one."""
    page.evaluate("() => { document.activeElement.blur(); window.getSelection().removeAllRanges(); }")
    names = []
    for _ in range(150):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUS)
        if page.evaluate("() => document.activeElement === document.body"):
            break
        assert stop["seen"], f"one does not see that {stop['name']!r} has the focus"
        assert stop["inside"], f"{stop['name']!r} has the focus outside of the window"
        if len(names) > 3 and stop["name"] == names[0]:
            break
        names.append(stop["name"])
    return names
