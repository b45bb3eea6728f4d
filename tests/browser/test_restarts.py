"""A server that goes away in the middle of a question and comes back."""

import re

import pytest
from playwright.sync_api import expect

from browser.footage import draw_long
from browser.screen import Screen


@pytest.fixture
def fragile(serve, tmp_path):
    folder = tmp_path / "films"
    draw_long(folder / "long.mp4", seconds=1500)
    return serve(folder)


def test_killed_in_the_middle_of_a_question_and_started_again_it_answers(visit, watch, fragile):
    watch.expect(404, "/api/questions/[0-9a-f]+(/events)?$")  # which a restarted server does not know
    screen = Screen(visit(fragile))
    screen.open("long.mp4")
    screen.ask("a red circle enters")
    progress = screen.page.get_by_text(re.compile(r"reading long\.mp4: \d+ of 750 clips"))
    expect(progress).to_be_visible()
    with watch.server_down():
        fragile.kill()
        expect(screen.page.get_by_role("alert").get_by_text("The server does not answer; trying again")).to_be_visible()
        screen.page.wait_for_timeout(500)
        fragile.start()
        expect(screen.page.get_by_text("The server does not answer")).to_be_hidden()
    expect(screen.answers.get_by_text("no such moment")).to_be_visible(timeout=180_000)
    screen.seek(700)
    screen.is_at(700)
    screen.playable()


def test_a_question_is_cancelled_and_the_next_one_is_answered(visit, fragile):
    screen = Screen(visit(fragile))
    screen.open("long.mp4")
    screen.ask("a red circle enters")
    expect(screen.page.get_by_role("progressbar", name="Clips read")).to_be_visible()
    screen.page.get_by_role("button", name="Cancel").click()
    expect(screen.answers.get_by_text("Cancelled.")).to_be_visible()
    screen.ask("a blue square leaves")
    expect(screen.answers.get_by_text("no such moment")).to_be_visible(timeout=180_000)
