"""How fast decoding, encoding and both together are, what a long video takes in memory, and that all ways agree.

    python benchmarks/bench_extract.py speed --videos 200 --encoder mini
    python benchmarks/bench_extract.py speed --encoder clip --weights clip=ViT-B-32.pt
    python benchmarks/bench_extract.py memory --hours 3 --encoder mini
    python benchmarks/bench_extract.py ways --videos 200 --seconds 5

`speed` gives frames of the videos per second for decoding with sampling and scaling alone, for encoding the same clips
from memory alone, and for `extract`; one run, one process, the same threads. `extract` should reach 0.9 of the slower
of the two; where both use all processors that cannot be, and the bound of doing one after the other is printed beside.
`extract` also loads the encoder's weights; `once_loaded` leaves out the seconds that loading took before.
`ways` extracts the same videos by one process, by two shards at once, on a local Ray of two workers, and by a process
that is killed in the middle and started again, and compares every number.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import Record, add_record

from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from spikemba.encoders import VideoEncoder
from spikemba.encoders.base import BATCH_CLIPS, EncoderOptions, clip_rule
from spikemba.encoding.encoders_here import load_encoders_here
from spikemba.video.clips import Clip, ClipCutter
from spikemba.video.files import write_video
from spikemba.video.sampling import Image, VideoReader

CLIP_S = 2.0


def draw(seconds: float, fps: int, size_px: int, seed: int) -> Iterator[Image]:
    """A square that wanders over noise, without end when `seconds` is infinite."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 60, (size_px, size_px, 3), dtype=np.uint8)
    side = size_px // 4
    for k in range(round(seconds * fps)):
        image = ground.copy()
        x, y = (int((size_px - side) * (0.5 + 0.5 * np.sin(k / fps * speed))) for speed in (0.7, 1.1))
        image[y : y + side, x : x + side] = (200, k % 255, 90)
        yield image


def speed(arguments: argparse.Namespace, record: Record) -> None:
    """Print one JSON line."""
    weights = dict(pair.split("=", 1) for pair in arguments.weights)
    run = RunOptions(
        options=EncoderOptions(precision=arguments.precision), weights={k: Path(v) for k, v in weights.items()}
    )
    start = time.perf_counter()
    encoders = load_encoders_here(arguments.encoder, run.options, run.weights)
    loading = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        for i in range(arguments.videos):
            frames = draw(arguments.seconds, arguments.fps, arguments.size, i)
            write_video(videos / f"v{i:04d}.mp4", frames, arguments.fps)
        n_frames = round(arguments.videos * arguments.seconds * arguments.fps)
        paths = sorted(videos.iterdir())
        for encoder in encoders:  # the first call pays for set-up
            encoder.encode_clips(next(clips_of(paths[:1], [encoder]))[1][None].repeat(2, 0))
        start = time.perf_counter()
        clips = list(clips_of(paths, encoders))
        decoding = time.perf_counter() - start
        start = time.perf_counter()
        encode(clips, encoders)
        encoding = time.perf_counter() - start
        start = time.perf_counter()
        extract(paths, arguments.encoder, Path(folder) / "features", clip_s=CLIP_S, run=run)
        both = time.perf_counter() - start
    row = {
        "encoder": arguments.encoder,
        "videos": arguments.videos,
        "frames": n_frames,
        "decode_fps": round(n_frames / decoding, 1),
        "encode_fps": round(n_frames / encoding, 1),
        "extract_fps": round(n_frames / both, 1),
        "extract_over_slower": round(max(decoding, encoding) / both, 3),
        "loading_s": round(loading, 1),
        "extract_over_slower_once_loaded": round(max(decoding, encoding) / (both - loading), 3),
        "one_after_the_other_fps": round(n_frames / (decoding + encoding), 1),
    }
    print(json.dumps(row))
    shown = ("decode_fps", "encode_fps", "extract_fps", "one_after_the_other_fps", "loading_s")
    shares = ("extract_over_slower", "extract_over_slower_once_loaded")
    case = f"{arguments.encoder}: videos of {arguments.seconds:g} s, {arguments.size} px"
    record.speed(case, {key: float(str(row[key])) for key in (*shown, *shares)})


def clips_of(paths: Sequence[Path], encoders: Sequence[VideoEncoder]) -> Iterator[tuple[int, Clip]]:
    """(encoder, clip) for every clip, decoded one file after the other."""
    for path in paths:
        reader = VideoReader(path)
        rules = [clip_rule(encoder, CLIP_S, reader.info) for encoder in encoders]
        cutters = [ClipCutter(rule.n_frames) for rule in rules]
        for i, frame in reader.frames_for([rule.frames for rule in rules]):
            yield from ((i, rules[i].arrange(images)) for images in cutters[i].add(frame.image))
        for i, cutter in enumerate(cutters):
            yield from ((i, rules[i].arrange(images)) for images in cutter.finish())


