"""Cuts: the right frames, the right sound, nothing left behind."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.filter import Graph

from spikemba.errors import OutputError, VideoError
from spikemba.video import decoding
from spikemba.video.cuts import Part, cut_parts, cut_video
from spikemba.video.sampling import probe
from spikemba.video.sound import aac_rate


def numbered(n, size=64):
    """n images, image k with its number in eight stripes of black and white."""
    bits = (np.arange(n)[:, None] >> np.arange(8)) & 1
    stripes = np.repeat(255 * bits, size // 8, axis=1).astype(np.uint8)
    return list(np.broadcast_to(stripes[:, None, :, None], (n, size, size, 3)).copy())


def number(image):
    return int(((image.mean((0, 2)).reshape(8, -1).mean(1) > 127) << np.arange(8)).sum())


def shown(path):
    """(time in seconds, number of the source image) of every frame."""
    with av.open(str(path)) as file:
        return [(float(frame.time), number(frame.to_ndarray(format="rgb24"))) for frame in file.decode(video=0)]


def end_of(path):
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return float(stream.duration * stream.time_base)


@pytest.mark.parametrize(("start", "end"), [(0, 1), (2.0, 4.0), (3.3, 3.9), (7.05, 9.0), (8.5, 30)])
def test_a_cut_shows_what_the_source_shows_between_the_times(make_video, tmp_path, start, end):
    source = make_video("source.mp4", numbered(100), fps=10, options={"g": "30", "crf": "10"})
    cut_video(source, tmp_path / "cut.mp4", start, end)
    frames = shown(tmp_path / "cut.mp4")
    first, last = int(start * 10 + 1e-9), min(99, int(np.ceil(end * 10 - 1e-9)) - 1)
    assert [number for _, number in frames] == list(range(first, last + 1))
    assert frames[0][0] == 0
    assert end_of(tmp_path / "cut.mp4") == pytest.approx(min(end, 10) - start, abs=0.1001)


def test_a_variable_rate_keeps_its_times(make_video, tmp_path):
    times = [0, 40, 300, 1000, 1100, 1900, 2500]
    source = make_video("source.mkv", numbered(7), times_ms=times)
    cut_video(source, tmp_path / "cut.mp4", 0.2, 2.0)
    found = shown(tmp_path / "cut.mp4")
    assert [number for _, number in found] == [1, 2, 3, 4, 5]
    assert [time for time, _ in found] == pytest.approx([0, 0.1, 0.8, 0.9, 1.7], abs=1e-3)


def beeps(path, n=100):
    """A video at 10 fps and sound that is on in the second from 4 to 5."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=10)
        video.width = video.height = 64
        video.pix_fmt, video.thread_count = "yuv420p", 1
        sound = file.add_stream("aac", rate=16000, layout="mono")
        wave = 0.5 * np.sin(np.arange(160_000) * 2 * np.pi * 440 / 16000).astype(np.float32)
        wave[: 4 * 16000] = wave[5 * 16000 :] = 0
        for i in range(0, len(wave) - 1024, 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, i : i + 1024], format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 16000, i, Fraction(1, 16000)
            file.mux(sound.encode(frame))
        for k, image in enumerate(numbered(n)):
            picture = av.VideoFrame.from_ndarray(image)
            picture.pts, picture.time_base = k, Fraction(1, 10)
            file.mux(video.encode(picture))
        file.mux(video.encode(None))
        file.mux(sound.encode(None))
    return path


def test_the_sound_goes_with_the_picture(tmp_path):
    source = beeps(tmp_path / "source.mp4")
    cut_video(source, tmp_path / "cut.mp4", 3.5, 6.0)
    with av.open(str(tmp_path / "cut.mp4")) as file:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    loud = np.flatnonzero(np.abs(wave) > 0.2) / 16000
    assert loud[0] == pytest.approx(0.5, abs=0.1)
    assert loud[-1] == pytest.approx(1.5, abs=0.1)
    assert len(wave) / 16000 == pytest.approx(2.5, abs=0.15)
    assert [number for _, number in shown(tmp_path / "cut.mp4")] == list(range(35, 60))


