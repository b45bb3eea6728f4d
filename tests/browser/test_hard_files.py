"""Files that are very long or broken."""

import time

import pytest
from playwright.sync_api import expect

from browser.footage import TWO_HOURS_S, draw_long
from browser.screen import ASKED, Screen


@pytest.fixture(scope="module")
def long(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    draw_long(folder / "two hours.mp4")
    return serve(folder)


@pytest.mark.slow
def test_two_hours_are_read_once_and_moved_about_in_at_once(visit, long, record_property):
    screen = Screen(visit(long))
    screen.open("two hours.mp4")
    started = time.perf_counter()
    screen.ask("a red circle enters")
    expect(screen.page.get_by_role("progressbar", name="Clips read")).to_be_visible()
    screen.page.mouse.click(*screen.axis_point(TWO_HOURS_S - 60))  # while it is read
    screen.is_at(TWO_HOURS_S - 60, give=TWO_HOURS_S / 500)
    expect(screen.answers.get_by_text("no such moment")).to_be_visible(timeout=300_000)
    record_property("two_hours_read_s", round(time.perf_counter() - started, 1))
    started = time.perf_counter()
    screen.ask("a blue square leaves")
    expect(screen.answers.get_by_text("a blue square leaves")).to_be_visible()
    expect(screen.answers.get_by_text("…")).to_be_hidden()
    record_property("two_hours_asked_again_s", round(time.perf_counter() - started, 2))
    slider = screen.axis.get_by_role("slider", name="Time")
    expect(slider).to_contain_text("1:30:00")
    slider.focus()
    for _ in range(5):
        screen.page.keyboard.press("+")
    expect(slider).to_contain_text("1:58:00")
    expect(slider).not_to_contain_text("1:30:00")


def test_a_broken_file_says_what_is_wrong_and_stops_no_other(visit, served, watch):
    watch.expect(422, "/api/videos/truncated-")
    screen = Screen(visit(served))
    screen.videos.get_by_role("option", name="truncated.mp4").click()
    stage = screen.page.get_by_role("region", name="Video", exact=True)
    expect(stage.get_by_role("alert")).to_have_text(
        "truncated.mp4: is an MP4 without its index; the recording was cut short or damaged, copy or download it again"
    )
    screen.ask(ASKED)
    expect(screen.answers.get_by_role("alert")).to_contain_text("is an MP4 without its index")
    screen.open("shapes.mp4")
    expect(stage.get_by_role("alert")).to_be_hidden()
    screen.ask(ASKED)
    assert screen.best() == (22.0, 26.0)
