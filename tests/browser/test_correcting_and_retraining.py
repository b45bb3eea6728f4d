"""A correction made on the page becomes a training row, and the model that is trained on it answers otherwise."""

import json

import pytest
from playwright.sync_api import expect
from retrained import NEW, OLD, QUERY, film, overlap, trained

from browser.screen import Screen
from browser.served import Served
from spikemba.datasets.annotations import read_annotations


def asked(visit, served):
    """The page that was asked, and the window of its best answer."""
    screen = Screen(visit(served))
    screen.open("v0.mp4")
    field = screen.page.get_by_label("Sentence to look for")
    field.fill(QUERY)
    field.press("Enter")
    return screen, screen.best()


@pytest.mark.slow
def test_what_is_corrected_on_the_page_is_what_the_next_model_answers(visit, tmp_path):
    film(tmp_path)
    before = trained(tmp_path, tmp_path / "moments.csv", name="before")
    options = ("--checkpoint", str(before), "--corrections", str(tmp_path / "corrections"))
    server = Served([tmp_path / "footage"], options, tmp_path / "home")
    server.start()
    try:
        screen, window = asked(visit, server)
        assert overlap(window, OLD) > 0.5 > overlap(window, NEW)
        screen.corrections.get_by_role("button", name="Correct", exact=True).click()
        for edge, seconds in zip(("Start", "End"), NEW, strict=True):
            field = screen.corrections.get_by_role("textbox", name=f"{edge} of window 1", exact=True)
            field.fill(str(seconds))
            field.press("Enter")
        screen.corrections.get_by_role("textbox", name="Your name").fill("Ana")
        screen.corrections.get_by_role("button", name="Save correction", exact=True).click()
        expect(screen.corrections.get_by_text("Saved as Ana’s.")).to_be_visible()
        screen.page.close()
    finally:
        server.stop()

    row = json.loads((tmp_path / "corrections" / "Ana.jsonl").read_text("utf-8"))
    assert row["relevant_windows"] == [[*NEW]]
    after = trained(tmp_path, tmp_path / "moments.csv", tmp_path / "corrections", name="after")
    windows = {one.video_id: one.windows for one in read_annotations(tmp_path / "data" / "train.jsonl")}
    assert windows == {"v0": (NEW,), "v1": (OLD,), "v2": (OLD,)}

    server = Served([tmp_path / "footage"], ("--checkpoint", str(after)), tmp_path / "home")
    server.start()
    try:
        screen, window = asked(visit, server)
        assert overlap(window, NEW) > 0.3 > overlap(window, OLD)
        screen.page.close()
    finally:
        server.stop()
