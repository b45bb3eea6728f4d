"""Draws the motions corpus into a folder: real H.264 files in a folder per class, and a list per split."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from pydantic import Field, PositiveInt

from pipelines.preparation.making import LARGEST_SEED, SPLIT_SEEDS, begin, draw_all
from spikemba.config import Config
from spikemba.datasets.labelled.videos import LabelledVideo, write_labelled_videos
from spikemba.datasets.synthetic.motion_drawing import render
from spikemba.datasets.synthetic.motions import FPS, N_FRAMES, SIZE_PX, Look, MotionSet, motion_labels, storyboard
from spikemba.files import write_text
from spikemba.progress import Report, silent
from spikemba.reading.lines import read_lines
from spikemba.video.files import write_video

SPLITS = ("train", "val", "test")


class MotionsConfig(Config):
    """Size of the corpus."""

    which: MotionSet = "moves"
    """`moves` has twelve classes, `orders` eight."""
    look: Look = "dark"
    """Of the stage."""
    train: int = Field(60, ge=0, le=SPLIT_SEEDS)
    """Training videos per class."""
    val: int = Field(10, ge=0, le=SPLIT_SEEDS)
    """Validation videos per class."""
    test: int = Field(20, ge=0, le=SPLIT_SEEDS)
    """Test videos per class."""
    n_frames: PositiveInt = N_FRAMES
    """Frames of a video; even."""
    size_px: PositiveInt = SIZE_PX
    """Side of the picture."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Another seed draws another corpus."""


def draw_motions(out: Path, config: MotionsConfig, report: Report = silent) -> dict[str, int]:
    """Write `out/videos/CLASS/*.mp4`, `out/{train,val,test}.csv` and `out/labels.txt`.

    Every split has each of its seeds in all classes, so that none shows other shapes, stages or starts than another.
    Videos that are there already are kept. Returns the videos per split. Raises OutputError when
    `out` cannot be written or holds a corpus made otherwise.
    """
    labels = motion_labels(config.which)
    seeds = {split: _seeds(config, split) for split in SPLITS}
    videos = {
        split: [_video(out, config, label, seed) for seed, label in product(of_split, labels)]
        for split, of_split in seeds.items()
    }
    begin(out, "motions", config, _others(out, labels, videos))
    wanted = [(config, label, seed, out) for split in SPLITS for seed, label in product(seeds[split], labels)]
    draw_all(_draw, wanted, report, at_once=32)
    write_text(out / "labels.txt", "\n".join(labels) + "\n")
    for split, of_split in videos.items():
        if of_split:
            write_labelled_videos(out / f"{split}.csv", of_split, out)
    return {split: len(of_split) for split, of_split in videos.items() if of_split}


def _others(out: Path, labels: Sequence[str], videos: Mapping[str, Sequence[LabelledVideo]]) -> list[str]:
    """Lists in `out` that hold other classes or videos."""
    expected = {"labels.txt": set(labels)}
    expected |= {f"{split}.csv": {one.path.stem for one in of_split} for split, of_split in videos.items() if of_split}
    files = {name: out / name for name in expected if (out / name).is_file()}
    found = {name: {Path(line.split(",")[0]).stem for line in read_lines(path)} for name, path in files.items()}
    return [name for name, stems in found.items() if stems - {"video", ""} != expected[name]]


def _seeds(config: MotionsConfig, split: str) -> range:
    first = (config.seed * len(SPLITS) + SPLITS.index(split)) * SPLIT_SEEDS
    return range(first, first + int(getattr(config, split)))


def _video(out: Path, config: MotionsConfig, label: str, seed: int) -> LabelledVideo:
    path = out / "videos" / label / f"{config.which}_{config.look}_{label}_{seed:06d}.mp4"
    return LabelledVideo(path, label, group=str(seed))


def _draw(config: MotionsConfig, label: str, seed: int, out: Path) -> None:
    path = _video(out, config, label, seed).path
    if path.exists():
        return
    board = storyboard(config.which, label, seed, config.look)
    # Each frame for itself: a trace of the frame before would give the direction away.
    write_video(path, render(board, config.n_frames, config.size_px), FPS, crf=15, intra=True)
