"""Cuts by copying packets: from the key frame before, untouched, and told where they really begin."""

import av
import numpy as np
import pytest

from spikemba.errors import VideoError
from spikemba.video.cuts import Part, cut_parts, cut_video


def numbered(n, size=64):
    """n images, image k with its number in eight stripes of black and white."""
    bits = (np.arange(n)[:, None] >> np.arange(8)) & 1
    stripes = np.repeat(255 * bits, size // 8, axis=1).astype(np.uint8)
    return list(np.broadcast_to(stripes[:, None, :, None], (n, size, size, 3)).copy())


def numbers(path):
    with av.open(str(path)) as file:
        images = [frame.to_ndarray(format="gray").reshape(64, 8, 8) for frame in file.decode(video=0)]
    return [int(((image.mean((0, 2)) > 127) << np.arange(8)).sum()) for image in images]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.mov"])
@pytest.mark.parametrize(
    "options", [{"g": "20", "sc_threshold": "0"}, {"x264-params": "keyint=20:scenecut=0:open-gop=1:bframes=3"}]
)
def test_a_copy_begins_at_the_key_frame_before(make_video, name, options):
    source = make_video(name, numbered(80), audio_s=7, options=options)
    with av.open(str(source)) as file:
        late = max(0, float(file.streams.video[0].start_time * file.streams.video[0].time_base) - file.start_time / 1e6)
    cut = cut_video(source, source.with_name("cut.mp4"), 4.75, 6.05, mode="copy")
    assert cut.out.suffix == ".mp4"
    assert cut.start_s == pytest.approx(4 + late, abs=2e-3)
    found = numbers(cut.out)
    assert found[: 60 - 40] == list(range(40, 60))  # every picture from the key frame on
    assert 59 <= found[-1] <= 63
    assert cut.end_s == pytest.approx(found[-1] / 10 + 0.1 + late, abs=0.11)
    with av.open(str(cut.out)) as file:
        assert (file.streams.video[0].codec_context.name, file.streams.audio[0].codec_context.name) == ("h264", "aac")
        sound = file.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(cut.end_s - cut.start_s, abs=0.35)


@pytest.mark.parametrize(
    ("name", "codec", "suffix"),
    [
        ("a.avi", "mpeg4", ".mp4"),
        ("a.webm", "libvpx", ".mkv"),
        ("a.wmv", "wmv2", ".wmv"),
        ("a.mkv", "libvpx-vp9", ".mp4"),
    ],
)
def test_a_copy_lies_in_a_container_that_carries_its_codecs(make_video, name, codec, suffix):
    source = make_video(name, numbered(40), codec=codec, options={"g": "10"})
    cut = cut_video(source, source.with_name("cut.mp4"), 1.5, 2.5, mode="copy")
    assert cut.out == source.with_name("cut" + suffix)
    assert cut.start_s <= 1.5
    assert 15 <= len(numbers(cut.out)) + round(10 * cut.start_s) <= 26


def test_what_cannot_be_copied_says_so_and_stops_no_other(make_video, tmp_path):
    one = make_video("one.ts", numbered(30), options={"g": "10"}).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one + one)
    inside, across, beyond = cut_parts(
        joined,
        [Part(tmp_path / f"{name}.mp4", *span) for name, span in {"a": (1, 2), "b": (2, 5), "c": (90, 91)}.items()],
        mode="copy",
    )
    assert inside.fault is None
    assert str(across.fault).endswith(
        "has parts with clocks of their own, which cannot be copied; cut it with --cut-mode exact"
    )
    assert beyond.fault is not None
    assert sorted(path.name for path in tmp_path.glob("?.mp4")) == ["a.mp4"]


def test_a_part_outside_is_refused_by_both_modes(make_video, tmp_path):
    source = make_video("a.mp4", numbered(20))
    for mode in ("exact", "copy"):
        with pytest.raises(VideoError, match="shows nothing from 5 to 6 s"):
            cut_video(source, tmp_path / "cut.mp4", 5, 6, mode=mode)
    assert not (tmp_path / "cut.mp4").exists()


def test_of_several_sound_tracks_the_default_one_is_taken_and_named(tmp_path):
    from av.stream import Disposition

    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        tracks = [file.add_stream("aac", rate=16000, layout="mono") for _ in range(2)]
        tracks[1].metadata["language"] = "deu"
        tracks[0].disposition, tracks[1].disposition = Disposition(0), Disposition.default
        for track, tone in zip(tracks, (500, 900), strict=True):
            for k in range(40):
                wave = 0.4 * np.sin(2 * np.pi * tone * (1600 * k + np.arange(1600)) / 16000)
                frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
                frame.rate, frame.pts = 16000, 1600 * k
                file.mux(track.encode(frame))
        for k, image in enumerate(numbered(40)):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts = k
            file.mux(video.encode(frame))
        for stream in (video, *tracks):
            file.mux(stream.encode(None))
    for mode in ("exact", "copy"):
        cut = cut_video(path, tmp_path / "cut.mp4", 1, 3, mode=mode)
        assert cut.note == "of its 2 sound tracks the cuts carry the default one, number 2 (deu)"
        with av.open(str(cut.out)) as file:
            assert len(file.streams.audio) == 1
            wave = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        peak = np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave))))) * 16000 / len(wave)
        assert peak == pytest.approx(900, abs=5)
