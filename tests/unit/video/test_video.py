"""Reading, sampling and writing videos, against libavfilter and closed forms."""

import contextlib
import gc
import itertools
import math
import os
import resource
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.filter import Graph
from av.stream import Disposition

from spikemba.errors import OutputError, ShapeError, UnknownName, VideoError
from spikemba.video import decoding
from spikemba.video import sampling as video
from spikemba.video.files import write_video
from spikemba.video.folders import find_videos
from spikemba.video.sampling import FrameRule, VideoReader, probe, sample_frames

REAL = ("charades.mp4", "nasa_13013.mp4", "av1_video.mkv", "h265_video.mp4", "h265_10bits.mp4")
ONE_FPS = FrameRule(fps=1, size_px=32)
OPEN_GROUPS = {"x264-params": "keyint=10:open-gop=1:bframes=3"}
UNEVEN_MS = [*itertools.accumulate(np.random.default_rng(0).integers(1, 300, 79).tolist(), initial=0)]


def numbered(n, size=64):
    """Images that carry their number as eight black or white bars."""
    for k in range(n):
        bars = np.array([255 * (k >> bit & 1) for bit in range(8)], np.uint8)
        yield np.broadcast_to(np.repeat(bars, size // 8)[None, :, None], (size, size, 3))


def number(image):
    bars = image.reshape(image.shape[0], 8, -1).mean((0, 2)) > 127
    return sum(int(on) << bit for bit, on in enumerate(bars))


def numbers(path, rule=ONE_FPS, **limits):
    return [number(frame.image) for frame in sample_frames(path, rule, **limits)]


def by_libavfilter(path, *filters):
    """The frames of the file's best stream after a chain of ffmpeg filters."""
    with av.open(str(path)) as container:
        stream, graph = container.streams.best("video"), Graph()
        chain = [graph.add_buffer(template=stream), *(graph.add(*f) for f in filters), graph.add("buffersink")]
        graph.link_nodes(*chain).configure()
        for frame in itertools.chain(container.decode(stream), [None]):
            graph.vpush(frame)
            try:
                while True:
                    yield graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                pass


# Which frames


def test_a_frame_is_the_last_one_strictly_before_the_middle_of_its_slot(make_video):
    path = make_video("steady.mp4", numbered(50), fps=10)
    frames = list(sample_frames(path, ONE_FPS))
    assert [f.index for f in frames] == [0, 1, 2, 3, 4]
    assert [number(f.image) for f in frames] == [4, 14, 24, 34, 44]  # the frame at exactly 0.5 s is too late
    assert [f.time_s for f in frames] == [0.4, 1.4, 2.4, 3.4, 4.4]


@pytest.mark.parametrize("fps", [0.5, 1, 3.3, 8])
@pytest.mark.parametrize("name", REAL)
def test_real_videos_give_the_frames_and_pixels_of_the_published_ffmpeg_chain(shared, name, fps):
    path, size = shared / "videos" / name, 56
    info = probe(path)
    width, height = (int(side * size / min(info.width, info.height)) for side in (info.width, info.height))
    scale = ("scale", f"{width}:{height}:flags=bicubic")
    crop = ("crop", f"{size}:{size}:{int((width - size) / 2)}:{int((height - size) / 2)}")
    expected = [f.to_ndarray() for f in by_libavfilter(path, ("fps", str(fps)), scale, ("format", "rgb24"), crop)]
    images = [frame.image for frame in sample_frames(path, FrameRule(fps, size))]
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("fps", [0.5, 1, 3.3, 15])
@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_a_variable_frame_rate_gives_the_frames_of_the_ffmpeg_filter(make_video, name, fps):
    path = make_video(name, numbered(80), times_ms=UNEVEN_MS)
    expected = [number(f.to_ndarray(format="rgb24")) for f in by_libavfilter(path, ("fps", str(fps)))]
    assert numbers(path, FrameRule(fps, 64)) == expected


def test_half_a_frame_per_second_of_a_real_video_gives_the_published_times(shared):
    times = [frame.time_s for frame in sample_frames(shared / "videos" / "charades.mp4", FrameRule(0.5, 32))]
    assert len(times) == 15
    np.testing.assert_allclose(times[:3], [0.934, 2.936, 4.938], atol=1e-3)


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (14, 1), (15, 2), (24, 2), (25, 3), (26, 3)])
def test_the_number_of_frames_is_the_duration_rounded_half_up_and_at_least_one(make_video, n, expected):
    assert len(numbers(make_video("n.mp4", numbered(n), fps=10))) == expected


