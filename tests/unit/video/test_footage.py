"""What an editor has to know of a file."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from footage_files import write_footage

from spikemba.errors import VideoError
from spikemba.video.cuts import cut_video
from spikemba.video.footage import footage, timecodes
from spikemba.video.timecode import EditRate

N30 = Fraction(30000, 1001)


def test_rate_size_and_sound(tmp_path):
    file = footage(write_footage(tmp_path / "a.mov", N30, channels=2))
    assert (file.rate, file.width, file.height, file.pixel_aspect) == (EditRate(30, ntsc=True), 32, 32, 1)
    assert (file.channels, file.sample_rate) == (2, 48000)
    silent = footage(write_footage(tmp_path / "b.mov", 25))
    assert (silent.channels, silent.sample_rate, str(silent.start)) == (0, 0, "00:00:00:00")


def write_tracks(path, layouts, default):
    """A picture and a track of sound per layout, one of them the default."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuvj420p"
        tracks = [file.add_stream("pcm_s16le", rate=48000, layout=layout) for layout in layouts]
        for k, track in enumerate(tracks):
            track.disposition = Disposition.default if k == default else Disposition(0)
        file.mux([*video.encode(av.VideoFrame(32, 32, "yuvj420p")), *video.encode(None)])
        for track, layout in zip(tracks, layouts, strict=True):
            n = {"mono": 1, "stereo": 2}[layout]
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 960 * n), np.int16), format="s16", layout=layout)
            sound.rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
            file.mux([*track.encode(sound), *track.encode(None)])
    return path


def test_of_several_sound_tracks_the_default_counts_or_all_that_are_one_channel(tmp_path):
    film = footage(write_tracks(tmp_path / "film.mkv", ["mono", "stereo", "stereo"], default=2))
    assert (film.channels, film.first_channel) == (2, 3)
    camera = footage(write_tracks(tmp_path / "camera.mkv", ["mono"] * 4, default=0))
    assert (camera.channels, camera.first_channel) == (4, 0)


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
@pytest.mark.parametrize(
    ("fps", "label", "counted"),
    [
        (25, "10:11:12:13", "10:11:12:13"),
        (N30, "01:00:00;02", "01:00:00;02"),
        (N30, "01:00:00:02", "01:00:00:02"),
        (2 * N30, "00:59:59;59", "00:59:59;59"),
        (15, "01:00:00:07", "01:00:00:14"),
        (120, "01:00:00:90", "01:00:00:45"),
    ],
)
def test_the_files_own_timecode_is_its_start(tmp_path, suffix, fps, label, counted):
    assert str(footage(write_footage(tmp_path / f"a.{suffix}", fps, seconds=1, timecode=label)).start) == counted


def test_a_tag_that_is_no_timecode_is_passed_over(tmp_path):
    video = write_footage(tmp_path / "a.mkv", 25, seconds=1, timecode="about noon")
    assert str(footage(video).start) == "00:00:00:00"


def test_a_track_that_counts_sixty_pictures_in_pairs(tmp_path):
    """As cameras write it that shoot 50 or 60: the label alone does not tell."""
    video = write_footage(tmp_path / "a.mov", 2 * N30, seconds=1, timecode="01:00:00:12")
    whole = video.read_bytes()
    described = whole.index(b"tmcd" + bytes(6) + b"\x00\x01") + 4 + 6 + 2 + 4 + 4
    scale, ticks = (int.from_bytes(whole[k : k + 4], "big") for k in (described, described + 4))
    assert (scale / ticks, whole[described + 8]) == (pytest.approx(59.94, abs=0.01), 60)
    paired = whole[: described + 4] + (2 * ticks).to_bytes(4, "big") + bytes([30]) + whole[described + 9 :]
    number = (3600 * 60 + 12).to_bytes(4, "big")
    assert paired.count(number) == 1
    video.write_bytes(paired.replace(number, (3600 * 30 + 12).to_bytes(4, "big")))
    assert str(footage(video).start) == "01:00:00:24"
    assert timecodes(video).at(1.0) == "01:00:01:23"


@pytest.mark.parametrize(
    ("fps", "label", "after_a_second"),
    [
        (25, "09:59:59:20", "10:00:00:20"),
        (N30, "00:58:59;28", "00:59:01;00"),  # two numbers are left out at the minute
        (N30, "00:58:59:28", "00:59:00:28"),
        (2 * N30, "23:59:59;00", "00:00:00;00"),
        (15, "01:00:00:07", "01:00:01:07"),
        (Fraction(49, 2), "01:00:00:07", "01:00:01:07"),  # counted as 25, by seconds
    ],
)
def test_a_cut_carries_the_timecode_of_its_first_picture(tmp_path, fps, label, after_a_second):
    """The picture that comes as many pictures later as a second of timecode has."""
    video = write_footage(tmp_path / "a.mov", fps, seconds=3, timecode=label)
    shown = round(Fraction(fps) + Fraction(1, 100)) / Fraction(fps)
    assert timecodes(video).at(shown) == after_a_second
    start_s = float(shown) + 0.4 / float(fps)
    cut = cut_video(video, tmp_path / "cut.mp4", start_s, start_s + 1)
    with av.open(str(cut.out)) as file:
        assert file.streams.video[0].metadata["timecode"] == after_a_second


def test_a_copy_carries_the_timecode_of_its_key_frame(tmp_path):
    """In Matroska; PyAV gives a copied stream no rate, by which MP4 and MOV would count."""
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        video = file.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt, video.gop_size = 32, 32, "yuv420p", 12
        video.metadata["timecode"] = "09:59:59:20"
        for k in range(60):
            file.mux(video.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), k, np.uint8))))
        file.mux(video.encode(None))
    cut = cut_video(tmp_path / "a.mkv", tmp_path / "cut.mp4", 1.0, 2.0, mode="copy")
    assert (cut.out.name, cut.start_s) == ("cut.mkv", 0.96)
    with av.open(str(cut.out)) as file:
        assert file.streams.video[0].metadata["TIMECODE"] == "10:00:00:19"


def test_a_file_without_a_timecode_gives_none_to_its_cuts(tmp_path):
    assert timecodes(write_footage(tmp_path / "a.mov", 25, seconds=1)) is None
    odd = write_footage(tmp_path / "b.mkv", Fraction(25, 2), seconds=1, timecode="01:00:00:00")
    assert timecodes(odd).at(0.5) is None
    cut = cut_video(odd, tmp_path / "cut.mp4", 0.2, 0.8)
    with av.open(str(cut.out)) as file:
        assert "timecode" not in file.streams.video[0].metadata


def test_what_is_no_video_says_so(tmp_path):
    (tmp_path / "a.mov").write_text("no video")
    with pytest.raises(VideoError, match="is not a video"):
        footage(tmp_path / "a.mov")
