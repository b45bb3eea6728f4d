"""Cuts of footage of many kinds: the right pictures, the right second of sound, the right length, the right tags.

Every picture carries its number as bars, every second of sound a tone of its own. Made and read with PyAV alone;
tests/cut_matrix.py judges many more kinds by ffmpeg and ffprobe.
"""

import struct
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import pytest

from spikemba.video.cuts import Part, cut_parts, cut_video
from spikemba.video.sampling import FrameRule, VideoReader

WIDTH, HEIGHT = 96, 64
NTSC = Fraction(30000, 1001)
TIMES = {
    "25": [k / 25 for k in range(100)],
    "ntsc": [float(k / NTSC) for k in range(120)],
    "uneven": [0.06 * k + 0.02 * (k % 3) for k in range(60)],
    "stills": [1.5 * k for k in range(4)],
}
MATRICES = {
    "upright": None,
    "90": (0, 1, -1, 0),
    "180": (-1, 0, 0, -1),
    "270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
}
STORED = {
    "upright": lambda a: a,
    "90": lambda a: np.rot90(a, 1),
    "180": lambda a: np.rot90(a, 2),
    "270": lambda a: np.rot90(a, 3),
    "mirrored": lambda a: a[:, ::-1],
}
COLOURS = {  # pixel format, then range, matrix, primaries and transfer as ITU-T H.273 counts them
    "untagged": ("yuv420p", (0, 2, 2, 2)),
    "bt709": ("yuv420p", (1, 1, 1, 1)),
    "full": ("yuv420p", (2, 6, 6, 6)),
    "hlg": ("yuv420p10le", (1, 9, 9, 18)),
}


class Kind(NamedTuple):
    """One kind of footage."""

    name: str
    codec: str
    rate: str = "25"
    sound: tuple[str, int, str] | None = None
    turn: str = "upright"
    colour: str = "untagged"


AAC, WIDE, HIGH, LOW = (
    ("aac", 48000, "stereo"),
    ("aac", 44100, "5.1"),
    ("pcm_s16le", 192000, "mono"),
    ("pcm_s16le", 5500, "mono"),
)
KINDS = [
    Kind("a.mp4", "libx264", "25", AAC),
    Kind("a.mp4", "libx264", "uneven", WIDE, "90", "bt709"),
    Kind("a.mp4", "libx264", "stills", AAC, "mirrored", "full"),
    Kind("a.mp4", "libx264", "ntsc", None, "270", "hlg"),
    Kind("a.mov", "libx264", "uneven", HIGH, "180", "hlg"),
    Kind("a.mov", "prores_ks", "ntsc", LOW),
    Kind("a.mkv", "libx264", "stills", HIGH, colour="bt709"),
    Kind("a.mkv", "libx264", "ntsc", LOW, colour="full"),
    Kind("a.mkv", "ffv1", "uneven", AAC),
    Kind("a.ts", "libx264", "ntsc", AAC, colour="hlg"),
    Kind("a.ts", "libx264", "uneven", None, colour="full"),
    Kind("a.ts", "mpeg2video", "25", ("mp2", 48000, "stereo")),
    Kind("a.mpg", "mpeg2video", "25", ("mp2", 48000, "mono")),
    Kind("a.flv", "libx264", "uneven", ("aac", 44100, "stereo"), colour="bt709"),
    Kind("a.avi", "mpeg4", "25", ("pcm_s16le", 44100, "mono")),
    Kind("a.avi", "mjpeg", "ntsc"),
    Kind("a.webm", "libvpx", "uneven", ("libopus", 48000, "stereo")),
    Kind("a.wmv", "wmv2", "25", ("wmav2", 44100, "stereo")),
]


