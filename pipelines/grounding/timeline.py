"""A picture of the answers about one video: its frames, and below them, per query, saliency and moments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikemba.files import utf8_text, writing
from spikemba.grounder.result import Grounding
from spikemba.video.sampling import FrameRule, Image, VideoReader

N_FRAMES = 10
MOMENT, CURVE = "#2f6fde", "#c2410c"
SUFFIXES = (".png", ".svg", ".pdf", ".jpg")


def draw_timeline(path: Path, found: Sequence[Grounding]) -> None:
    """Draw the answers about one video. Raises OutputError, VideoError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    first = found[0]
    heights = [1.1, *[1.0] * len(found)]
    figure, rows = plt.subplots(
        len(heights), 1, figsize=(12, 1.1 + 1.3 * len(heights)), height_ratios=heights, layout="constrained", dpi=110
    )
    _draw_frames(rows[0], first.video, first.duration_s)
    for row, one in zip(rows[1:], found, strict=True):
        _draw_answer(row, one)
    for row in rows[1:-1]:
        row.tick_params(labelbottom=False)
    rows[-1].set_xlabel(f"seconds of {utf8_text(first.video.name)}")
    with writing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png")
    plt.close(figure)


def frames_over(video: Path, duration_s: float, n: int = N_FRAMES, size_px: int = 120) -> list[Image]:
    """n frames spread over a video; each is sought, so that a long file is not read whole."""
    reader = VideoReader(video)
    rule = FrameRule(fps=n / max(duration_s, 1e-3), size_px=size_px)
    found = []
    for k in range(n):
        part = reader.frames(rule, start_s=k * duration_s / n, end_s=(k + 0.5) * duration_s / n)
        frame = next(part, None)
        found += [frame.image] if frame is not None else []
    return found


def _draw_frames(row: Any, video: Path, duration_s: float) -> None:
    row.axis("off")
    images = frames_over(video, duration_s)
    if images:
        row.imshow(np.concatenate(images, axis=1), extent=(0, duration_s, 0, 1), aspect="auto")
    row.set_xlim(0, duration_s)


def _draw_answer(row: Any, one: Grounding) -> None:
    edges = np.minimum(np.arange(len(one.saliency) + 1) * one.clip_s, one.duration_s)
    row.stairs(one.saliency, edges, color=CURVE, lw=1.4)
    for rank, moment in enumerate(one.moments, start=1):
        row.axvspan(moment.start_s, moment.end_s, color=MOMENT, alpha=0.12 + 0.4 * min(1.0, moment.score), lw=0)
        row.text(moment.start_s, 1.0, f" {rank}", va="top", fontsize=8)
    row.set_xlim(0, one.duration_s)
    row.set_ylim(0, 1.02)
    row.set_title(f"“{one.query}”", fontsize=10, loc="left")
    row.spines[["top", "right"]].set_visible(False)
