"""Pictures at a time, as JPEG."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from spikemba.errors import VideoError
from spikemba.video import stills as module
from spikemba.video.stills import HEIGHTS, Stills
from spikemba.video.stopping import Stopped

SIDE, BITS, FPS = 16, 9, 25


@pytest.fixture
def stills():
    stills = Stills()
    yield stills
    stills.close()


def write(path, codec, *, seconds=12, gop=100, aspect=None, colour=None, options=None):
    """A file whose picture k shows k in bars, or one colour."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=FPS, options={"g": str(gop), **(options or {})})
        video.width, video.height, video.pix_fmt, video.thread_count = SIDE * BITS, 64, "yuv420p", 1
        video.bit_rate = 2_000_000
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        for k in range(seconds * FPS):
            bars = np.repeat([[255 * (k >> bit & 1) for bit in range(BITS)]], SIDE, axis=1).repeat(64, axis=0)
            image = np.stack([bars.astype(np.uint8)] * 3, axis=-1)
            frame = av.VideoFrame.from_ndarray(image if colour is None else np.full_like(image, colour))
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    return path


def image(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)))


def number(jpeg):
    picture = image(jpeg)
    height, width = picture.shape[:2]
    return sum(1 << bit for bit in range(BITS) if picture[height // 2, int((bit + 0.5) * width / BITS), 1] > 128)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "mpeg2video"), ("a.mpg", "mpeg2video")]
)
@pytest.mark.parametrize("at_s", [0.0, 0.5, 3.999, 4.3, 9.99, 11.99, 500.0])
def test_the_largest_shows_the_picture_of_its_time_and_smaller_ones_one_within_a_second(
    tmp_path, stills, name, codec, at_s
):
    path = write(tmp_path / name, codec, options={"bf": "0"})
    due = min(int(at_s * FPS), 12 * FPS - 1)
    assert number(stills.still(path, at_s, 360)) == due
    assert 0 <= due - number(stills.still(path, at_s, 90)) <= FPS


@pytest.mark.parametrize("height", HEIGHTS)
def test_pictures_are_so_high_and_in_square_pixels(tmp_path, stills, height):
    path = write(tmp_path / "wide.mp4", "libx264", seconds=1, aspect=Fraction(2))
    assert image(stills.still(path, 0, height)).shape[:2] == (height, round(height * 2 * SIDE * BITS / 64))


def test_colours_are_the_ones_of_the_file(tmp_path, stills):
    path = write(tmp_path / "red.mp4", "libx264", seconds=1, colour=(200, 60, 40))
    seen = image(stills.still(path, 0.5, 180)).reshape(-1, 3).mean(0)
    assert np.abs(seen - (200, 60, 40)).max() < 6


def test_a_picture_asked_for_again_is_kept(tmp_path, stills, monkeypatch):
    path = write(tmp_path / "a.mp4", "libx264", seconds=1)
    first = stills.still(path, 0.5, 90)
    monkeypatch.setattr(Stills, "_made", None)
    assert stills.still(path, 0.5, 90) is first


def test_no_more_is_kept_than_there_is_room_for(tmp_path):
    path = write(tmp_path / "a.mp4", "libx264", seconds=1)
    stills = Stills(kept_bytes=5000)
    for k in range(20):
        stills.still(path, k / 25, 90)
    assert sum(map(len, stills._kept.values())) <= 5000
    stills.close()


def test_nobody_waiting_stops_the_search(tmp_path, stills):
    path = write(tmp_path / "a.mp4", "libx264", seconds=4)
    with pytest.raises(Stopped):
        stills.still(path, 3.5, 360, lambda: True)
    assert number(stills.still(path, 3.5, 360)) == 87


def test_a_file_that_is_no_video_or_not_there_is_refused(tmp_path, stills):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError, match="is not a video"):
        stills.still(tmp_path / "a.mp4", 0, 90)
    with pytest.raises(VideoError, match="cannot be opened"):
        stills.still(tmp_path / "b.mp4", 0, 90)


@pytest.mark.parametrize(("width", "height", "size"), [(8191, 3, (720, 90)), (3, 8191, (2, 90))])
@pytest.mark.parametrize("scaled", [True, False])
def test_pictures_of_any_sides_have_a_still(tmp_path, stills, monkeypatch, width, height, size, scaled):
    with av.open(str(tmp_path / "flat.mkv"), "w") as file:
        video = file.add_stream("mjpeg", rate=FPS)
        video.width, video.height, video.pix_fmt = width, height, "yuvj420p"
        image = av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, np.uint8))
        file.mux([*video.encode(image), *video.encode(None)])
    real = module._filtered

    def refusing(frame, steps):
        if not scaled and any(name == "scale" for name, _ in steps):
            raise av.ArgumentError(22, "Invalid argument")
        return real(frame, steps)

    monkeypatch.setattr(module, "_filtered", refusing)
    picture = Image.open(io.BytesIO(stills.still(tmp_path / "flat.mkv", 0, 90)))
    assert picture.size == size
    assert np.abs(np.asarray(picture).astype(int) - 200).max() <= 3
