"""What no browser plays is played in pieces: the right picture at its time, through to the end, in a loop."""

from fractions import Fraction

import av
import numpy as np
import pytest
from playwright.sync_api import expect

from browser.screen import Screen

SIDE, BITS, FPS, SECONDS = 16, 9, 25, 18
KINDS = {  # name -> (codec, sound, options)
    "mpeg4.avi": ("mpeg4", "libmp3lame", {}),
    "hevc.mp4": ("libx265", "aac", {"x265-params": "log-level=none:bframes=2"}),
    "h264.ts": ("libx264", "aac", {}),
    "h264.mkv": ("libx264", "aac", {}),
}
READ = """() => {
  const video = document.querySelector("video");
  const canvas = Object.assign(document.createElement("canvas"), { width: 9 * 16, height: 16 });
  const drawn = canvas.getContext("2d", { willReadFrequently: true });
  drawn.drawImage(video, 0, 0, 9 * 16, 16);
  const bright = (bit) => drawn.getImageData(bit * 16 + 8, 8, 1, 1).data[1] > 128;
  return [...Array(9).keys()].reduce((sum, bit) => sum + (bright(bit) ? 2 ** bit : 0), 0);
}"""
SEEK = """(time) => new Promise((resolve) => {
  const video = document.querySelector("video");
  video.pause();
  video.requestVideoFrameCallback(() => resolve());
  video.currentTime = time;
})"""
PLAY = """([from, speed]) => {
  const video = document.querySelector("video");
  Object.assign(video, { muted: true, currentTime: from, playbackRate: speed });
  video.play();
}"""
PLAYED = """() => {
  const { played } = document.querySelector("video");
  return [...Array(played.length).keys()].map((i) => [played.start(i), played.end(i)]);
}"""
WATCH = """() => {
  const video = document.querySelector("video");
  window.watched = { ended: 0, problems: [] };
  video.addEventListener("ended", () => (watched.ended += 1));
  video.addEventListener("pieceproblem", (event) => watched.problems.push(event.detail));
}"""


def write(path, codec, sound, options):
    """A file whose picture k shows k in black and white bars, with a tone."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=FPS, options={"g": "50", "preset": "ultrafast", **options})
        video.width, video.height, video.pix_fmt, video.thread_count = SIDE * BITS, 64, "yuv420p", 1
        video.bit_rate = 2_000_000
        heard = file.add_stream(sound, rate=44100, layout="mono")
        wave, at = np.float32(0.1) * np.sin(np.arange(SECONDS * 44100, dtype=np.float32) / 16), 0
        for k in range(SECONDS * FPS):
            bars = np.repeat([[255 * (k >> bit & 1) for bit in range(BITS)]], SIDE, axis=1).repeat(64, axis=0)
            frame = av.VideoFrame.from_ndarray(np.stack([bars.astype(np.uint8)] * 3, axis=-1))
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            file.mux(video.encode(frame))
            while at < (k + 1) * 44100 / FPS:
                part = np.ascontiguousarray(wave[None, at : at + 1152])
                samples = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                samples.rate, samples.pts, samples.time_base = 44100, at, Fraction(1, 44100)
                file.mux(heard.encode(samples))
                at += part.shape[1]
        for stream in (video, heard):
            file.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def old(serve, tmp_path_factory):
    """A server of files that no browser plays as they are."""
    folder = tmp_path_factory.mktemp("old")
    for name, how in KINDS.items():
        write(folder / name, *how)
    return serve(folder)


def numbers_at(path):
    """When each picture of a file is shown, as answers count time."""
    from spikemba.video.clock import shown_frames
    from spikemba.video.decoding import opened

    with opened(path, "NONE") as (container, stream):
        shown = list(shown_frames(container, stream))
    return [float(one.start) for one in shown], float(shown[-1].end)


@pytest.mark.parametrize("name", KINDS)
def test_pieces_are_played_at_the_times_of_the_file(visit, old, name):
    starts, end = numbers_at(old.folders[0] / name)
    screen = Screen(visit(old))
    screen.open(name)
    page = screen.page
    page.evaluate(WATCH)
    assert page.evaluate("document.querySelector('video').duration") == pytest.approx(end, abs=1 / FPS)
    for time in (15.03, 3.99, 4.05, 9.5, 0.5, 17.5):
        page.evaluate(SEEK, time)
        due = sum(1 for start in starts if start <= time) - 1
        page.wait_for_function(f"(due) => ({READ})() === due", arg=due)
    page.evaluate(PLAY, [2, 4])
    page.wait_for_function("() => watched.ended === 1")
    assert page.evaluate(READ) == len(starts) - 1
    assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(end, abs=1 / FPS)
    assert page.evaluate("watched.problems") == []
    played = page.evaluate(PLAYED)
    assert any(first <= 2.05 and last >= end - 1 / FPS for first, last in played)  # no stop, nothing passed over


def test_a_loop_over_the_border_of_pieces_goes_round(visit, old):
    screen = Screen(visit(old))
    screen.open("mpeg4.avi")
    page = screen.page
    page.evaluate(
        """() => {
          const video = document.querySelector("video");
          window.rounds = 0;
          video.muted = true;
          video.currentTime = 3.5;
          video.addEventListener("timeupdate", () => {
            if (video.currentTime < 4.5) return;
            rounds += 1;
            video.currentTime = 3.5;
          });
          video.play();
        }"""
    )
    page.wait_for_function("() => rounds >= 3")


def test_a_piece_that_cannot_be_had_is_said_and_passed_over(visit, old, watch):
    watch.expect(422, "/pieces/2$")
    page = visit(old)
    page.route(
        "**/pieces/2",
        lambda route: route.fulfill(status=422, content_type="application/json", body='{"error": "damaged there"}'),
    )
    screen = Screen(page)
    screen.open("mpeg4.avi")
    page.evaluate(WATCH)
    stage = page.get_by_role("region", name="Video", exact=True)
    page.evaluate(PLAY, [6, 1])
    expect(stage.get_by_role("alert")).to_have_text("damaged there")
    page.wait_for_function("() => document.querySelector('video').currentTime > 12.5")
    page.evaluate(SEEK, 9.0)
    assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(12, abs=0.1)