def test_the_rate_of_the_video_itself_gives_each_frame_once(make_video):
    ntsc = Fraction(30000, 1001)
    path = make_video("ntsc.mkv", numbered(200), fps=ntsc)  # Matroska rounds times to milliseconds
    for rate in (ntsc, 29.97):
        assert numbers(path, FrameRule(rate, 64)) == list(range(200))


def test_a_rate_above_the_video_s_repeats_frames(make_video):
    frames = list(sample_frames(make_video("slow.mp4", numbered(3), fps=1), FrameRule(2, 64)))
    assert [number(f.image) for f in frames] == [0, 0, 1, 1, 2, 2]
    assert frames[2].image is frames[3].image  # converted once


# Clocks and containers


def test_where_no_picture_has_come_yet_the_first_one_stands_in(make_video):
    path = make_video("late.mp4", numbered(20), delay_s=3, audio_s=5)
    assert numbers(path) == [0, 0, 0, 4, 14]
    assert probe(path).has_audio


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.flv", "a.mov", "a.h264"])
def test_containers_agree_on_the_frames(make_video, name):
    path = make_video(name, numbered(50), options={"bf": "0"})
    reader = VideoReader(path)
    assert [number(f.image) for f in reader.frames(ONE_FPS)] == [4, 14, 24, 34, 44]
    assert reader.duration_s == pytest.approx(5)


def test_a_video_that_does_not_start_at_zero_is_timed_from_its_start(make_video):
    ntsc = Fraction(30000, 1001)  # its times are no whole microseconds, in which libav keeps the start
    path = make_video("on_air.ts", numbered(30), fps=ntsc, delay_s=3034)
    assert [f.time_s for f in sample_frames(path, FrameRule(ntsc, 8))] == [float(k / ntsc) for k in range(30)]


@pytest.mark.parametrize(("name", "container"), [("live.mkv", {"live": "1"}), ("raw.h264", {})])
def test_a_file_that_declares_no_duration_is_measured(make_video, name, container):
    reader = VideoReader(make_video(name, numbered(40), container=container))
    assert (reader.info.duration_s, reader.duration_s) == (None, None)
    assert len(list(reader.frames(ONE_FPS))) == 4
    assert reader.duration_s == pytest.approx(4)


def test_joined_broadcast_streams_follow_each_other(make_video, tmp_path):
    part = make_video("part.ts", numbered(50), options={"g": "10"}).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part)
    assert numbers(tmp_path / "joined.ts") == 2 * [4, 14, 24, 34, 44]
    assert numbers(tmp_path / "joined.ts", start_s=3) == [34, 44, 4, 14, 24, 34, 44]


def test_a_sound_track_that_begins_after_the_header_is_passed_over(make_video):
    noise = np.random.default_rng(0).integers(0, 256, (60, 256, 256, 3), np.uint8)  # longer than what libav looks ahead
    path = make_video("late.flv", noise, options={"crf": "1", "preset": "ultrafast"})
    sound = bytes([8, 0, 0, 3, 0, 16, 0, 0, 0, 0, 0, 0xAF, 1, 33])  # an FLV tag: audio, 3 bytes, at 4.096 s, AAC
    path.write_bytes(path.read_bytes() + sound + len(sound).to_bytes(4, "big"))
    assert len(list(sample_frames(path, ONE_FPS))) == 6


