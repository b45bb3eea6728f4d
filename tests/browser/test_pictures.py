"""Pictures of the page for its documentation, drawn each time; SPIKEMBA_PICTURES names the folder to keep them in."""

import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from browser.footage import EXAMPLE
from browser.screen import ASKED, Screen

MOST_BYTES = 250_000


@pytest.fixture(scope="module")
def example(serve):
    return serve(EXAMPLE)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_drawn(visit, example, tmp_path, width):
    folder = Path(os.environ.get("SPIKEMBA_PICTURES") or tmp_path)
    page = visit(example, width=width)
    screen = Screen(page)
    screen.playable()
    screen.ask(ASKED)
    assert screen.best() == (22.0, 26.0)
    screen.marked().first.click()
    expect(screen.words.get_by_role("listitem")).to_have_count(4)
    page.get_by_role("button", name="Pause").click()
    screen.seek(24)
    page.wait_for_function(
        "() => [...document.images].every((one) => one.complete) && !document.querySelector('video').seeking"
    )
    page.mouse.move(0, 0)
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0) }")
    path = folder / f"serve-{width}.png"
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        small = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    small.save(path, optimize=True)
    assert small.width == width
    assert path.stat().st_size < MOST_BYTES
