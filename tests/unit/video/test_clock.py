"""One time line per file: where the last picture ends, whatever the header says, for reading, preparing and cutting."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from pipelines.preparation.prepare import video_duration_s
from spikemba.errors import VideoError
from spikemba.video.clock import claims_more, end_of_last
from spikemba.video.completeness import is_whole
from spikemba.video.cuts import cut_video
from spikemba.video.decoding import TimedFrame
from spikemba.video.sampling import FrameRule, VideoReader


def numbered(n, size=64):
    """n images, image k with its number in eight stripes of black and white."""
    bits = (np.arange(n)[:, None] >> np.arange(8)) & 1
    stripes = np.repeat(255 * bits, size // 8, axis=1).astype(np.uint8)
    return list(np.broadcast_to(stripes[:, None, :, None], (n, size, size, 3)).copy())


def shown(path):
    """(number, time in seconds) of every picture."""
    with av.open(str(path)) as file:
        frames = [(frame.to_ndarray(format="gray"), float(frame.time)) for frame in file.decode(video=0)]
    return [(int(((a.reshape(64, 8, 8).mean((0, 2)) > 127) << np.arange(8)).sum()), time) for a, time in frames]


def length_of(path):
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return float(stream.duration * stream.time_base)


def claiming(path, seconds):
    """A Matroska file whose header speaks of another length."""
    data = bytearray(path.read_bytes())
    at = data.find(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", 1000 * seconds)
    path.write_bytes(data.replace(b"DURATION", b"ANYTHING"))
    return path


def read_end(path):
    reader = VideoReader(path)
    rows = len(list(reader.frames(FrameRule(1, 16))))
    return reader.duration_s, rows


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.flv", "a.mov", "a.webm"])
def test_reading_and_preparing_find_the_same_end(make_video, name):
    codec = "libvpx" if name.endswith("webm") else "libx264"
    sound = 0 if name.endswith("webm") else 4
    path = make_video(name, numbered(50), codec=codec, audio_s=sound, options={"bf": "0"})
    end, _ = read_end(path)
    assert video_duration_s(path) == pytest.approx(end, abs=1e-9)
    assert end == pytest.approx(5, abs=0.11)


@pytest.mark.parametrize(
    "times", [[0, 40, 300, 1000, 1100, 1900, 2500], [0, 3000, 6000, 9000], [0, 12_000, 24_600, 50_000]]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pictures_at_uneven_times_have_one_end_too(make_video, name, times):
    path = make_video(name, numbered(len(times)), times_ms=times, options={"bf": "0"})
    end, _ = read_end(path)
    assert end > times[-1] / 1000
    assert video_duration_s(path) == end
    cut_video(path, path.with_name("cut.mp4"), times[1] / 1000, 99)
    assert length_of(path.with_name("cut.mp4")) == pytest.approx(end - times[1] / 1000, abs=1e-3)


@pytest.mark.parametrize("claim", [2.0, 4.0, 7200.0])
def test_a_header_that_is_wrong_about_the_length_is_not_believed(make_video, claim):
    path = claiming(make_video("a.mkv", numbered(60)), claim)
    assert read_end(path) == (pytest.approx(6), 6)
    assert video_duration_s(path) == pytest.approx(6)


def test_a_file_that_lacks_what_it_speaks_of_is_not_whole(make_video):
    for name in ("a.mp4", "a.mkv"):
        path = make_video(name, numbered(60))
        assert is_whole(path)
        path.write_bytes(path.read_bytes()[:-300])
        assert not is_whole(path)
    live = make_video("live.mkv", numbered(60), container={"live": "1"})
    assert not is_whole(live)  # it does not say


def test_a_short_recording_that_broke_off_is_still_refused(make_video):
    path = make_video("a.mkv", numbered(80), options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(VideoError, match=r"only \d\.\d s of 8\.0 s could be read"):
        read_end(path)


def last(start, gap):
    return TimedFrame(Fraction(start), Fraction(start) + Fraction(gap), None)


@pytest.mark.parametrize(
    ("gap", "gaps", "declared", "expected"),
    [
        (1, [1, 1, 1], None, 11),
        (1, [1, 1, 1], 11, 11),
        (11, [1, 1, 1], None, 11),  # what libav guesses from a mean: a typical gap instead
        (11, [1, 1, 1], 5, 11),  # the header is about another take
        (11, [1, 1, 1], Fraction(21, 2), Fraction(21, 2)),
        (1, [1, 1, 1], 7200, 11),  # the header boasts
        (12, [12, 12], 22, 22),  # slides
        (1, [], None, 11),
    ],
)
def test_the_last_picture_ends_at_the_container_s_end_or_a_typical_gap_later(gap, gaps, declared, expected):
    assert end_of_last(last(10, gap), [Fraction(g) for g in gaps], declared) == expected


def test_a_header_claims_more_by_a_second_or_a_twentieth():
    assert not claims_more(Fraction(11), Fraction(10))
    assert claims_more(Fraction(12), Fraction(10))
    assert not claims_more(Fraction(1000), Fraction(960))


def with_stamps(path, stamps):
    """MJPEG whose pictures carry these stamps, in milliseconds."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for k, (image, stamp) in enumerate(zip(numbered(len(stamps)), stamps, strict=True)):
            frame = av.VideoFrame.from_ndarray(image).reformat(format="yuvj420p")
            frame.pts, frame.time_base = k, Fraction(1, 1000)
            for packet in stream.encode(frame):
                packet.pts = packet.dts = stamp
                packet.time_base = Fraction(1, 1000)
                file.mux(packet)
    return path


def test_of_pictures_with_the_same_stamp_the_last_is_shown(tmp_path):
    path = with_stamps(tmp_path / "a.mkv", [0, 40, 80, 80, 120, 160, 160, 160, 200])
    cut_video(path, tmp_path / "cut.mp4", 0, 1)
    found = shown(tmp_path / "cut.mp4")
    assert [number for number, _ in found] == [0, 1, 3, 4, 7, 8]
    assert [time for _, time in found] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2], abs=1e-3)
    assert length_of(tmp_path / "cut.mp4") == pytest.approx(0.24, abs=1e-3)


def test_a_still_is_cut_to_the_length_asked_for(make_video):
    path = make_video("slides.mkv", numbered(5), times_ms=[0, 12_000, 24_000, 36_000, 48_000])
    for start, end in ((12, 14), (20, 30), (25, 27.5)):
        cut_video(path, path.with_name("cut.mp4"), start, end)
        assert length_of(path.with_name("cut.mp4")) == pytest.approx(end - start, abs=1e-3)


def test_where_no_picture_has_come_yet_the_first_one_is_cut(make_video):
    path = make_video("late.mp4", numbered(20), delay_s=3, audio_s=5)
    cut_video(path, path.with_name("cut.mp4"), 1, 2)
    assert shown(path.with_name("cut.mp4")) == [(0, 0.0)]
    assert length_of(path.with_name("cut.mp4")) == pytest.approx(1, abs=1e-3)
