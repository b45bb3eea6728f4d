"""Small footage that a network learns by heart in a second or two, to see what a correction changes in it."""

from pathlib import Path

import numpy as np

from pipelines.extraction.extract import extract
from pipelines.preparation.prepare import prepare_custom
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from spikemba.video.files import write_video

QUERY = "a red circle enters"
OLD, NEW = (2.0, 6.0), (12.0, 18.0)
"""Where the table says that it is, and where it really is."""
_LEARNT = (
    "model.width=32",
    "model.n_blocks=1",
    "model.slots.n_slots=2",
    "model.spiking_saliency.n_spike_steps=2",
    "model.spiking_saliency.n_heads=2",
    "train.epochs=20",
    "train.batch_size=1",
    "train.learning_rate=5e-3",
)


def film(folder: Path) -> None:
    """Three videos of 20 s, red and then blue for a while, and a table that gives the red part of each."""
    (folder / "footage").mkdir()
    for i in range(3):
        images = np.full((80, 32, 32, 3), 30 * i, np.uint8)
        for (start_s, end_s), colour in ((OLD, 0), (NEW, 2)):
            images[int(4 * start_s) : int(4 * end_s), ..., colour] = 255
        write_video(folder / "footage" / f"v{i}.mp4", images, fps=4)
    rows = [f"v{i}.mp4,{OLD[0]},{OLD[1]},{QUERY}" for i in range(3)]
    (folder / "moments.csv").write_text("\n".join(["video,start,end,query", *rows]) + "\n")


def trained(folder: Path, *sources: Path, name: str) -> Path:
    """A run folder, trained on what the sources say of the footage."""
    out = folder / "data"
    prepared = prepare_custom(sources, out, videos=folder / "footage", encoder="mini", val_share=0)
    extract([folder / "footage"], "mini", out / "features", queries=[out / "train.jsonl"])
    train(load_config(prepared.config, list(_LEARNT)), folder / name)
    return folder / name


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """IoU of two windows."""
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / (a[1] - a[0] + b[1] - b[0] - shared)
