"""Questions side by side, what the address holds of them, and the way back."""

import re

import pytest
from playwright.sync_api import expect

from browser.accessibility import nothing_serious
from browser.footage import EXAMPLE, draw_long
from browser.screen import ABSENT, ASKED, Screen


@pytest.fixture(scope="module")
def long(serve, tmp_path_factory):
    """A short video and two that take a while to read; the first of the list cannot be read."""
    folder = tmp_path_factory.mktemp("long") / "films"
    draw_long(folder / "long.mp4", seconds=3000)
    draw_long(folder / "other.mp4", seconds=3000)
    (folder / "shapes.mp4").write_bytes(EXAMPLE.read_bytes())
    (folder / "a broken one.mp4").write_bytes(EXAMPLE.read_bytes()[:3000])
    return serve(folder)


def left(screen):
    """Nothing of an answer stands on the page."""
    expect(screen.marked()).to_have_count(0)
    for region in (screen.words, screen.exports, screen.corrections, screen.results):
        expect(region).to_be_hidden()
    expect(screen.page.get_by_role("button", name=re.compile("^Stop looping"))).to_be_hidden()


@pytest.mark.parametrize("name", ["a broken one.mp4", "long.mp4"])
def test_the_first_video_that_can_be_read_is_shown_at_first(visit, long, name):
    screen = Screen(visit(long))
    screen.playable()
    chosen = screen.videos.get_by_role("option", name=name).get_attribute("aria-selected")
    assert chosen == str(name == "long.mp4").lower()


def test_back_from_an_answer_takes_all_of_it_away_and_forth_brings_it_again(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.ask(ASKED)
    screen.marked().first.click()
    expect(screen.words.get_by_text("circle", exact=True).first).to_be_visible()
    screen.page.go_back()
    expect(screen.answers.get_by_text("Asked before.")).to_be_visible()
    left(screen)
    screen.page.go_forward()
    assert screen.best() == (22.0, 26.0)


def test_back_while_it_is_read_leaves_the_question_running(visit, long):
    screen = Screen(visit(long))
    screen.open("other.mp4")
    screen.open("long.mp4")
    screen.ask(ASKED)
    expect(screen.page.get_by_role("progressbar", name="Clips read")).to_be_visible()
    screen.page.go_back()
    screen.page.go_back()
    expect(screen.videos.get_by_role("option", selected=True)).to_have_accessible_name("other.mp4")
    assert "other" in screen.page.url
    left(screen)
    others = screen.page.get_by_role("list", name="Other questions")
    expect(others).to_contain_text(re.compile(r"long\.mp4: a red circle enters ?(read to \d+ %|waits|answered)"))
    nothing_serious(screen.page)
    others.get_by_role("button", name=re.compile("^long")).click()
    expect(screen.videos.get_by_role("option", selected=True)).to_have_accessible_name("long.mp4")
    expect(screen.answers.get_by_text("no such moment")).to_be_visible(timeout=180_000)
    expect(others).to_be_hidden()


def test_a_question_about_another_video_leaves_the_first_one_running(visit, long):
    screen = Screen(visit(long))
    screen.open("other.mp4")
    screen.ask(ABSENT)
    expect(screen.page.get_by_role("progressbar", name="Clips read")).to_be_visible()
    screen.open("shapes.mp4")
    expect(screen.answers.get_by_text("Not asked of this video yet.")).to_be_visible()
    expect(screen.page.get_by_role("progressbar", name="Clips read")).to_be_hidden()
    screen.ask(ASKED)
    assert screen.best() == (22.0, 26.0)
    others = screen.page.get_by_role("list", name="Other questions")
    expect(others).to_contain_text("other.mp4")
    screen.open("other.mp4")
    expect(screen.sentence).to_have_value(ABSENT)
    expect(screen.answers.get_by_text("no such moment")).to_be_visible(timeout=180_000)
    screen.open("shapes.mp4")
    assert screen.best() == (22.0, 26.0)
    expect(screen.sentence).to_have_value(ASKED)


def test_moments_shown_anyway_say_so_in_the_page_and_in_the_address(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.ask(ABSENT)
    screen.answers.get_by_role("button", name="Show them anyway").click()
    expect(screen.marked(5)).to_be_visible()
    for _ in range(2):
        expect(screen.answers.get_by_text("Probably the video does not show that.")).to_be_visible()
        screen.page.reload()
    expect(screen.marked(5)).to_be_visible()
    screen.answers.get_by_role("button", name="Hide them").click()
    expect(screen.answers.get_by_text("no such moment (0.01)")).to_be_visible()


def test_a_number_pressed_again_is_the_answer_of_the_other_checkpoint(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    expect(screen.page.get_by_role("button", name="Who answers: mini")).to_be_visible()
    screen.choose_checkpoints("mini", "twin")
    screen.ask(ASKED)
    expect(screen.marked()).to_have_count(2)
    screen.leave_the_sentence()
    for name in ("mini", "twin", "mini"):
        screen.page.keyboard.press("2")
        chosen = screen.answers.get_by_role("list", name=f"Moments of {name}").get_by_role("button", pressed=True)
        expect(chosen).to_have_accessible_name(re.compile("^Play answer 2:"))


def test_escape_closes_the_options_and_so_does_asking(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    options = screen.page.get_by_role("button", name="Options", exact=True)
    panel = screen.page.get_by_role("group", name="Options")
    options.click()
    expect(panel).to_be_visible()
    screen.page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(options).to_be_focused()
    options.click()
    panel.get_by_role("spinbutton", name="Moments at most").fill("3")
    screen.page.evaluate("() => document.querySelector('#ask form').requestSubmit()")
    screen.ask(ASKED)
    expect(panel).to_be_hidden()
    expect(screen.marked(3)).to_be_visible()
    expect(screen.marked(4)).to_have_count(0)


def test_arrow_up_behind_an_answer_is_the_sentence_before(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    for sentence in (ABSENT, ASKED):
        screen.ask(sentence)
        expect(screen.answers.get_by_text(sentence)).to_be_visible()
    screen.sentence.press("ArrowUp")
    expect(screen.sentence).to_have_value(ABSENT)


def test_a_video_that_no_server_sends_says_so_in_its_place(visit, watch, serve, films):
    server = serve(films)
    screen = Screen(visit(server))
    screen.open("shapes.mp4")
    screen.page.wait_for_load_state("networkidle")
    with watch.server_down():
        server.kill()
        screen.videos.get_by_role("option", name="more/").click()
        stage = screen.page.get_by_role("region", name="Video", exact=True)
        expect(stage.get_by_text("Waiting for the server…")).to_be_visible()
        server.start()
        screen.playable()
    expect(stage.get_by_text("Waiting for the server…")).to_be_hidden()
