"""What browsers play as it is, and what it is called to them."""

import re
from fractions import Fraction

import av
import numpy as np
import pytest

from spikemba.errors import VideoError
from spikemba.video.playable import how_to_play


def write(path, codec="libx264", *, pix_fmt="yuv420p", options=None, sound="aac", container=None, start=0, turn=0):
    """Ten grey pictures, with silence beside them."""
    with av.open(str(path), "w", options=container or {}) as file:
        video = file.add_stream(codec, rate=10, options=options or {})
        video.width, video.height, video.pix_fmt, video.thread_count = 64, 48, pix_fmt, 1
        if turn:
            video.set_display_rotation(turn)
        heard = file.add_stream(sound, rate=48000, layout="stereo") if sound else None
        if heard is not None:
            for k in range(10):
                silence = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), format="fltp", layout="stereo")
                silence.rate, silence.pts, silence.time_base = 48000, 960 * k + start * 48000, Fraction(1, 48000)
                file.mux(heard.encode(silence))
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 25 * k, np.uint8))
            frame.pts, frame.time_base = k + 10 * start, Fraction(1, 10)
            file.mux(video.encode(frame))
        for stream in (video, heard):
            if stream is not None:
                file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "how", "type_"),
    [
        ("a.mp4", {}, r'video/mp4; codecs="avc1\.6400[0-9a-f]{2},mp4a\.40\.2"'),
        ("a.mov", {"options": {"profile": "baseline"}}, r'video/mp4; codecs="avc1\.42[0-9a-f]{4},mp4a\.40\.2"'),
        ("front.mp4", {"container": {"movflags": "faststart"}, "sound": None}, r'video/mp4; codecs="avc1\.6400..\"'),
        (
            "a.m4v",
            {"sound": "libmp3lame", "container": {"brand": "mp42"}},
            r'video/mp4; codecs="avc1\.6400..,mp4a\.6B"',
        ),
        ("turned.mp4", {"turn": 90}, r'video/mp4; codecs="avc1\.6400..,mp4a\.40\.2"'),
        ("a.webm", {"codec": "libvpx-vp9", "sound": "libopus"}, r'video/webm; codecs="vp9,opus"'),
        ("b.webm", {"codec": "libvpx", "sound": None}, r'video/webm; codecs="vp8"'),
    ],
)
def test_what_every_browser_plays_is_left_as_it_is(tmp_path, name, how, type_):
    path = tmp_path / name
    if path.suffix == ".m4v":
        path = write(tmp_path / "a.mp4", **how).rename(path)
    else:
        write(path, **how)
    found = how_to_play(path)
    assert found.as_it_is, found.reason
    assert re.fullmatch(type_, found.type), found.type
    assert found.reason == ""


@pytest.mark.parametrize(
    ("name", "how", "reason", "copies"),
    [
        ("a.mkv", {}, "browsers do not play this container (Matroska / WebM)", True),
        ("a.ts", {}, "browsers do not play this container (MPEG-TS (MPEG-2 Transport Stream))", True),
        ("a.avi", {"codec": "mpeg4", "sound": "libmp3lame"}, "browsers do not play this container", False),
        (
            "hevc.mp4",
            {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
            "not every browser decodes hevc",
            False,
        ),
        ("part2.mp4", {"codec": "mpeg4"}, "not every browser decodes mpeg4", False),
        ("ten.mp4", {"pix_fmt": "yuv420p10le"}, "not every browser decodes h264 in yuv420p10le", False),
        ("full.mp4", {"pix_fmt": "yuv444p"}, "not every browser decodes h264 in yuv444p", False),
        (
            "fields.mp4",
            {"options": {"flags": "+ildct+ilme", "x264-params": "tff=1"}},
            "its pictures are interlaced",
            False,
        ),
        ("ac3.mp4", {"sound": "ac3"}, "not every browser decodes its sound (ac3)", True),
        ("late.mp4", {"start": 5}, "its time does not begin at 0 but at ", True),
        ("odd.mp4", {"turn": 30}, "its pictures are turned by ", False),
    ],
)
def test_what_some_browser_does_not_play_says_why(tmp_path, name, how, reason, copies):
    found = how_to_play(write(tmp_path / name, **how))
    assert not found.as_it_is
    assert found.reason.startswith(reason)
    assert "\n" not in found.reason
    assert found.copies == copies
    assert re.fullmatch(r'video/mp4; codecs="avc1\.[0-9a-f]{6},mp4a\.40\.2"', found.type)


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(VideoError, match="is not a video that FFmpeg can read"):
        how_to_play(tmp_path / "a.mp4")
