"""What is taken along from the page: the files that `spikemba ground` writes, and moments cut out."""

import json

import pytest
from playwright.sync_api import expect
from typed import run

from browser.screen import ABSENT, ASKED, Screen, saved
from pipelines.grounding.formats import FORMATS
from spikemba.video.sampling import VideoReader


@pytest.fixture
def screen(visit, served):
    screen = Screen(visit(served))
    screen.open("shapes.mp4")
    screen.ask(ASKED)
    assert screen.best() == (22.0, 26.0)
    return screen


def test_every_format_is_the_file_that_ground_writes(screen, films, monkeypatch):
    monkeypatch.chdir(films)
    formats = screen.exports.get_by_role("combobox", name="Format")
    offered = [one.get_attribute("value") for one in formats.get_by_role("option").all()]
    assert sorted(offered) == sorted(FORMATS)
    for name in offered:
        formats.select_option(name)
        with screen.page.expect_download() as download:
            screen.exports.get_by_role("button", name="Save").click()
        assert download.value.suggested_filename.endswith(FORMATS[name][0])
        printed = run("ground", "shapes.mp4", ASKED, "--checkpoint", "mini", "--format", name).stdout
        text = saved(download.value).decode()
        if name == "json":
            assert json.loads(text) == [json.loads(printed)]
        else:
            assert text == printed, name


def test_what_a_format_leaves_out_is_said_beside_it(screen):
    formats = screen.exports.get_by_role("combobox", name="Format")
    formats.select_option("edl")
    said = screen.exports.get_by_text("overlapping moments are left out: ")
    expect(said).to_be_visible()
    screen.exports.get_by_role("combobox", name="Timeline").select_option("markers")
    expect(said).to_have_count(0)
    formats.select_option("srt")
    screen.ask(ABSENT)
    expect(screen.exports.get_by_text("Nothing to save: no such moment")).to_be_visible()
    expect(screen.exports.get_by_role("button", name="Save")).to_be_disabled()
    formats.select_option("json")
    with screen.page.expect_download():
        screen.exports.get_by_role("button", name="Save").click()


def test_of_two_checkpoints_each_has_a_file_of_its_own_name(screen):
    screen.choose_checkpoints("mini", "twin")
    screen.ask(ASKED)
    which = screen.exports.get_by_role("combobox", name="Checkpoint")
    for name in ("mini", "twin"):
        which.select_option(name)
        with screen.page.expect_download() as download:
            screen.exports.get_by_role("button", name="Save").click()
        assert download.value.suggested_filename == f"shapes_a-red-circle-enters_{name}.csv"
        assert all(line.endswith(f",{name}") for line in saved(download.value).decode().splitlines()[1:])


@pytest.mark.parametrize(("mode", "slack_s"), [("exact", 0.0), ("copy", 30.0)])
def test_a_moment_is_cut_out_and_as_long_as_it_says(screen, tmp_path, mode, slack_s):
    screen.marked().first.click()
    screen.exports.get_by_role("combobox", name="Cut").select_option(mode)
    with screen.page.expect_download() as download:
        screen.exports.get_by_role("button", name="Cut out").click()
    download.value.save_as(tmp_path / "cut.mp4")
    lasts = VideoReader(tmp_path / "cut.mp4").measured_end_s()
    assert 4.0 - 1e-6 <= lasts <= 4.0 + slack_s + 1e-6
    expect(screen.exports.get_by_role("list", name="Cuts").get_by_role("listitem")).to_have_count(1)
