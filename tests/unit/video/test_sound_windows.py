"""The sound of a clip is what is heard while it lasts, whatever the file's rate, form, channels and times."""

import logging
from contextlib import closing

import av
import numpy as np
import pytest
from sound_files import tone, write_sound_video

from spikemba.video.clips import clips_in
from spikemba.video.sampling import FrameRule, VideoReader
from spikemba.video.sound_windows import SoundWindows

RATE, HZ = 16000, 440
AT = [(3, 5)]


def windows_of(path, clip_s=1.0, rate_hz=RATE):
    """(L, S) and whether anything was heard."""
    reader = VideoReader(path)
    n = clips_in(reader.timed(), clip_s)
    with closing(SoundWindows(path, rate_hz, reader.joins)) as sound:
        return np.stack(list(sound.cut(clip_s, n))), sound.heard


def check_tone(path, start_s, end_s, *, rate_hz=RATE, seconds=8, tolerance=1e-3, phase_s=0.0):
    """The whole sound of a file is a tone between two times, sample by sample, but for 10 ms at its edges."""
    windows, heard = windows_of(path, rate_hz=rate_hz)
    assert heard
    assert windows.shape == (seconds, rate_hz)
    found = windows.reshape(-1)
    times = np.arange(len(found)) / rate_hz
    wanted = 0.5 * np.sin(2 * np.pi * HZ * (times - phase_s)) * ((times >= start_s) & (times < end_s))
    clear = (np.abs(times - start_s) > 0.01) & (np.abs(times - end_s) > 0.01)
    np.testing.assert_allclose(found[clear], wanted[clear], atol=tolerance)


@pytest.mark.parametrize(
    ("form", "codec", "tolerance"),
    [
        ("u8", "pcm_u8", 0.01),
        ("s16", "pcm_s16le", 1e-3),
        ("s32", "pcm_s32le", 1e-4),
        ("flt", "pcm_f32le", 1e-4),
        ("dbl", "pcm_f64le", 1e-4),
    ],
)
def test_samples_of_every_form_have_one_scale(tmp_path, form, codec, tolerance):
    path = write_sound_video(tmp_path / "a.mov", tone(HZ, RATE, 8, AT), form=form, codec=codec)
    check_tone(path, 3, 5, tolerance=tolerance)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 48000), (22050, 16000), (44100, 48000), (96000, 32000)])
def test_another_rate_moves_no_sample(tmp_path, from_hz, to_hz):
    path = write_sound_video(tmp_path / "a.mov", tone(HZ, from_hz, 8, AT), rate_hz=from_hz)
    check_tone(path, 3, 5, rate_hz=to_hz)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_channels_are_averaged_so_that_equal_ones_are_as_loud_as_one(tmp_path, layout):
    path = write_sound_video(tmp_path / "a.mov", tone(HZ, RATE, 8, AT), layout=layout)
    check_tone(path, 3, 5)


def test_a_sound_on_one_of_two_channels_is_half_as_loud(tmp_path):
    both = np.stack([tone(HZ, RATE, 8, AT), np.zeros(8 * RATE, np.float32)])
    windows, _ = windows_of(write_sound_video(tmp_path / "a.mov", both, layout="stereo"))
    assert np.abs(windows).max() == pytest.approx(0.25, abs=1e-3)


def test_a_lossy_codec_keeps_its_time(tmp_path):
    path = write_sound_video(
        tmp_path / "a.mp4", tone(HZ, 48000, 8, AT), rate_hz=48000, codec="aac", form="fltp", layout="stereo"
    )
    windows, _ = windows_of(path)
    loud = np.flatnonzero(np.abs(windows.reshape(-1)) > 0.25) / RATE
    assert loud.min() == pytest.approx(3, abs=0.003)
    assert loud.max() == pytest.approx(5, abs=0.003)


@pytest.mark.parametrize("ending", ["mov", "mkv"])
def test_sound_that_begins_late_has_silence_before(tmp_path, ending):
    path = write_sound_video(tmp_path / f"a.{ending}", tone(HZ, RATE, 6, AT), sound_at_s=1.5)
    check_tone(path, 4.5, 6.5, phase_s=1.5)


