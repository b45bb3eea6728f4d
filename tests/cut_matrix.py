"""Cuts of made footage, container by codec by rate by sound by turn by colours, judged by ffmpeg and ffprobe.

    python tests/cut_matrix.py [--n 150] [--seed 0] [--keep FOLDER]

Needs ffmpeg and ffprobe on the PATH. Every picture carries its number as bars, every second of sound a tone of its own;
each combination is cut, and the cut must show the right pictures at the right times, upright and with their tags, sound
right by the second, and be as long as was asked for, to a picture. It says how many ran and which failed; the exit code
is 1 when one did. What needs no ffmpeg is tried by tests/unit/video/test_cut_matrix.py.
"""

import argparse
import itertools
import json
import random
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT, N = 128, 96, 160
X264 = ["-c:v", "libx264", "-crf", "8", "-preset", "veryfast"]
FORMATS = {
    "h264.mp4": X264,
    "h264_open.mp4": [*X264, "-x264-params", "keyint=40:open-gop=1:bframes=3"],
    "h264.mov": X264,
    "h264.mkv": X264,
    "h264.ts": X264,
    "h264.flv": X264,
    "hevc.mp4": ["-c:v", "libx265", "-crf", "8", "-preset", "ultrafast", "-x265-params", "log-level=none"],
    "mpeg4.avi": ["-c:v", "mpeg4", "-q:v", "2"],
    "mjpeg.avi": ["-c:v", "mjpeg", "-q:v", "2"],
    "mpeg2.mpg": ["-c:v", "mpeg2video", "-q:v", "2"],
    "mpeg2.ts": ["-c:v", "mpeg2video", "-q:v", "2"],
    "wmv2.wmv": ["-c:v", "wmv2", "-q:v", "2"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-crf", "10", "-deadline", "realtime", "-cpu-used", "8"],
    "prores.mov": ["-c:v", "prores_ks"],
    "ffv1.mkv": ["-c:v", "ffv1"],
}
RATES = {
    "25": "N/25",
    "ntsc": "N*1001/30000",
    "film": "N*1001/24000",
    "60": "N/60",
    "12.5": "N/12.5",
    "uneven": "N*0.06+0.02*mod(N,3)",
    "stills": "N*1.5",
}
STEADY = {"25", "ntsc", "film", "60"}
SOUNDS = {
    "none": [],
    "stereo": ["-ac", "2", "-ar", "48000"],
    "mono": ["-ac", "1", "-ar", "22050"],
    "5.1": ["-ac", "6", "-ar", "48000"],
    "high": ["-ac", "1", "-ar", "192000", "-c:a", "pcm_s16le"],
    "low": ["-ac", "1", "-ar", "5500", "-c:a", "pcm_s16le"],
}
TURNS = {  # display matrices, and what makes the stored picture from the upright one
    "upright": ((1, 0, 0, 1), lambda a: a),
    "90": ((0, 1, -1, 0), lambda a: np.rot90(a, 1)),
    "180": ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
    "270": ((0, -1, 1, 0), lambda a: np.rot90(a, 3)),
    "mirrored": ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
}
COLOURS = {
    "untagged": ("yuv420p", {}),
    "bt709": (
        "yuv420p",
        {"color_range": "tv", "color_space": "bt709", "color_transfer": "bt709", "color_primaries": "bt709"},
    ),
    "full": ("yuvj420p", {"color_range": "pc", "color_space": "smpte170m"}),
    "hlg": (
        "yuv420p10le",
        {"color_range": "tv", "color_space": "bt2020nc", "color_transfer": "arib-std-b67", "color_primaries": "bt2020"},
    ),
    "422": ("yuv422p", {"color_range": "tv", "color_space": "bt709"}),
}
TAGGED = {"h264.mp4", "h264_open.mp4", "h264.mov", "h264.mkv", "h264.ts", "h264.flv", "hevc.mp4"}


class Combination(NamedTuple):
    """One kind of footage."""

    form: str
    rate: str
    sound: str
    turn: str
    colour: str

    @property
    def possible(self) -> bool:
        """Whether such a file can be made."""
        suffix = self.form.rpartition(".")[2]
        steady_only = suffix in ("avi", "mpg") or self.form == "mpeg2.ts"
        pix_fmt = COLOURS[self.colour][0]
        rates = STEADY - {"60", "film"} if suffix == "mpg" else STEADY | ({"12.5"} if suffix == "avi" else set())
        return (
            (not steady_only or self.rate in (rates if suffix != "ts" else STEADY))
            and (self.turn == "upright" or suffix in ("mp4", "mov"))
            and (self.sound not in ("high", "low") or suffix in ("mov", "mkv"))
            and (self.sound != "5.1" or suffix in ("mp4", "mov", "mkv", "ts"))
            and (self.colour == "untagged" or self.form in TAGGED)
            and (self.sound != "mono" or suffix != "webm")
            and (self.rate != "stills" or suffix != "flv")
            and (pix_fmt != "yuv422p" or self.form not in ("hevc.mp4", "h264.flv"))
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=150, help="combinations, of all that are possible")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the footage and the cuts")
    given = parser.parse_args()
    whole = [
        c
        for c in itertools.starmap(Combination, itertools.product(FORMATS, RATES, SOUNDS, TURNS, COLOURS))
        if c.possible
    ]
    chosen = pairwise(whole, given.seed)
    rest = [c for c in whole if c not in set(chosen)]
    chosen = (chosen + random.Random(given.seed).sample(rest, max(0, min(len(rest), given.n - len(chosen)))))[: given.n]
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for k, combination in enumerate(chosen):
            try:
                faults = judged(combination, folder, k)
            except Exception:
                faults = [traceback.format_exc(limit=-2)]
            failed += bool(faults)
            for fault in faults:
                print(f"{k:3d} {' '.join(combination)}: {fault}", flush=True)
    print(f"{len(chosen)} of {len(whole)} combinations ran, {failed} failed")
    return int(failed > 0)


def pairwise(whole: list[Combination], seed: int) -> list[Combination]:
    """Combinations that have every possible pair of values, found greedily."""
    order, missing, chosen = random.Random(seed).sample(whole, len(whole)), set(), []
    for one in whole:
        missing |= set(itertools.combinations(enumerate(one), 2))
    for one in order:
        pairs = set(itertools.combinations(enumerate(one), 2))
        if len(pairs & missing) >= (3 if len(chosen) < 60 else 1):
            chosen.append(one)
            missing -= pairs
    for one in order:
        pairs = set(itertools.combinations(enumerate(one), 2))
        if pairs & missing:
            chosen.append(one)
            missing -= pairs
    return chosen


def picture(number: int) -> np.ndarray:
    """(H, W) grey: the number as bars above, below white on the left and black on the right."""
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[: HEIGHT // 2] = np.repeat(255 * (number >> np.arange(8) & 1), WIDTH // 8)
    image[HEIGHT // 2 :, : WIDTH // 2] = 255
    return image


def read(image: np.ndarray) -> int | str:
    """The number of a picture, or what is wrong with how it lies."""
    if image.shape != (HEIGHT, WIDTH):
        return f"shape {image.shape}"
    below = image[HEIGHT // 2 + 4 :]
    if not below[:, 8 : WIDTH // 2 - 8].mean() > 180 > 75 > below[:, WIDTH // 2 + 8 :].mean():
        return "turned"
    bars = image[8 : HEIGHT // 2 - 8].reshape(-1, 8, WIDTH // 8).mean((0, 2)) > 127
    return int((bars << np.arange(8)).sum())


def times(rate: str) -> list[float]:
    expression = RATES[rate].replace("mod(N,3)", "(N % 3)")
    n = 8 if rate == "stills" else N
    return [eval(expression, {"N": k}) for k in range(n)]


def make(combination: Combination, folder: Path, k: int) -> Path:
    """The footage."""
    path = folder / f"{k}_{combination.form}"
    matrix, stored = TURNS[combination.turn]
    pix_fmt, tags = COLOURS[combination.colour]
    shown = times(combination.rate)
    frames = np.stack([stored(picture(number)) for number in range(len(shown))])
    height, width = frames.shape[1:]
    names = {"color_range": "-color_range", "color_space": "-colorspace", "color_transfer": "-color_trc"}
    tagging = [word for tag, value in tags.items() for word in (names.get(tag, "-color_primaries"), value)]
    fps = {"ntsc": "30000/1001", "film": "24000/1001"}.get(combination.rate, combination.rate)
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}"]
    timing: list[str] = []
    if combination.rate in ("uneven", "stills"):
        raw += ["-r", "20"]
        timing = ["-vsync", "vfr", "-enc_time_base:v", "1/1000"]
        setpts = f"settb=1/1000,setpts='({RATES[combination.rate]})/TB'".replace("mod(N,3)", r"mod(N\,3)")
    else:
        raw += ["-r", fps]
        setpts = "null"
    matrix_name = {"bt709": "bt709", "bt2020nc": "bt2020", "smpte170m": "smpte170m"}.get(tags.get("color_space", ""))
    scale = "scale=out_range=" + ("full" if pix_fmt.startswith("yuvj") else "tv")
    scale += f":out_color_matrix={matrix_name}" if matrix_name else ""
    length = shown[-1] + (shown[-1] - shown[-2])
    tone = f"aevalsrc='0.4*sin(2*PI*(400+100*floor(t))*t)':d={length}:s=48000"
    sound = ["-f", "lavfi", "-i", tone] if combination.sound != "none" else []
    command = ["ffmpeg", "-v", "error", "-y", *raw, "-i", "-", *sound, "-vf", f"{setpts},{scale},format={pix_fmt}"]
    codec = (
        FORMATS[combination.form]
        if combination.form != "prores.mov"
        else ["-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"]
    )
    command += [*codec, *timing, *tagging, *SOUNDS[combination.sound]]
    command += ["-c:a", "aac"] if path.suffix in (".ts", ".flv") and sound else []
    command.append(str(path))
    subprocess.run(command, input=frames.tobytes(), check=True, capture_output=True)
    if matrix != (1, 0, 0, 1):
        data = bytearray(path.read_bytes())
        at = data.find(b"tkhd") + 4 + 40
        a, b, c, d = (65536 * value for value in matrix)
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
    return path


def judged(combination: Combination, folder: Path, k: int) -> list[str]:
    """What is wrong with a cut of such footage."""
    from spikemba.video.cuts import cut_video

    source, shown = make(combination, folder, k), times(combination.rate)
    starts = source_times(source)
    if not np.isfinite(starts).all():  # MPEG programme streams have no stamp on some pictures
        starts = [starts[0] + time - shown[0] for time in shown]
    cut = folder / f"{k}_cut.mp4"
    first = round(0.31 * len(starts))
    last = next((k for k, time in enumerate(starts) if time > starts[first] + 3.3), round(0.9 * len(starts)))
    # between the times of pictures: which of them is on screen at a border is not the question
    start, end = (round(starts[k] + 0.4 * (starts[k + 1] - starts[k]), 3) for k in (first, min(last, len(starts) - 2)))
    cut_video(source, cut, start, end)
    faults = [] if len(starts) == len(shown) else [f"has {len(starts)} pictures of {len(shown)}"]
    ends = [*starts[1:], float("inf")]
    due = [
        (number, max(at, start) - start)
        for number, (at, over) in enumerate(zip(starts, ends, strict=False))
        if over > start + 2e-3 and at < end - 2e-3
    ]
    images, at = decoded(cut)
    numbers = [read(image) for image in images]
    if numbers != [number for number, _ in due]:
        faults.append(f"shows {numbers[:6]}…, expected {[n for n, _ in due][:6]}… ({len(numbers)} of {len(due)})")
    else:
        late = max(abs(a - b) for a, (_, b) in zip(at, due, strict=False))
        # Versions of FFmpeg count a WebM's start before or after the 7 ms that Opus needs to begin.
        if late > (0.008 if combination.form.endswith("webm") else 0.0025):
            faults.append(f"pictures are {late:.4f} s off")
    info = probed(cut)
    frame = max(0.001 + min(np.diff(shown)), 0.025)
    if abs(float(info["format"]["duration"]) - (end - start)) > frame:
        faults.append(f"lasts {info['format']['duration']} s, expected {end - start:.2f}")
    stream = next(s for s in info["streams"] if s["codec_type"] == "video")
    if combination.form in TAGGED:
        pix_fmt, _ = COLOURS[combination.colour]
        own = next(s for s in probed(source)["streams"] if s["codec_type"] == "video")
        unsaid = "tv"  # as good as no word about the range; nothing else is called so
        tags = ("color_range", "color_space", "color_transfer", "color_primaries")
        changed = [tag for tag in tags if stream.get(tag, unsaid) != own.get(tag, unsaid)]
        faults += [f"{tag} is {stream.get(tag)}, expected {own.get(tag)}" for tag in changed]
        if ("10" in stream["pix_fmt"]) != ("10" in pix_fmt):
            faults.append(f"pix_fmt is {stream['pix_fmt']} from {pix_fmt}")
    grey = np.median([image[HEIGHT // 2 + 8 : -8, 8 : WIDTH // 2 - 8].mean() for image in images]) if images else 0
    if grey < 248:
        faults.append(f"white is {grey:.0f}")
    if combination.sound != "none":
        faults += tones(cut, start, end, combination.sound)
    return faults


def source_times(path: Path) -> list[float]:
    """When each picture is shown, from the file's start, as ffprobe says."""
    origin = float(probed(path)["format"].get("start_time", 0))
    return [time - origin for time in stamps(path)]


def stamps(path: Path) -> list[float]:
    """The time stamp of every picture."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "frame=best_effort_timestamp_time",
        "-of",
        "csv=p=0",
    ]
    lines = subprocess.run([*command, str(path)], check=True, capture_output=True, text=True).stdout.split()
    return [float(line.strip(",").replace("N/A", "nan")) for line in lines]


def probed(path: Path) -> dict:
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def decoded(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Every picture as ffmpeg shows it, in grey, and its time."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-vsync",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]
    info = next(s for s in probed(path)["streams"] if s["codec_type"] == "video")
    data = subprocess.run(command, check=True, capture_output=True).stdout
    images = np.frombuffer(data, np.uint8).reshape(-1, info["height"], info["width"])
    return list(images), stamps(path)


def tones(path: Path, start: float, end: float, kind: str) -> list[str]:
    """What is wrong with the seconds of sound."""
    rate = 16000
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vn", "-ac", "1", "-ar", str(rate), "-f", "s16le", "-"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    wave = np.frombuffer(data, np.int16).astype(float)
    faults = []
    if abs(len(wave) / rate - (end - start)) > (0.2 if kind == "low" else 0.1):  # AAC pads its last 1024 samples
        faults.append(f"sound lasts {len(wave) / rate:.2f} s, expected {end - start:.2f}")
    second = int(np.ceil(start - 0.1))
    while second + 0.9 < end:
        begin = max(0, int((second + 0.1 - start) * rate))
        part = wave[begin : int((second + 0.9 - start) * rate)]
        expected = 400 + 100 * second
        if len(part) > 4000 and not (kind == "low" and expected > 2600):
            peak = np.argmax(np.abs(np.fft.rfft(part * np.hanning(len(part))))) * rate / len(part)
            if abs(peak - expected) > 20:
                faults.append(f"second {second} sounds {peak:.0f} Hz, expected {expected}")
        second += 1
    return faults


if __name__ == "__main__":
    sys.exit(main())
