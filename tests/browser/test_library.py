"""A whole library, asked from the page: one order over all videos, opened at a moment, for everyone."""

import re
import shutil

import pytest
from playwright.sync_api import expect
from typed import run

from browser.accessibility import nothing_serious
from browser.footage import EXAMPLE
from browser.screen import ABSENT, ASKED, Screen, no_wider_than_the_window
from spikemba.video.stills import Stills

HEBREW = "עיגול אדום נכנס לתמונה מצד שמאל " * 8


@pytest.fixture(scope="module")
def library(serve, tmp_path_factory):
    """A server of a library alone: the example with subtitles, and a copy of it."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "films" / "more").mkdir(parents=True)
    for name in ("shapes.mp4", "more/映画 copy.mp4"):
        shutil.copy(EXAMPLE, folder / "films" / name)
    (folder / "films" / "shapes.srt").write_text("1\n00:00:30,000 --> 00:00:33,000\nhere come the elephants\n", "utf-8")
    assert run("index", folder / "films", "--encoder", "mini", "--library", folder / "lib").exit_code == 0
    return serve(options=("--library", str(folder / "lib")))


def found_by(screen):
    return screen.page.get_by_role("region", name="Answers in the library")


def test_a_sentence_finds_the_moment_which_opens_and_is_shown_again(visit, library):
    screen = Screen(visit(library))
    page, found = screen.page, found_by(screen)
    expect(screen.videos.get_by_role("option")).to_have_count(2)
    screen.ask("word " * 201)
    expect(page.get_by_role("alert").get_by_text("1,004 characters; at most 1,000")).to_be_visible()
    screen.ask(ASKED)
    first = found.get_by_role("list", name="Moments of the library, best first").get_by_role("listitem").first
    expect(first).to_contain_text(re.compile("00:22.0 – 00:26.0 · score 0.9"))
    first.get_by_text("and 1 copy").click()
    expect(first.get_by_role("button", name="shapes.mp4", exact=True)).to_be_visible()
    first.get_by_role("button", name=re.compile("^Open .*00:22")).press("Enter")
    screen.playable()
    screen.is_at(22, give=4.1)  # it plays in a loop
    assert screen.best() == (22.0, 26.0)
    expect(screen.corrections.get_by_role("button", name="Correct")).to_be_visible()
    page.reload()
    expect(found.get_by_role("status")).to_contain_text("2 videos looked at")
    assert screen.best() == (22.0, 26.0)
    screen.ask("elephants")
    expect(found.get_by_text("here come the elephants")).to_be_visible()
    page.go_back()
    expect(first).to_contain_text("00:22.0 – 00:26.0")
    with page.expect_download() as saved:
        screen.exports.get_by_role("button", name="Save").click()
    assert saved.value.suggested_filename.endswith("a-red-circle-enters.csv")


def test_everyone_can_ask_the_library(visit, library):
    screen = Screen(visit(library, width=390))
    found = found_by(screen)
    expect(screen.page.get_by_role("combobox", name="Where to look")).to_have_value("library")
    screen.ask(ABSENT)
    expect(found.get_by_text("no such moment")).to_be_visible()
    nothing_serious(screen.page)
    found.get_by_role("button", name="Show the best guesses anyway").click()
    expect(found.get_by_text("These are the best guesses anyway")).to_be_visible()
    found.get_by_role("button", name=re.compile("^More like")).first.press("Enter")
    expect(found.get_by_role("heading", level=2)).to_contain_text("like")
    expect(found.get_by_role("heading", level=2)).to_be_focused()
    expect(found.get_by_text("how alike the clips are")).to_be_visible()
    nothing_serious(screen.page)
    screen.page.get_by_label("Only videos with these words in name or folder").fill("no such film")
    screen.ask(HEBREW)
    expect(found.get_by_role("status")).to_contain_text("no video of the library has 'no such film'")
    no_wider_than_the_window(screen.page, (320, 390))


def test_a_picture_is_asked_with(visit, library, tmp_path):
    screen = Screen(visit(library))
    picture = tmp_path / "still.jpg"
    picture.write_bytes(Stills().still(EXAMPLE, 23.5, 180))
    screen.page.locator("input[accept='image/*']").set_input_files(picture)
    expect(found_by(screen).get_by_role("heading", level=2)).to_have_text("like a picture")
    expect(found_by(screen).get_by_role("status")).to_contain_text("clips of mini")