def test_pictures_that_begin_late_do_not_move_the_sound(tmp_path):
    path = write_sound_video(tmp_path / "a.mkv", tone(HZ, RATE, 8, AT), picture_at_s=1.5, seconds=6.5)
    check_tone(path, 3, 5)


def test_sound_that_ends_early_is_silent_after_and_longer_sound_is_cut(tmp_path):
    check_tone(write_sound_video(tmp_path / "short.mov", tone(HZ, RATE, 4, AT)), 3, 4)
    check_tone(write_sound_video(tmp_path / "long.mov", tone(HZ, RATE, 12, AT)), 3, 5)


def test_a_gap_in_the_times_is_silent_and_moves_nothing_behind_it(tmp_path):
    sound = tone(HZ, RATE, 8, [(0, 8)])
    windows, _ = windows_of(write_sound_video(tmp_path / "a.mkv", sound, gap=(3.5, 4.2)))
    found, first, last = windows.reshape(-1), -(-3.5 * RATE // 1024) * 1024, -(-4.2 * RATE // 1024) * 1024
    wanted = sound.copy()
    wanted[int(first) : int(last)] = 0
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_windows_are_those_of_the_clips_whatever_their_length(tmp_path):
    path = write_sound_video(tmp_path / "a.mov", tone(HZ, RATE, 7.3, [(0, 8)]), seconds=7.3)
    whole = windows_of(path, 1.0)[0].reshape(-1)
    for clip_s in (0.3, 1.0, 2.0, 7.0):
        windows, _ = windows_of(path, clip_s)
        assert len(windows) == len(list(VideoReader(path).frames(FrameRule(fps=1 / clip_s, size_px=16))))
        for k, window in enumerate(windows):
            first = round(k * clip_s * RATE)
            part = whole[first : first + len(window)]
            np.testing.assert_allclose(window[: len(part)], part, atol=1e-6)


@pytest.mark.parametrize(
    ("duration_s", "clip_s", "n"), [(3.0, 2.0, 2), (2.9, 2.0, 1), (0.1, 2.0, 1), (10.01, 0.1, 100)]
)
def test_a_clip_counts_from_its_half_on_and_every_video_has_one(duration_s, clip_s, n):
    assert clips_in(duration_s, clip_s) == n


def test_a_file_without_a_track_or_with_one_of_nothing_is_not_heard(tmp_path):
    windows, heard = windows_of(write_sound_video(tmp_path / "none.mov"))
    assert not heard
    assert windows.shape == (8, RATE)
    assert not windows.any()


def damage(path, start_s, end_s):
    """Overwrite the packets of the sound of a part of an MP4."""
    with av.open(str(path)) as file:
        (track,) = file.streams.audio
        packets = [one for one in file.demux(track) if one.size and start_s <= one.pts * one.time_base < end_s]
    data = bytearray(path.read_bytes())
    for one in packets:
        data[one.pos : one.pos + one.size] = b"\xff" * one.size
    path.write_bytes(data)
    return len(packets)


def test_damaged_packets_are_silent_and_said_once(tmp_path, caplog):
    sound = tone(HZ, 48000, 8, [(0, 8)])
    path = write_sound_video(tmp_path / "a.mp4", sound, rate_hz=48000, codec="aac", form="fltp")
    whole, _ = windows_of(path)
    n = damage(path, 3, 4)
    with caplog.at_level(logging.WARNING, "spikemba"):
        found, heard = windows_of(path)
    assert heard
    np.testing.assert_allclose(found[:3], whole[:3], atol=1e-6)
    np.testing.assert_allclose(found[5:], whole[5:], atol=0.5 * np.pi * HZ / RATE)  # to half a sample behind a gap
    assert np.sqrt((whole[3] ** 2).mean()) > 0.3
    assert not found[3, 1600:-1600].any()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"{path}: {n} packets of its sound cannot be decoded; silence stands in their place"
