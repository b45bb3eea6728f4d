"""Files whose rate, times or channels cannot be believed: refused or read in bounded work, never a loop by a header."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from footage_files import write_footage

from spikemba.errors import VideoError
from spikemba.video.clock import LONGEST_S, measured_end, shown_frames
from spikemba.video.cuts import cut_video
from spikemba.video.decoding import opened
from spikemba.video.packets import MOST_PARTS, even_limits
from spikemba.video.pieces import PieceMaker, playing
from spikemba.video.sampling import FrameRule, VideoReader, probe, sample_frames


@pytest.fixture
def slow(tmp_path):
    """An AVI of 25 pictures whose header says that each is shown for 70 days."""
    path = write_footage(tmp_path / "slow.avi", 25, seconds=1)
    content = bytearray(path.read_bytes())
    at = content.index(b"strh") + 8 + 20  # behind the chunk's head: dwScale, then dwRate
    assert Fraction(*struct.unpack_from("<II", content, at)) == Fraction(1, 25)
    struct.pack_into("<II", content, at, 30198989, 5)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "read",
    [
        probe,
        playing,
        measured_end,
        lambda path: next(sample_frames(path, FrameRule(0.5, 16))),
        lambda path: VideoReader(path).measured_end_s(),
        lambda path: cut_video(path, path.with_name("cut.mp4"), 0, 2),
    ],
    ids=["probe", "playing", "end", "frames", "duration", "cut"],
)
def test_a_video_that_is_said_to_last_for_years_is_refused(slow, read):
    with pytest.raises(
        VideoError, match=r"slow.avi: says that a picture is shown until 60397\d\d s; expected 604800 s"
    ):
        read(slow)


def test_nothing_is_copied_from_a_video_that_is_said_to_last_for_years(slow):
    with pytest.raises(VideoError, match="cannot be cut from 0 to 2 s"):
        cut_video(slow, slow.with_name("copied.mp4"), 0, 2, mode="copy")


def test_a_damaged_time_among_others_does_not_move_the_end(tmp_path):
    with av.open(str(tmp_path / "stamp.mkv"), "w") as file:
        video = file.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuvj420p"
        image = av.VideoFrame(32, 32, "yuvj420p")
        for k in range(50):
            image.pts, image.time_base = k if k < 49 else 25 * 2 * LONGEST_S, Fraction(1, 25)
            file.mux(video.encode(image))
        file.mux(video.encode(None))
    with opened(tmp_path / "stamp.mkv", "NONE") as (container, stream):
        expected = max(shown.end for shown in shown_frames(container, stream))
    assert measured_end(tmp_path / "stamp.mkv") == expected == 2
    assert probe(tmp_path / "stamp.mkv").duration_s == 2
    assert playing(tmp_path / "stamp.mkv").pieces_s == [(0, 2)]


@pytest.mark.parametrize(
    ("end_s", "n", "length_s"), [(8, 2, 4), (4 * MOST_PARTS, MOST_PARTS, 4), (LONGEST_S, 9915, 61)]
)
def test_a_file_of_any_length_has_a_bounded_number_of_equal_parts(end_s, n, length_s):
    limits = even_limits(Fraction(end_s), 4)
    assert (len(limits), limits[0]) == (n, (0, length_s))
    assert limits[-1][1] == end_s


@pytest.fixture
def nine(tmp_path):
    """One second of pictures and nine channels that no layout places: the second one counts up, the others are loud."""
    path = tmp_path / "nine.mkv"
    with av.open(str(path), "w") as file:
        video = file.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuvj420p"
        sound = file.add_stream("pcm_s16le", rate=48000, layout="9 channels")
        samples = np.full((48000, 9), 30000, np.int16)
        samples[:, 0], samples[:, 1] = 0, 8192
        frame = av.AudioFrame(format="s16", layout="9 channels", samples=48000)
        frame.planes[0].update(samples.tobytes())
        frame.rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        file.mux([*sound.encode(frame), *sound.encode(None)])
        image = av.VideoFrame(32, 32, "yuvj420p")
        for k in range(25):
            image.pts, image.time_base = k, Fraction(1, 25)
            file.mux(video.encode(image))
        file.mux(video.encode(None))
    return path


def test_of_channels_without_places_the_first_two_are_cut(nine):
    cut = cut_video(nine, nine.with_name("cut.mp4"), 0, 1)
    assert cut.note == "of its 9 channels, which no player can place, the first two are heard"
    with av.open(str(cut.out)) as file:
        left, right = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)[:, 12000:36000]
    assert np.abs(left).max() < 0.02
    assert np.abs(right - 0.25).max() < 0.02


def test_a_file_of_channels_without_places_is_played_in_pieces(nine, tmp_path):
    maker = PieceMaker(tmp_path / "kept")
    assert [maker.piece(nine, k)[4:8] for k in range(len(maker.playing(nine).limits))] == [b"ftyp"]
    maker.close()


def test_sound_that_cannot_be_converted_at_all_is_silent(nine, monkeypatch):
    monkeypatch.setattr("spikemba.video.sound._first_channels", lambda frame, layout: frame)
    cut = cut_video(nine, nine.with_name("cut.mp4"), 0, 1)
    assert cut.note == "its sound cannot be converted, and its cuts are silent"
    with av.open(str(cut.out)) as file:
        assert max(np.abs(frame.to_ndarray()).max() for frame in file.decode(audio=0)) == 0