def test_a_part_outside_the_video_is_refused_and_leaves_nothing(make_video, tmp_path):
    source = make_video("source.mp4", numbered(20), fps=10)
    with pytest.raises(VideoError, match="shows nothing from 5 to 6 s"):
        cut_video(source, tmp_path / "cuts" / "cut.mp4", 5, 6)
    assert not list((tmp_path / "cuts").iterdir())
    with pytest.raises(OutputError, match="cannot write"):
        cut_video(source, source / "cut.mp4", 0, 1)


def test_odd_sides_lose_a_row(make_video, tmp_path):
    with av.open(str(tmp_path / "odd.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 65, 51, "yuv444p"
        for _ in range(10):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((51, 65, 3), np.uint8))))
        file.mux(stream.encode(None))
    cut_video(tmp_path / "odd.mp4", tmp_path / "cut.mp4", 0, 0.5)
    info = probe(tmp_path / "cut.mp4")
    assert (info.width, info.height) == (64, 50)


def in_fields(image, order, k):
    """The image as a frame whose fields come in an order."""
    frame, graph = av.VideoFrame.from_ndarray(image), Graph()
    chain = (("setfield", order), ("format", "yuv420p"), ("buffersink", ""))
    entry = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(entry, *(graph.add(*one) for one in chain)).configure()
    frame.pts, frame.time_base = k, Fraction(1, 25)
    graph.vpush(frame)
    return graph.vpull()


def test_fields_and_pixel_proportions_are_kept(tmp_path):
    """The rows of the two fields show the number of their own moment; a cut must neither mix nor exchange them."""
    for order in ("tff", "bff"):
        source = tmp_path / f"{order}.mkv"
        with av.open(str(source), "w") as file:
            options = {"flags": "+ildct+ilme", "x264-params": f"{order}=1", "crf": "5"}
            stream = file.add_stream("libx264", rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
            images = numbered(80)
            for k in range(40):
                woven = images[2 * k].copy()
                woven[1::2] = images[2 * k + 1][1::2]
                file.mux(stream.encode(in_fields(woven, order, k)))
            file.mux(stream.encode(None))
        cut_video(source, tmp_path / "cut.mp4", 0.4, 1.2)
        with av.open(str(tmp_path / "cut.mp4")) as file:
            stream = file.streams.video[0]
            frames = list(file.decode(stream))
            assert stream.sample_aspect_ratio == Fraction(16, 11)
            assert stream.codec_context.field_order == {"tff": 2, "bff": 3}[order]
        assert all(frame.interlaced_frame for frame in frames)
        fields = [(number(a[::2]), number(a[1::2])) for a in (frame.to_ndarray(format="rgb24") for frame in frames)]
        assert fields == [(2 * k, 2 * k + 1) for k in range(10, 30)]


@pytest.mark.parametrize(
    ("rate", "expected"), [(192_000, 96_000), (50_000, 64_000), (48_000, 48_000), (5500, 8000), (4000, 8000)]
)
def test_sound_goes_to_the_next_rate_that_aac_has(rate, expected):
    assert aac_rate(rate) == expected


def test_parts_at_the_same_time_share_one_pass_where_a_file_cannot_be_sought(make_video, tmp_path, monkeypatch):
    source, passes, decoded = make_video("a.ts", numbered(60)), [], decoding.decoded
    monkeypatch.setattr(decoding, "decoded", lambda *a: passes.append(1) or decoded(*a))
    parts = [Part(tmp_path / f"{k}.mp4", k, k + 1.5) for k in range(4)] + [Part(tmp_path / "same.mp4", 1, 2.5)]
    cuts = list(cut_parts(source, parts))
    assert (len(passes), len(cuts)) == (1, 5)
    for k in range(4):
        assert [n for _, n in shown(tmp_path / f"{k}.mp4")] == list(range(10 * k, 10 * k + 15))
    assert (tmp_path / "same.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


def test_a_part_that_fails_stops_no_other(make_video, tmp_path):
    for name in ("a.ts", "a.mp4"):
        source = make_video(name, numbered(20))
        parts = [Part(tmp_path / f"{k}.mp4", *span) for k, span in enumerate([(0, 1), (50, 51), (1, 2)])]
        faults = {cut.part.out.stem: cut.fault for cut in cut_parts(source, parts)}
        assert (faults["0"], faults["2"]) == (None, None)
        assert "shows nothing from 50 to 51 s" in str(faults["1"])