def test_of_many_streams_the_best_one_is_read(shared):
    info = probe(shared / "videos" / "nasa_13013.mp4")  # its first video stream has 25 fps
    assert (info.width, info.height, info.codec, info.has_audio) == (480, 270, "h264", True)
    assert info.fps == pytest.approx(30000 / 1001)
    assert info.duration_s == pytest.approx(13.013)


def test_cover_art_is_not_the_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as file:
        cover, film = file.add_stream("png", rate=1), file.add_stream("libx264", rate=10)
        cover.width = cover.height = film.width = film.height = 64
        cover.pix_fmt, film.pix_fmt = "rgb24", "yuv420p"
        cover.disposition = Disposition.attached_pic
        for stream, images in ((cover, numbered(1)), (film, numbered(20))):
            for k, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image)
                frame.pts = k
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    assert probe(path).codec == "h264"
    assert numbers(path) == [4, 14]


def test_names_and_titles_that_libav_would_misread_are_read(make_video, tmp_path, monkeypatch):
    path = make_video("we:ird %d.avi", numbered(10), title="caf_e_")
    path.write_bytes(path.read_bytes().replace(b"caf_e_", b"caf_\xe9_"))
    monkeypatch.chdir(tmp_path)
    assert probe("we:ird %d.avi").width == 64


def test_colour_tags_without_a_meaning_do_not_stop_the_conversion(make_video, tmp_path):
    plain, tagged = make_video("plain.ts", numbered(50), fps=25, codec="mpeg2video"), tmp_path / "tagged.ts"
    tags = "mpeg2_metadata=matrix_coefficients=65:transfer_characteristics=243"
    with av.open(str(plain)) as source, av.open(str(tagged), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        tag = BitStreamFilterContext(tags, source.streams.video[0], stream)
        for packet in itertools.chain.from_iterable(tag.filter(p) for p in source.demux(video=0) if p.size):
            packet.stream = stream
            copy.mux(packet)
    with av.open(str(tagged)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_trc) == (65, 243)
    assert numbers(tagged) == numbers(plain)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_picture_stored_turned_is_shown_upright(make_video, turns):
    upright = np.zeros((64, 48, 3), np.uint8)
    upright[:16], upright[:, :12] = (255, 0, 0), (0, 0, 255)  # a red top, then a blue left edge
    stored = np.ascontiguousarray(np.rot90(upright, turns))  # counter-clockwise; so it is shown turned clockwise
    path = make_video("phone.mp4", [stored] * 5, options={"crf": "1"})
    # The MP4 standard maps (x, y) to (a x + c y, b x + d y) with y downwards: one clockwise quarter is (0, 1, -1, 0).
    a, b, c, d = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)][turns]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, at) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)

    assert (probe(path).width, probe(path).height) == (48, 64)
    image = next(sample_frames(path, FrameRule(1, 48))).image
    np.testing.assert_allclose(image, upright[8:56], atol=40)  # chroma bleeds at the edges


# Parts, several rules, and what is held in memory


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("open.mp4", OPEN_GROUPS),
        ("open.mkv", OPEN_GROUPS),
        ("open.ts", OPEN_GROUPS),
        ("refresh.mp4", {"x264-params": "keyint=20:intra-refresh=1"}),
        ("a.avi", {"bf": "2"}),
    ],
)
def test_a_part_has_the_images_of_the_whole(make_video, name, options):
    path, rule = make_video(name, numbered(100), options=options), FrameRule(2, 64)
    whole = list(sample_frames(path, rule))
    assert len(whole) == 20
    for start_s, end_s in ((3, 6), (2.6, 5.5), (8, None), (None, 1), (9.5, 99), (4, 4), (50, 60)):
        part = list(sample_frames(path, rule, start_s=start_s, end_s=end_s))
        expected = [f for f in whole if (start_s or 0) <= f.index / rule.fps < (end_s or math.inf)]
        assert [f[:2] for f in part] == [f[:2] for f in expected]
        assert all((a.image == b.image).all() for a, b in zip(part, expected, strict=True))


