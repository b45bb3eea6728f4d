"""Videos dropped onto the page: sent in pieces, through lost connections, and refused with a reason."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from browser.footage import EXAMPLE
from browser.screen import Screen

PIECE_BYTES = 4 * 2**20


@pytest.fixture(scope="module")
def open_server(serve, films, tmp_path_factory):
    """A server that takes videos of up to 20 MB; its folder for them is `open_server.new`."""
    new = tmp_path_factory.mktemp("new")
    served = serve(films, options=("--uploads", str(new), "--upload-limit", "20MB"))
    served.new = new
    return served


@pytest.fixture
def screen(visit, open_server):
    screen = Screen(visit(open_server))
    expect(screen.videos.get_by_role("button", name="Add videos…")).to_be_visible()
    return screen


@pytest.fixture
def long_video(tmp_path):
    """The example with so much behind its end that it is sent in three pieces; players leave that out."""
    path = tmp_path / "long.mp4"
    rest = 2 * PIECE_BYTES
    free = (rest + 8).to_bytes(4, "big") + b"free"  # a box of MP4 that means nothing
    path.write_bytes(EXAMPLE.read_bytes() + free + np.random.default_rng(0).bytes(rest))
    return path


def choose(screen, *paths):
    screen.videos.locator("input[type=file]").set_input_files([str(path) for path in paths])


def test_a_video_is_sent_in_pieces_and_opened(screen, open_server, long_video):
    choose(screen, long_video)
    expect(screen.videos.get_by_role("option", name="long.mp4")).to_have_attribute("aria-selected", "true")
    assert (open_server.new / "long.mp4").read_bytes() == long_video.read_bytes()
    expect(screen.videos.get_by_role("list", name="Uploads").get_by_role("listitem")).to_have_count(0)


def test_an_upload_goes_on_where_it_was_after_a_lost_connection(screen, open_server, long_video, context, watch):
    sent = []

    def lose_the_second(route):
        sent.append(int(route.request.url.rpartition("=")[2]))
        if len(sent) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    long_video = long_video.rename(long_video.with_name("lost.mp4"))
    context.route("**/api/uploads/*", lose_the_second)
    with watch.server_down():
        choose(screen, long_video)
        expect(screen.videos.get_by_role("option", name="lost.mp4")).to_be_visible()
    assert sent == [0, PIECE_BYTES, PIECE_BYTES, 2 * PIECE_BYTES]
    assert (open_server.new / "lost.mp4").read_bytes() == long_video.read_bytes()


def test_what_is_too_large_or_no_video_is_refused_with_the_reason(screen, open_server, tmp_path, watch):
    watch.expect(413, "/api/uploads")
    watch.expect(422, "/api/uploads/")
    watch.expect(400, "/api/uploads")
    (tmp_path / "large.mp4").write_bytes(bytes(20_000_001))
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(100_000))
    (tmp_path / "notes.txt").write_text("a dog enters")
    before = sorted(path.name for path in open_server.new.iterdir())
    choose(screen, *(tmp_path / name for name in ("large.mp4", "noise.mp4", "notes.txt")))
    rows = screen.videos.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(rows.filter(has_text="large.mp4")).to_contain_text("20,000,001 bytes")
    expect(rows.filter(has_text="noise.mp4")).to_contain_text("is not a video")
    expect(rows.filter(has_text="notes.txt")).to_contain_text(re.compile(r"expected one that ends in \.mp4"))
    assert sorted(path.name for path in open_server.new.iterdir()) == before
    for left in (2, 1, 0):
        rows.first.get_by_role("button", name="Close").click()
        expect(rows).to_have_count(left)