def encode(clips: Sequence[tuple[int, Clip]], encoders: Sequence[VideoEncoder]) -> None:
    """Encode clips from memory in full batches."""
    for i, encoder in enumerate(encoders):
        own = [clip for j, clip in clips if j == i]
        size = int(getattr(encoder, "batch_clips", BATCH_CLIPS))
        for start in range(0, len(own), size):
            encoder.encode_clips(np.stack(own[start : start + size]))


def memory(arguments: argparse.Namespace, record: Record) -> None:
    """Print one JSON line: the largest memory of a process that extracts, and of one that grounds, the long video."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mp4"
        write_video(
            video, draw(3600 * arguments.hours, arguments.fps, arguments.size, 0), arguments.fps, preset="ultrafast"
        )
        how = ["--encoder", arguments.encoder, *(part for pair in arguments.weights for part in ("--weights", pair))]
        out = str(Path(folder) / "features")
        row = {
            "encoder": arguments.encoder,
            "hours": arguments.hours,
            "extract": child("extract", str(video), *how, "--out", out),
            "ground": child("ground", str(video), "a red circle enters", *how, "--no-cache"),
        }
        if arguments.checkpoint:
            row["ground_trained"] = child(
                "ground", str(video), "a red circle enters", "--checkpoint", arguments.checkpoint, "--no-cache"
            )
    print(json.dumps(row))
    for what in ("extract", "ground", "ground_trained"):
        if what in row:
            record.speed(f"{what}, a video of {arguments.hours:g} h, {arguments.encoder}", row[what])


def ways(arguments: argparse.Namespace, record: Record) -> None:
    """Print one JSON line: per way its seconds, and how many videos have the features of the first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(arguments.videos):
            frames = draw(arguments.seconds, arguments.fps, arguments.size, i)
            write_video(folder / "videos" / f"v{i:04d}.mp4", frames, arguments.fps)
        runs = {
            "one process": lambda out: [started(folder, out).wait()],
            "two shards": lambda out: [p.wait() for p in [started(folder, out, "--shard", f"{i}/2") for i in (1, 2)]],
            "ray": lambda out: [started(folder, out, "--engine", "ray").wait()],
            "killed": lambda out: [killed(folder, out, arguments.videos // 2), started(folder, out).wait()],
        }
        row: dict[str, object] = {"videos": arguments.videos}
        expected: dict[str, NDArray[np.float32]] = {}
        for way, run in runs.items():
            start = time.perf_counter()
            codes = run(folder / way)
            seconds = time.perf_counter() - start
            found = {path.stem: np.load(path)["features"] for path in (folder / way / "mini").glob("v*.npz")}
            expected = expected or found
            equal = sum(name in found and np.array_equal(found[name], expected[name]) for name in expected)
            row[way] = {"seconds": round(seconds, 1), "exit": codes, "videos": len(found), "equal": equal}
            record.quality(f"extract, {arguments.videos} videos: {way}", {"videos": len(found), "equal": equal})
            record.speed(f"extract, {arguments.videos} videos: {way}", {"seconds": seconds})
    print(json.dumps(row))


def started(folder: Path, out: Path, *how: str) -> subprocess.Popen[bytes]:
    """`spikemba extract` of the folder's videos, in a process of its own."""
    code = "from spikemba_cli.main import main; main()"
    command = [sys.executable, "-c", code, "extract", str(folder / "videos"), "--encoder", "mini", "--out", str(out)]
    return subprocess.Popen([*command, *how], stderr=subprocess.DEVNULL)


def killed(folder: Path, out: Path, after: int) -> int:
    """Kill an extraction with -9 when `after` videos are stored; its exit code."""
    process = started(folder, out)
    while process.poll() is None and len(list(out.glob("mini/v*.npz"))) < after:
        time.sleep(0.01)
    process.kill()
    return process.wait()


def child(*command: str) -> dict[str, float]:
    """Run a command of spikemba; its seconds and its largest resident memory in MB."""
    code = (
        "import resource, sys\nfrom spikemba_cli.main import main\ntry:\n    main()\nfinally:\n"
        "    print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr)
    kilobytes = int(next(line for line in done.stderr.splitlines() if line.startswith("PEAK")).split()[1])
    return {"seconds": round(seconds, 1), "peak_mb": round(kilobytes / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in {"speed": speed, "memory": memory, "ways": ways}.items():
        part = commands.add_parser(name)
        part.set_defaults(run=run)
        add_record(part)
        part.add_argument("--encoder", default="mini")
        part.add_argument("--weights", nargs="*", default=[], help="ENCODER=FILE ...")
        part.add_argument("--precision", default="float32")
        part.add_argument("--videos", type=int, default=200)
        part.add_argument("--seconds", type=float, default=10)
        part.add_argument("--hours", type=float, default=3)
        part.add_argument("--fps", type=int, default=25 if name == "speed" else 8)
        part.add_argument("--size", type=int, default=256 if name == "speed" else 128)
        part.add_argument("--checkpoint", help="memory: ground with this one too")
    arguments = parser.parse_args()
    record = Record(arguments)
    arguments.run(arguments, record)
    record.keep()


if __name__ == "__main__":
    main()
