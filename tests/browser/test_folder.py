"""A folder of videos: list, filter, and answers over all of them."""

import re

import pytest
from playwright.sync_api import expect

from browser.footage import ODD_NAME
from browser.screen import ASKED, Screen


@pytest.fixture
def screen(visit, served):
    return Screen(visit(served))


def test_all_videos_are_listed_by_their_names(screen):
    expect(screen.videos.get_by_role("option")).to_have_count(4)
    names = [one.get_attribute("aria-label") for one in screen.videos.get_by_role("option").all()]
    assert [name.split(",")[0] for name in names] == [
        "shapes.mp4",
        "truncated.mp4",
        ODD_NAME,
        "more/shapes_plain_000041.mp4",
    ]


def test_typing_leaves_those_that_match(screen):
    screen.videos.get_by_role("searchbox").fill("映画")
    expect(screen.videos.get_by_role("option")).to_have_count(1)
    screen.open(ODD_NAME)
    screen.videos.get_by_role("searchbox").fill("no such film")
    expect(screen.videos.get_by_role("option")).to_have_count(0)
    screen.videos.get_by_role("searchbox").fill("")
    expect(screen.videos.get_by_role("option")).to_have_count(4)


def test_a_sentence_is_asked_of_all_videos_and_the_best_stands_first(screen, watch):
    watch.expect(422, "/api/videos/truncated-")
    ask_all(screen, ASKED)
    expect(screen.results.get_by_role("status")).to_contain_text("1 answer with a moment, 2 without")
    expect(screen.results.get_by_text("Not asked: 1 video")).to_be_visible()
    strips = screen.results.get_by_role("button", name=re.compile(r"shapes\.mp4.*00:22"))
    expect(strips.first).to_be_visible()
    strips.first.click()
    screen.playable()
    screen.is_at(22, give=4.1)  # it plays in a loop


def test_a_filmstrip_plays_while_it_is_pointed_at(screen):
    ask_all(screen, ASKED)
    strip = screen.results.get_by_role("button", name=re.compile(r"shapes\.mp4.*00:22")).first
    expect(strip).to_be_visible()
    strip.hover()
    expect(strip.locator("video")).to_be_visible()
    screen.page.wait_for_function("() => [...document.querySelectorAll('#results video')].some((one) => !one.paused)")
    screen.page.mouse.move(0, 0)
    expect(strip.locator("video")).to_have_count(0)


def test_nothing_moves_where_motion_is_not_wanted(screen):
    screen.page.emulate_media(reduced_motion="reduce")
    ask_all(screen, ASKED)
    strip = screen.results.get_by_role("button", name=re.compile(r"shapes\.mp4.*00:22")).first
    expect(strip).to_be_visible()
    strip.hover()
    screen.page.wait_for_timeout(700)
    expect(strip.locator("video")).to_have_count(0)
    moving = "() => document.getAnimations().filter((one) => one.playState === 'running').length"
    assert screen.page.evaluate(moving) == 0


def ask_all(screen, sentence):
    screen.page.get_by_role("combobox", name="Where to look").select_option("all")
    screen.ask(sentence)