def test_a_late_part_is_read_from_the_key_frame_before_it(make_video, monkeypatch):
    path, seen, decoded = make_video("a.mp4", numbered(200), options={"g": "10"}), [], decoding.decoded
    monkeypatch.setattr(decoding, "decoded", lambda *a: (seen.append(f) or f for f in decoded(*a)))
    assert numbers(path, start_s=15, end_s=17) == [154, 164]
    assert len(seen) < 50


def test_an_index_that_points_too_far_is_not_believed(make_video, monkeypatch):
    path = make_video("a.mp4", numbered(100), options={"g": "10"})
    monkeypatch.setattr(video, "_SEEK_MARGIN_S", -3)
    assert numbers(path, start_s=3, end_s=5) == [34, 44]


def test_several_rules_share_one_pass(make_video, monkeypatch):
    path, rules = make_video("a.mp4", numbered(60)), [FrameRule(1, 32), FrameRule(7, 16)]
    alone = [[(f.index, f.image.tobytes()) for f in sample_frames(path, rule)] for rule in rules]
    passes, decoded = [], decoding.decoded
    reader = VideoReader(path)
    monkeypatch.setattr(decoding, "decoded", lambda *a: passes.append(1) or decoded(*a))
    together = [[], []]
    for i, frame in reader.frames_for(rules):
        together[i].append((frame.index, frame.image.tobytes()))
    assert together == alone
    assert len(passes) == 1
    assert reader.duration_s == 6


