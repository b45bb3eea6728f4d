"""Pieces: laid one behind the other they show and sound what the file does, at the file's times."""

import io
import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from spikemba.errors import VideoError
from spikemba.video.clock import shown_frames
from spikemba.video.decoding import Mark, opened
from spikemba.video.kept import KeptFiles
from spikemba.video.packets import Key, Packets, key_limits
from spikemba.video.pieces import LONGEST_S, PieceMaker, Stopped

SIDE, BITS = 16, 9
TONE_HZ = 441


def numbered(path, *, codec="libx264", seconds=13, fps=25, sound="aac", rate_hz=44100, options=None, gop=25, delay_s=0):
    """A file whose picture k shows k in black and white bars, with a steady tone from time 0 on."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=fps, options={"g": str(gop), **(options or {})})
        video.width, video.height, video.pix_fmt, video.thread_count = SIDE * BITS, 64, "yuv420p", 1
        video.bit_rate = 2_000_000
        heard = file.add_stream(sound, rate=rate_hz, layout="stereo" if sound == "wmav2" else "mono") if sound else None
        if heard is not None:
            heard.bit_rate = 96_000
        tone = np.float32(0.5) * np.sin(2 * np.pi * TONE_HZ * np.arange(seconds * rate_hz) / rate_hz).astype(np.float32)
        step, at = 1024, 0
        for k in range(seconds * fps):
            image = np.repeat([[255 * (k >> bit & 1) for bit in range(BITS)]], SIDE, axis=1).repeat(64, axis=0)
            frame = av.VideoFrame.from_ndarray(np.stack([image.astype(np.uint8)] * 3, axis=-1))
            frame.pts, frame.time_base = k + delay_s * fps, Fraction(1, fps)
            file.mux(video.encode(frame))
            while heard is not None and at < (k + 1) * rate_hz / fps:
                part = np.ascontiguousarray(tone[None, at : at + step])
                samples = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                samples.rate, samples.pts, samples.time_base = rate_hz, at, Fraction(1, rate_hz)
                file.mux(heard.encode(samples))
                at += part.shape[1]
        for stream in (video, heard):
            if stream is not None:
                file.mux(stream.encode(None))
    return path


def number(frame):
    """What a picture of `numbered` shows."""
    grey = frame.to_ndarray(format="gray")
    wide = grey.shape[1] / BITS
    return sum(1 << bit for bit in range(BITS) if grey[grey.shape[0] // 2, int((bit + 0.5) * wide)] > 128)


def due(path):
    """(number, first tick of 1/1000 s) of each picture, as reading the file through shows them."""
    with opened(path, "NONE") as (container, stream):
        return [(number(shown.frame), float(shown.start)) for shown in shown_frames(container, stream)]


def shown(maker, path):
    """(number, time) of each picture in the pieces, a picture that goes on in the next piece counted once."""
    found = []
    for n, (start, _) in enumerate(maker.playing(path).limits):
        with av.open(io.BytesIO(maker.piece(path, n))) as piece:
            frames = list(piece.decode(video=0))
            for frame in frames:  # libav adds to all times where some are decoded after they are shown
                one = (number(frame), float(start + (frame.pts - frames[0].pts) * frame.time_base))
                if not (found and found[-1][0] == one[0]):
                    found.append(one)
    return found


@pytest.fixture
def maker(tmp_path):
    maker = PieceMaker(tmp_path / "kept")
    yield maker
    maker.close()


FILES = {
    "h264.mkv": {},
    "h264.ts": {},
    "h264.flv": {},
    "h264_late.mkv": {"delay_s": 1},
    "h264_some_open.mkv": {"options": {"x264-params": "open-gop=1:bframes=3"}},
    "mpeg4.avi": {"codec": "mpeg4", "sound": "libmp3lame"},
    "h264_reordered.avi": {"options": {"bf": "2"}},
    "mpeg4_reordered.avi": {"codec": "mpeg4", "options": {"bf": "2"}, "sound": "libmp3lame"},
    "mpeg2.mpg": {"codec": "mpeg2video", "sound": "mp2"},
    "mpeg2.ts": {"codec": "mpeg2video", "sound": "mp2"},
    "wmv2.wmv": {"codec": "wmv2", "sound": "wmav2"},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "ntsc.mkv": {"fps": Fraction(30000, 1001)},
    "silent.avi": {"codec": "mpeg4", "sound": None},
}
COPIED = {"h264.mkv", "h264.ts", "h264.flv", "h264_some_open.mkv", "ntsc.mkv"}


@pytest.mark.parametrize("name", FILES)
def test_pieces_show_every_picture_at_its_time(tmp_path, maker, name):
    if name == "ntsc.mkv":
        path = ntsc(tmp_path / name)
    else:
        path = numbered(tmp_path / name, **FILES[name])
    playing = maker.playing(path)
    assert playing.copied == (name in COPIED)
    expected, got = due(path), shown(maker, path)
    assert [one for one, _ in got] == [one for one, _ in expected]
    late = [abs(a - b) for (_, a), (_, b) in zip(got[1:], expected[1:], strict=True)]
    assert max(late) < 1.5e-3  # Matroska and FLV count in milliseconds
    assert got[0][1] == pytest.approx(0, abs=1e-3)  # the first picture is also there before its time
    assert playing.limits[0][0] == 0
    assert all(a[1] == b[0] for a, b in zip(playing.limits, playing.limits[1:], strict=False))


def ntsc(path):
    """H.264 at 29.97 pictures per second, copied from a file that counts in whole ones."""
    source = numbered(path.with_suffix(".mp4"), fps=30, sound=None)
    with av.open(str(source)) as given, av.open(str(path), "w") as file:
        stream = file.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.pts, packet.dts = (round(time * 1001 / 1000) for time in (packet.pts, packet.dts))
                packet.stream = stream
                file.mux(packet)
    return path


@pytest.mark.parametrize("name", ["h264.ts", "mpeg4.avi", "mpeg2.mpg", "mpeg4.mp4"])
def test_a_piece_asked_for_alone_is_the_one_that_follows_its_neighbour(tmp_path, name):
    path = numbered(tmp_path / name, **FILES[name])
    first, second = PieceMaker(tmp_path / "a"), PieceMaker(tmp_path / "b")
    n = len(first.playing(path).limits)
    in_order = [pictures(first.piece(path, k)) for k in range(n)]
    backwards = [pictures(second.piece(path, k)) for k in reversed(range(n))]
    assert in_order == backwards[::-1]


def pictures(piece):
    with av.open(io.BytesIO(piece)) as file:
        return [(number(frame), frame.pts * frame.time_base) for frame in file.decode(video=0)]


@pytest.mark.parametrize("name", ["h264.mkv", "mpeg4.mp4", "mpeg4.avi"])
def test_sound_goes_on_over_the_borders_of_pieces(tmp_path, maker, name):
    path = numbered(tmp_path / name, **FILES[name])
    decoder, samples, begin = av.CodecContext.create("aac", "r"), [], None
    over = None
    for n, (start, _) in enumerate(maker.playing(path).limits):
        with av.open(io.BytesIO(maker.piece(path, n))) as piece:
            track = piece.streams.audio[0]
            decoder.extradata = track.codec_context.extradata
            for packet in piece.demux(track):
                if not packet.size:
                    continue
                at = float(start + packet.pts * packet.time_base)
                begin = at if begin is None else begin
                assert over is None or at == pytest.approx(over, abs=2 / 44100)  # no gap, nothing twice
                over = at + 1024 / 44100
                samples += [frame.to_ndarray()[0] for frame in decoder.decode(packet)]
    wave = np.concatenate(samples)
    times = begin + np.arange(len(wave)) / 44100
    middle = (times > 0.5) & (times < 12)
    phase = np.exp(-2j * np.pi * TONE_HZ * times)
    steps = [(2 * np.mean((wave * phase)[k : k + 1000])) for k in np.flatnonzero(middle)[::1000][:-1]]
    tone = (np.mean(steps) * np.exp(2j * np.pi * TONE_HZ * times)).real
    assert np.abs(wave - tone)[middle].max() < 0.05  # a click would be as large as the tone, 0.5
    assert np.ptp(np.unwrap(np.angle(steps))) < 0.1  # radians: 36 microseconds of this tone


def test_pieces_end_where_the_pictures_do(tmp_path, maker):
    for name in ("h264.mkv", "h264.ts", "mpeg4.avi", "mpeg4.mp4"):
        path = numbered(tmp_path / name, **FILES[name])
        with opened(path, "NONE") as (container, stream):
            end = [shown.end for shown in shown_frames(container, stream)][-1]
        limits = maker.playing(path).limits
        assert float(limits[-1][1]) == pytest.approx(float(end), abs=1e-3)
        with av.open(io.BytesIO(maker.piece(path, len(limits) - 1))) as piece:
            lasts = [
                float((packet.pts + packet.duration) * packet.time_base)
                for packet in piece.demux(video=0)
                if packet.size
            ]
        assert max(lasts) >= float(limits[-1][1] - limits[-1][0]) - 0.12


@pytest.mark.parametrize("name", ["h264.mkv", "mpeg4.mp4"])
def test_the_times_of_a_piece_begin_at_0(tmp_path, maker, name):
    path = numbered(tmp_path / name, **FILES[name])
    for n in range(2):
        piece = maker.piece(path, n)
        first = piece.index(b"trun") - 4
        decoded = int.from_bytes(piece[(at := piece.index(b"tfdt")) + 8 : at + 16], "big")
        flags, begin = int.from_bytes(piece[first + 9 : first + 12], "big"), first + 16
        begin += 4 * bool(flags & 1) + 4 * bool(flags & 4)  # ISO/IEC 14496-12, 8.8.8: offset of the data, first flags
        fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
        shown = (
            int.from_bytes(piece[begin + 4 * fields.index(0x800) :][:4], "big", signed=True) if 0x800 in fields else 0
        )
        assert piece[first + 8] == 1  # counted with a sign
        assert piece[at + 4] == 1
        assert decoded + shown == 0
        assert b"elst" not in piece


def test_pieces_begin_at_key_frames_behind_which_nothing_earlier_is_shown():
    def packets(*keys):
        return Packets(
            tuple(Key(Mark(Fraction(at), 25 * at, None), closed) for at, closed in keys), Fraction(14), True, True
        )

    some = packets((0, True), (3, True), (4, False), (5, True), (9, True), (13, True))
    assert key_limits(some, 4, 20) == [(0, 5), (5, 9), (9, 14)]
    assert key_limits(packets((0, True), (4, False), (8, False)), 4, 12) is None
    assert key_limits(packets((0, False), (4, True)), 4, 20) is None


def test_rare_key_frames_are_not_copied(tmp_path, maker):
    path = numbered(tmp_path / "rare.mkv", seconds=LONGEST_S + 4, gop=10_000, options={"x264-params": "scenecut=0"})
    playing = maker.playing(path)
    assert not playing.copied
    assert [float(start) for start, _ in playing.limits] == [0, 4, 8, 12, 16, 20]


def test_pieces_are_small_upright_and_in_square_pixels(tmp_path, maker):
    path = tmp_path / "wide.avi"
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 1440, 1080, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for k in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((1080, 1440, 3), 40 * k, np.uint8))
            frame.pts = k
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    with av.open(io.BytesIO(maker.piece(path, 0))) as piece:
        stream = piece.streams.video[0]
        assert (stream.width, stream.height) == (1280, 720)
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.sample_aspect_ratio in (None, 1)


def test_a_damaged_stretch_costs_its_own_pictures_alone(tmp_path, maker):
    path = numbered(tmp_path / "damaged.ts", codec="mpeg2video", sound="mp2", seconds=17)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 150] = bytes(188 * 150)
    path.write_bytes(data)
    n = len(maker.playing(path).limits)
    for k in range(n):
        with av.open(io.BytesIO(maker.piece(path, k))) as piece:
            assert sum(1 for _ in piece.decode(video=0)) > 10


@pytest.mark.parametrize("name", ["h264.mkv", "h264.ts"])
def test_pictures_that_cannot_be_decoded_as_they_are_stored_are_encoded_anew(tmp_path, maker, name):
    path = numbered(tmp_path / name, seconds=13)
    whole = maker.playing(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if name.endswith("ts"):
        middle = middle // 188 * 188
        data[middle : middle + 188 * 20] = bytes(188 * 20)
    else:
        at = data.index(b"\x00\x00\x01\x25") if b"\x00\x00\x01\x25" in data else middle
        data[at : at + 400] = bytes(range(200)) * 2
    path.write_bytes(data)
    assert maker.playing(path).copied
    for k in range(len(maker.playing(path).limits)):
        with av.open(io.BytesIO(maker.piece(path, k))) as piece:
            assert sum(1 for _ in piece.decode(video=0)) > 10  # raises where one cannot be decoded
    assert float(maker.playing(path).limits[-1][1]) == pytest.approx(float(whole.limits[-1][1]), abs=0.5)


def test_what_is_missing_is_said_of_its_piece_alone(tmp_path, maker):
    path = numbered(tmp_path / "cut.mp4", codec="mpeg4", sound=None)
    with (
        av.open(str(path)) as given,
        av.open(str(tmp_path / "front.mp4"), "w", options={"movflags": "faststart"}) as file,
    ):
        stream = file.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                file.mux(packet)
    front = tmp_path / "front.mp4"
    front.write_bytes(front.read_bytes()[: front.stat().st_size * 2 // 3])
    playing = maker.playing(front)
    assert pictures(maker.piece(front, 0))
    assert float(playing.limits[-1][1]) < 10


def test_a_piece_that_there_is_not_is_refused(tmp_path, maker):
    path = numbered(tmp_path / "h264.mkv", seconds=6)
    with pytest.raises(VideoError, match=r"has no piece 7; expected 0 to 1"):
        maker.piece(path, 7)


def test_nobody_waiting_stops_the_work(tmp_path, maker):
    path = numbered(tmp_path / "mpeg4.avi", codec="mpeg4", sound=None, seconds=6)
    asked = []
    with pytest.raises(Stopped):
        maker.piece(path, 0, lambda: asked.append(1) or len(asked) > 3)
    assert len(asked) == 4
    assert pictures(maker.piece(path, 0))


def test_a_piece_asked_for_twice_at_once_is_made_once(tmp_path, maker, monkeypatch):
    path = numbered(tmp_path / "mpeg4.avi", codec="mpeg4", sound=None, seconds=6)
    made, own = [], PieceMaker._made
    monkeypatch.setattr(PieceMaker, "_made", lambda *given: made.append(1) or own(*given))
    got = []
    threads = [threading.Thread(target=lambda: got.append(maker.piece(path, 0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(got)) == 1


def test_kept_files_that_were_not_used_for_longest_go_first(tmp_path):
    kept = KeptFiles(tmp_path, 1000)
    for k in range(3):
        kept.put(str(k), bytes(300))
        age(tmp_path, kept, str(k), k)
    assert kept.get("0") is not None  # used again: now the latest
    kept.put("3", bytes(300))
    assert [kept.get(str(k)) is not None for k in range(4)] == [True, False, True, True]


def age(folder, kept, name, k):
    import os

    os.utime(kept._path(name), (1000 + k, 1000 + k))


@pytest.mark.parametrize("name", ["mpeg4.avi", "h264.mkv", "mpeg4.mp4"])
def test_looking_at_a_files_packets_is_broken_off_and_begun_again(tmp_path, maker, name):
    path, asked = numbered(tmp_path / name, **FILES[name]), []

    def stop():
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(Stopped):
        maker.playing(path, stop)
    assert len(asked) == 3
    assert maker.playing(path).limits