def picture(number, size=(WIDTH, HEIGHT)):
    """(H, W) grey: the number as bars above, below white on the left and black on the right."""
    width, height = size
    image = np.zeros((height, width), np.uint8)
    image[: height // 2] = np.repeat(255 * (number >> np.arange(8) & 1), width // 8)
    image[height // 2 :, : width // 2] = 255
    return image


def read(image):
    """The number of a picture, or how it lies."""
    if image.shape != (HEIGHT, WIDTH):
        return f"shape {image.shape}"
    below = image[HEIGHT // 2 + 4 :]
    if not below[:, 6 : WIDTH // 2 - 6].mean() > 200 > 50 > below[:, WIDTH // 2 + 6 :].mean():
        return "turned"
    bars = image[6 : HEIGHT // 2 - 6].reshape(-1, 8, WIDTH // 8).mean((0, 2)) > 127
    return int((bars << np.arange(8)).sum())


def make(path, kind, first_number=0, first_second=0):
    """The footage; numbers and seconds can go on from those of another part."""
    pix_fmt, tags = COLOURS[kind.colour]
    pix_fmt = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(kind.codec, pix_fmt)
    images = [STORED[kind.turn](picture(first_number + k)) for k in range(len(TIMES[kind.rate]))]
    rate = {"25": Fraction(25), "ntsc": NTSC}.get(kind.rate, Fraction(1000))
    with av.open(str(path), "w") as file:
        video = file.add_stream(
            kind.codec, rate=rate, options={"crf": "6", "preset": "veryfast"} if kind.codec == "libx264" else {}
        )
        video.height, video.width = images[0].shape
        video.pix_fmt, video.thread_count, video.bit_rate = pix_fmt, 1, 4_000_000
        context = video.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = tags
        sound = file.add_stream(kind.sound[0], rate=kind.sound[1], layout=kind.sound[2]) if kind.sound else None
        if sound is not None:
            sound.bit_rate = 128_000
        due = 0
        for image, time in zip(images, TIMES[kind.rate], strict=True):
            grey = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray")
            full = tags[0] == 2 or pix_fmt == "yuvj420p"
            frame = grey.reformat(format=pix_fmt, src_color_range=2, dst_color_range=2 if full else 1)
            frame.pts, frame.time_base = round(time * rate), 1 / rate
            file.mux(video.encode(frame))
            while sound is not None and due < round((time + 1.6) * kind.sound[1]):
                due = play(file, sound, kind.sound, due, first_second)
        for stream in (video, sound):
            if stream is not None:
                file.mux(stream.encode(None))
    if MATRICES[kind.turn]:
        data = bytearray(path.read_bytes())
        at = data.find(b"tkhd") + 4 + 40
        a, b, c, d = (65536 * value for value in MATRICES[kind.turn])
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
    return path


def play(file, stream, sound, due, first_second):
    """A tenth of a second of the tone of its second; returns how many samples there are by now."""
    codec, rate, layout = sound
    at = due + np.arange(rate // 10)
    wave = 0.4 * np.sin(2 * np.pi * tone(first_second + at // rate) * (at / rate))
    n_channels = av.AudioLayout(layout).nb_channels
    if codec == "pcm_s16le":
        samples = np.repeat((32767 * wave).astype(np.int16), n_channels)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
    else:
        frame = av.AudioFrame.from_ndarray(
            np.tile(wave.astype(np.float32), (n_channels, 1)), format="fltp", layout=layout
        )
        frame = frame if codec in ("aac", "wmav2") else as_format(frame, rate, {"mp2": "s16", "libopus": "flt"}[codec])
    frame.rate, frame.pts, frame.time_base = rate, due, Fraction(1, rate)
    file.mux(stream.encode(frame))
    return due + rate // 10


def as_format(frame, rate, form):
    frame.rate = rate
    (converted,) = av.AudioResampler(format=form, layout=frame.layout.name, rate=rate).resample(frame)
    return converted


def tone(second):
    return 400 + 100 * second


def seen(path):
    """(number, time) of every picture, upright as stored, the stream, and its length in seconds."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [(read(frame.to_ndarray(format="gray")), float(frame.time)) for frame in file.decode(stream)]
        context = stream.codec_context
        tags = (context.color_range, context.colorspace, context.color_primaries, context.color_trc)
        return frames, (stream.codec_context.pix_fmt, tags), float(stream.duration * stream.time_base)


def heard(path):
    """(n,) the first channel, and its rate."""
    with av.open(str(path)) as file:
        waves = [(frame.to_ndarray()[0], frame.sample_rate) for frame in file.decode(audio=0)]
    return np.concatenate([wave for wave, _ in waves]), waves[0][1]


def check_tones(path, start, end):
    """Each whole second of the part has its own tone, at its place."""
    wave, rate = heard(path)
    assert len(wave) / rate == pytest.approx(end - start, abs=0.05)
    for second in range(int(np.ceil(start)), int(end)):
        part = wave[int((second + 0.1 - start) * rate) : int((second + 0.9 - start) * rate)]
        peak = np.argmax(np.abs(np.fft.rfft(part * np.hanning(len(part))))) * rate / len(part)
        assert peak == pytest.approx(tone(second), abs=15), second


def shown_between(starts, start, end):
    """(number, time in the cut) of the pictures that are on screen in a part."""
    ends = [*starts[1:], 1e9]
    found = enumerate(zip(starts, ends, strict=True))
    return [(k, max(a, start) - start) for k, (a, b) in found if b > start + 2e-3 and a < end - 2e-3]


def offset(path):
    """How long after the file's start its first picture comes."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        return float((video.start_time or 0) * video.time_base) - (file.start_time or 0) / av.time_base


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind)).replace(" ", ""))
def test_a_cut_of_any_kind_of_footage(tmp_path, kind):
    source = make(tmp_path / kind.name, kind)
    starts = [time + offset(source) for time in TIMES[kind.rate]]
    start, end = 0.87, 3.13
    cut_video(source, tmp_path / "cut.mp4", start, end)
    frames, (pix_fmt, tags), length = seen(tmp_path / "cut.mp4")
    due = shown_between(starts, start, end)
    assert [number for number, _ in frames] == [number for number, _ in due]
    assert [time for _, time in frames] == pytest.approx([time for _, time in due], abs=2e-3)
    assert length == pytest.approx(end - start, abs=2e-3)
    assert ("10" in pix_fmt) == (kind.colour == "hlg" or kind.codec == "prores_ks")
    if kind.colour != "untagged":
        assert tags == COLOURS[kind.colour][1]
    if kind.sound:
        check_tones(tmp_path / "cut.mp4", start, end)


def test_a_joined_recording_is_cut_on_one_clock(tmp_path):
    """Two transport streams end to end, the second with more channels, cut across the join and behind it."""
    one = make(tmp_path / "1.ts", Kind("1.ts", "libx264", "25", ("aac", 48000, "mono")))
    two = make(tmp_path / "2.ts", Kind("2.ts", "libx264", "25", AAC), 100, 4)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    shift = offset(one)
    parts = [
        Part(tmp_path / "behind.mp4", 5, 7.5),
        Part(tmp_path / "across.mp4", 2.51, 6),
        Part(tmp_path / "again.mp4", 5, 7.5),
    ]
    cuts = {cut.part.out.stem: cut for cut in cut_parts(joined, parts)}
    assert all(cut.fault is None for cut in cuts.values())
    starts = [k / 25 + shift for k in range(200)]
    for name, (start, end) in {"behind": (5, 7.5), "across": (2.51, 6), "again": (5, 7.5)}.items():
        frames, _, length = seen(tmp_path / f"{name}.mp4")
        assert [number for number, _ in frames] == [number for number, _ in shown_between(starts, start, end)]
        assert length == pytest.approx(end - start, abs=2e-3)
        check_tones(tmp_path / f"{name}.mp4", start, end)


def test_a_part_without_sound_between_two_with_sound_stays_silent(tmp_path):
    parts = [
        make(tmp_path / f"{k}.ts", Kind("a.ts", "libx264", "25", AAC if k != 1 else None), 100 * k, 4 * k)
        for k in range(3)
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    cut_video(joined, tmp_path / "cut.mp4", 2.51, 11.5)
    wave, rate = heard(tmp_path / "cut.mp4")
    for second in range(3, 11):
        part = wave[int((second + 0.2 - 2.51) * rate) : int((second + 0.8 - 2.51) * rate)]
        peak = np.argmax(np.abs(np.fft.rfft(part * np.hanning(len(part))))) * rate / len(part)
        if second in (3, 8, 9, 10):
            assert peak == pytest.approx(tone(second), abs=15), second
        elif second > 5:  # the first part's sound is longer than its pictures
            assert np.abs(part).max() < 0.01, second


@pytest.mark.parametrize("turn", MATRICES)
def test_turned_and_mirrored_pictures_are_read_upright(tmp_path, turn):
    source = make(tmp_path / "a.mp4", Kind("a.mp4", "libx264", turn=turn))
    images = [frame.image for frame in VideoReader(source).frames(FrameRule(1, HEIGHT, "short_side"))]
    assert [read(image[..., 0]) for image in images] == [12, 37, 62, 87]
