"""The time axis under the player: click goes there, drag loops, keys do the rest."""

import pytest
from playwright.sync_api import expect

from browser.screen import ASKED, Screen


@pytest.fixture
def screen(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    return screen


def test_a_click_on_the_axis_goes_there(screen):
    for seconds in (45.0, 7.5):
        screen.page.mouse.click(*screen.axis_point(seconds))
        screen.is_at(seconds)


def test_a_drag_plays_what_was_dragged_over_again_and_again(screen):
    screen.page.mouse.move(*screen.axis_point(30))
    screen.page.mouse.down()
    screen.page.mouse.move(*screen.axis_point(31), steps=3)
    screen.page.mouse.up()
    screen.page.evaluate(
        "() => { const v = document.querySelector('video'); window.seen = [];"
        " v.addEventListener('timeupdate', () => window.seen.push(v.currentTime)) }"
    )
    came_back = "() => window.seen.some((t, i) => i > 0 && t < window.seen[i - 1] - 0.3)"
    screen.page.wait_for_function(came_back)
    seen = screen.page.evaluate("() => window.seen")
    assert 29.8 <= min(seen) <= max(seen) <= 31.4
    screen.page.keyboard.press("l")
    screen.page.wait_for_function("() => document.querySelector('video').currentTime > 31.5")


def test_space_plays_and_pauses_and_arrows_go_a_second_back_and_forth(screen):
    page = screen.page
    page.mouse.click(*screen.axis_point(10))  # the keys are no longer the list's
    screen.seek(20)
    screen.is_at(20, give=0.01)
    page.keyboard.press("ArrowRight")
    screen.is_at(21, give=0.05)
    page.keyboard.press("Shift+ArrowLeft")
    screen.is_at(16, give=0.05)
    page.keyboard.press("Space")
    page.wait_for_function("() => !document.querySelector('video').paused")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('video').paused")


def test_digits_choose_answers_and_the_slash_asks(screen):
    page = screen.page
    page.keyboard.press("/")
    expect(screen.sentence).to_be_focused()
    page.keyboard.type(f"{ASKED} 1")  # typed, a digit is a letter like any other
    expect(screen.sentence).to_have_value(f"{ASKED} 1")
    screen.ask(ASKED)
    assert screen.best() == (22.0, 26.0)
    screen.leave_the_sentence()
    page.keyboard.press("2")
    expect(screen.marked(2).first).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(
        "() => { const t = document.querySelector('video').currentTime; return t >= 20 && t < 24.1 }"
    )
    page.keyboard.press("1")
    expect(screen.marked(1).first).to_have_attribute("aria-pressed", "true")


def test_a_question_mark_lists_all_keys(screen):
    screen.page.keyboard.press("?")
    listed = screen.page.get_by_role("dialog")
    for key in ("space", "←", "→", "1", "9", "/", "?"):
        expect(listed.get_by_text(key, exact=True).first).to_be_visible()
    screen.page.keyboard.press("Escape")
    expect(listed).to_be_hidden()


def test_closer_and_back_to_the_whole_video(screen):
    slider = screen.axis.get_by_role("slider", name="Time")
    expect(slider).to_contain_text("00:50")
    screen.seek(10)
    for _ in range(3):
        screen.page.keyboard.press("+")
    expect(slider).not_to_contain_text("00:50")
    screen.axis.get_by_role("button", name="Whole video").click()
    expect(slider).to_contain_text("00:50")


def test_the_axis_is_a_slider_for_who_uses_no_pointer(screen):
    slider = screen.axis.get_by_role("slider", name="Time")
    slider.focus()
    screen.page.keyboard.press("End")
    screen.is_at(60)
    screen.page.keyboard.press("PageUp")
    screen.page.keyboard.press("Home")
    screen.is_at(0)
    expect(slider).to_have_attribute("aria-valuetext", "0 seconds")