def test_one_thread_and_many_give_the_same_images(make_video):
    path = make_video("a.mp4", numbered(60))
    one, many = (list(VideoReader(path, threads=t).frames(FrameRule(10, 16))) for t in ("NONE", "AUTO"))
    assert all((a.image == b.image).all() for a, b in zip(one, many, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no process")
def test_a_forked_process_clears_away_the_readers_of_its_parent(make_video):
    """As one that loads data does: it must not wait for threads that only the parent has."""
    path = make_video("a.mp4", numbered(20, size=256))
    code = f"""
import gc, os, pathlib, signal
from spikemba.video.sampling import FrameRule, sample_frames
gc.disable()
kept = sample_frames(pathlib.Path({str(path)!r}), FrameRule(2, 32))
next(kept)
cycle = [kept]; cycle.append(cycle)
del kept, cycle
if (child := os.fork()) == 0:
    signal.alarm(20)
    gc.collect()
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to read the memory in use")
def test_memory_does_not_grow_with_the_length(make_video):
    path = make_video(
        "long.mp4", itertools.repeat(np.zeros((512, 512, 3), np.uint8), 250), options={"preset": "ultrafast"}
    )

    def in_use_mb():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    def grown_mb(n):
        gc.collect()
        start = in_use_mb()
        frames = sample_frames(path, FrameRule(10, 512), end_s=n / 10)
        return max(in_use_mb() for _ in frames) - start

    grown_mb(50)
    assert grown_mb(250) < 80  # the frames alone are 98 MB as stored, 197 MB as RGB


# Faults


def faulty(kind, make_video, folder):
    path = folder / "film.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a film\n" * 50)
    elif kind == "notes":
        path = folder / "notes.txt"
        path.write_text("not a film\n" * 50)
    elif kind == "audio":
        with av.open(str(path), "w") as file:
            sound = file.add_stream("aac", rate=16000, layout="mono")
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.rate = 16000
            file.mux([*sound.encode(silence), *sound.encode(None)])
    elif kind != "missing":
        data = make_video("film.mp4", numbered(20)).read_bytes()
        start = data.index(b"mdat") + 4
        end = data.index(b"moov") - 4
        if kind == "no index":
            data = data[:end]
        elif kind == "noise":
            data = data[:start] + np.random.default_rng(0).bytes(end - start) + data[end:]
        elif kind == "codec":
            data = data.replace(b"avc1", b"zzzz")
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("missing", "no such file; expected a video file"),
        ("folder", "is a folder; expected a video file"),
        ("empty", "is empty (0 bytes); expected a video file, copy or download it again"),
        ("text", "is not a video that FFmpeg can read; expected MP4, Matroska, WebM, AVI or the like"),
        ("notes", "is not a video that FFmpeg can read; expected MP4, Matroska, WebM, AVI or the like"),
        ("audio", "has no video stream, only audio; expected a video file"),
        (
            "no index",
            "is an MP4 without its index; the recording was cut short or damaged, copy or download it again",
        ),
        ("noise", "no frame of its video can be decoded; the file is damaged, copy or download it again"),
        ("codec", "its video codec is not supported; convert it to H.264, HEVC, VP9 or AV1"),
    ],
)
def test_a_file_that_is_no_video_is_named_with_its_fault(make_video, tmp_path, kind, problem):
    path = faulty(kind, make_video, tmp_path)
    for read in (probe, lambda p: sample_frames(p, ONE_FPS)):
        with pytest.raises(VideoError) as error:
            read(path)
        assert str(error.value) == f"{path}: {problem}"


def test_a_file_that_may_not_be_read_says_so(make_video, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = make_video("a.mp4", numbered(5))
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so the mode alone is no test
    with pytest.raises(VideoError, match=r"a.mp4: cannot be opened \(Permission denied\); expected a readable video"):
        probe(path)


@pytest.mark.parametrize(
    ("name", "container"), [("a.mp4", {"movflags": "faststart"}), ("a.mkv", {}), ("a.webm", {}), ("both.mkv", {})]
)
def test_a_file_cut_short_says_how_much_could_be_read(make_video, name, container):
    codec, sound = "libvpx-vp9" if name.endswith("webm") else "libx264", 8 if name == "both.mkv" else 0
    path = make_video(name, numbered(80), codec=codec, audio_s=sound, options={"g": "10"}, container=container)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    message = r"only \d\.\d s of 8\.\d s could be read; the file is cut short or damaged, copy or download it again$"
    with pytest.raises(VideoError, match=message):
        list(sample_frames(path, ONE_FPS))
    assert numbers(path, end_s=1) == [4]  # what is there can still be used


def test_an_audio_track_that_runs_on_is_not_a_cut(make_video):
    for name in ("a.mkv", "a.mp4"):
        path = make_video(name, numbered(20), audio_s=9)
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"ANYTHING"))  # Matroska's length of each track
        assert len(numbers(path)) == 2


def test_a_late_first_picture_is_not_a_cut(make_video):
    for name in ("late.mkv", "late.mp4"):
        assert len(numbers(make_video(name, numbered(20), delay_s=5))) == 2


def test_damage_in_the_middle_is_passed_over(make_video):
    path = make_video("a.mp4", numbered(80), options={"g": "10"}, container={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat")
    middle = first + (len(data) - first) // 2
    data[middle - 300 : middle + 300] = np.random.default_rng(0).bytes(600)
    path.write_bytes(data)
    seen = numbers(path)
    assert len(seen) == 8
    assert (seen[:2], seen[-2:]) == ([4, 14], [64, 74])


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_gives_frames_or_a_video_error(make_video, seed):
    random = np.random.default_rng(seed)
    path = make_video(["a.mp4", "a.mkv", "a.ts", "a.avi", "a.flv"][seed % 5], numbered(30, 16))
    data = bytearray(path.read_bytes())
    for at in random.integers(0, len(data), random.integers(1, 40)):
        data[at] = random.integers(256)
    path.write_bytes(data[: random.integers(len(data) // 2, len(data))])
    with contextlib.suppress(VideoError):
        assert list(itertools.islice(sample_frames(path, FrameRule(1, 8)), 50))


@pytest.mark.parametrize("sizes", [{"fps": 0, "size_px": 8}, {"fps": math.inf, "size_px": 8}, {"fps": 1, "size_px": 0}])
def test_an_impossible_rule_is_refused(sizes):
    with pytest.raises(ValueError, match="a frame rule needs a positive rate and size; got"):
        FrameRule(**sizes)


def test_an_unknown_resize_is_refused_with_the_list():
    with pytest.raises(UnknownName, match="no resize is called 'squash'; there are: .*short_side_crop"):
        FrameRule(1, 8, resize="squash")


# Writing


def test_what_is_written_is_read_back(tmp_path):
    write_video(tmp_path / "new" / "a.mp4", numbered(25), Fraction(30000, 1001))
    info = probe(tmp_path / "new" / "a.mp4")
    assert (info.width, info.height, info.codec, info.rotation, info.has_audio) == (64, 64, "h264", 0, False)
    assert info.fps == pytest.approx(30000 / 1001)
    assert numbers(tmp_path / "new" / "a.mp4", FrameRule(Fraction(30000, 1001), 64)) == list(range(25))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.mp4"]


def test_writing_again_gives_the_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, numbered(25), 8)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_smaller_crf_keeps_more_of_the_image(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 1), np.uint8).repeat(3, 2)
    errors = []
    for crf in (1, 40):
        write_video(tmp_path / "a.mp4", [image] * 5, 5, crf=crf)
        shown = next(sample_frames(tmp_path / "a.mp4", FrameRule(5, 32))).image
        errors.append(np.abs(shown.astype(int) - image).mean())
    assert errors[0] < 5 < errors[1]


def test_an_odd_last_row_or_column_is_dropped(tmp_path):
    write_video(tmp_path / "odd.mp4", [np.zeros((33, 47, 3), np.uint8)] * 3, 10)
    assert (probe(tmp_path / "odd.mp4").width, probe(tmp_path / "odd.mp4").height) == (46, 32)


def test_a_fault_while_the_frames_are_made_leaves_the_old_file(tmp_path):
    def broken():
        yield from numbered(5)
        raise RuntimeError("mine")

    write_video(tmp_path / "a.mp4", numbered(5), 10)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(RuntimeError, match=r"^mine$"):
        write_video(tmp_path / "a.mp4", broken(), 10)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"^cannot write .*file/a.mp4: file exists; choose another folder with --out$"
    ):
        write_video(tmp_path / "file" / "a.mp4", numbered(3), 10)


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    images = list(np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            write_video(tmp_path / "a.mp4", images, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "images",
    [
        [np.zeros((8, 8), np.uint8)],
        [np.zeros((8, 8, 3))],
        [np.zeros((8, 1, 3), np.uint8)],
        [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 6, 3), np.uint8)],
    ],
)
def test_images_of_another_kind_are_refused(tmp_path, images):
    with pytest.raises(ShapeError, match=r"^frame \d is .*; expected uint8 \(H, Wd, 3\), the same for all frames"):
        write_video(tmp_path / "a.mp4", images, 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("n", "fps"), [(0, 10), (3, 0), (3, -1)])
def test_a_video_without_frames_or_rate_is_refused(tmp_path, n, fps):
    with pytest.raises(ValueError, match=f"a video needs a frame and a positive rate; got {fps} fps"):
        write_video(tmp_path / "a.mp4", numbered(n), fps)


# Finding


def test_videos_are_found_at_any_depth_sorted_and_once(tmp_path):
    for name in ("b.mp4", "a.MKV", "deep/er/c.webm", "notes.txt", ".hidden.mp4", ".trash/d.mp4", "deep/._b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_videos([tmp_path, tmp_path / "deep", tmp_path / "notes.txt", tmp_path / "b.mp4"])
    assert [str(p.relative_to(tmp_path)) for p in found] == ["a.MKV", "b.mp4", "deep/er/c.webm", "notes.txt"]


def test_a_folder_without_videos_names_the_suffixes(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(VideoError, match=r"holds no videos; expected files that end in \.mp4, \.mkv, .*\.mxf, .*\.gif"):
        find_videos([tmp_path])


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"nowhere: no such file or folder; expected videos$"):
        find_videos([tmp_path / "nowhere"])
