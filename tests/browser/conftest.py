"""A real browser before a real server: every page is watched, and what it complains about fails its test.

The browser is Debian's chromium, or the one that SPIKEMBA_BROWSER names; where there is none, these tests are left out.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from browser.footage import draw_films
from browser.served import Served
from browser.watching import Watch

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
PATIENCE_MS = 20_000
"""How long anything on a page may take on two busy cores before a test gives up."""

Serve = Callable[..., Served]
Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; tests that ask for it are left out where there is none."""
    found = shutil.which(os.environ.get("SPIKEMBA_BROWSER") or "chromium")
    assert found is not None
    return found


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all; each test has a context of its own, without cookies or storage."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def serve(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A function that serves folders with options in a process of its own and returns it, started."""
    running: list[Served] = []

    def start(*folders: Path, options: tuple[str, ...] = (), home: Path | None = None) -> Served:
        one = Served(folders, ("--checkpoint", "mini", *options), home or tmp_path_factory.mktemp("served"))
        running.append(one)
        one.start()
        return one

    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="package")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small videos, `truth.jsonl` beside it."""
    folder = tmp_path_factory.mktemp("films") / "films"
    draw_films(folder)
    return folder


@pytest.fixture(scope="package")
def served(serve: Serve, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The films, served to all tests that change nothing for the others; two checkpoints answer."""
    home = tmp_path_factory.mktemp("served")
    twin_of_mini(home / "twin")
    options = ("--checkpoint", "twin", "--annotations", str(films.parent / "truth.jsonl"))
    return serve(films, options=options, home=home)


def twin_of_mini(folder: Path) -> Path:
    """A second checkpoint: the bundled network, told to keep fewer moments that overlap."""
    from spikemba.checkpoints.grounding import find_checkpoint

    shutil.copytree(find_checkpoint("mini"), folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["grounding"]["max_iou"] = 0.3
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A context of its own, 1280 x 800, without cookies or storage."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def watch(context: BrowserContext) -> Iterator[Watch]:
    """What notices the problems of the test's pages; the test fails when there was any."""
    watch = Watch(context)
    yield watch
    for page in context.pages:
        page.wait_for_timeout(50)  # what it said last has arrived
    if watch.problems:
        pytest.fail("the page had problems:\n" + "\n".join(watch.problems), pytrace=False)


@pytest.fixture
def visit(context: BrowserContext, watch: Watch) -> Visit:
    """A function that opens the page of a server, watched, in a window of some width in pixels."""

    def open_page(served: Served, url: str | None = None, *, width: int = 1280) -> Page:
        watch.own.add(served.origin)
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(url or served.url)
        return page

    return open_page
