"""A picture of the answers about one video: its frames, and below them, per query, saliency and moments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.grounding.lettering import lettering, on_one_line, shortened, wrapped
from spikemba.files import writing
from spikemba.grounder.result import Grounding
from spikemba.moments import Moment
from spikemba.reading.amounts import clock
from spikemba.video.sampling import Image, VideoReader, probe

N_FRAMES = 10
MOMENT, CURVE = "#2f6fde", "#c2410c"
ON_WHITE = {"bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.85}}
"""Of words that stand over a curve."""
LONG_S = 600
"""From this length on times are read as hours, minutes and seconds."""

# Inches, from the left and from the top, unless said otherwise.
_WIDTH, _LEFT, _RIGHT = 12.0, 0.65, 0.2
_STRIP, _ROW, _GAP, _LINE, _FOOT = 1.1, 0.85, 0.22, 0.17, 0.6
_COLUMNS = 135  # letters of a sentence beside each other
_DPI, _MOST_PX = 110, 60_000  # Agg draws no more than 65 536
_LANES, _LANE = 6, 0.17  # ranks that stand below each other, and how much of the row each takes


def draw_timeline(path: Path, found: Sequence[Grounding]) -> None:
    """Draw the answers about one video. Raises OutputError, VideoError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    first = found[0]
    titles = [wrapped(f"“{one.query.strip()}”", _COLUMNS) for one in found]
    images, pixel_aspect = _strip(first.video, first.duration_s)
    tops = [_GAP / 2 + _STRIP]
    for title in titles:
        tops.append(tops[-1] + _GAP + _LINE * (title.count("\n") + 1) + _ROW)
    height = tops[-1] + _FOOT
    with lettering([*titles, on_one_line(first.video.name)]):
        figure = plt.figure(figsize=(_WIDTH, height), dpi=min(_DPI, _MOST_PX / height))
        _draw_frames(figure, images, pixel_aspect, height)
        for one, title, bottom in zip(found, titles, tops[1:], strict=True):
            row = figure.add_axes(_place(_LEFT, bottom - _ROW, _WIDTH - _LEFT - _RIGHT, _ROW, height))
            _draw_answer(row, one, title)
            row.tick_params(labelbottom=bottom == tops[-1])
        _label_times(row, first.duration_s, first.video.name)
        with writing(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip(".").lower() or "png", dpi=figure.dpi)
        plt.close(figure)


def frames_over(video: Path, duration_s: float, n: int = N_FRAMES, size_px: int = 120) -> list[Image]:
    """n frames spread over a video, each from the middle of its part."""
    return VideoReader(video).stills([(k + 0.5) * duration_s / n for k in range(n)], size_px)


def _strip(video: Path, duration_s: float) -> tuple[list[Image], float]:
    """As many frames as fill the width, and the width of their pixels over the height."""
    info = probe(video)
    shape = info.width * info.pixel_aspect / info.height
    n = max(3, min(2 * N_FRAMES, round((_WIDTH - _LEFT - _RIGHT) / (_STRIP * shape))))
    return frames_over(video, duration_s, n), info.pixel_aspect


def _place(left: float, top: float, width: float, height: float, whole: float) -> tuple[float, float, float, float]:
    """Inches as matplotlib wants them: parts of the figure, from its bottom."""
    return left / _WIDTH, 1 - (top + height) / whole, width / _WIDTH, height / whole


def _draw_frames(figure: Any, images: Sequence[Image], pixel_aspect: float, height: float) -> None:
    """Each above the middle of its part of the time, in its own shape."""
    width = (_WIDTH - _LEFT - _RIGHT) / len(images)
    for k, image in enumerate(images):
        place = figure.add_axes(_place(_LEFT + k * width, _GAP / 2, 0.98 * width, _STRIP, height))
        place.imshow(image, aspect=1 / pixel_aspect)
        place.axis("off")


def _draw_answer(row: Any, one: Grounding, title: str) -> None:
    edges = np.minimum(np.arange(len(one.saliency) + 1) * one.clip_s, one.duration_s)
    row.stairs(one.saliency, edges, color=CURVE, lw=1.4)
    for moment in one.moments:
        row.axvspan(moment.start_s, moment.end_s, color=MOMENT, alpha=0.12 + 0.4 * min(1.0, moment.score), lw=0)
    for rank, lane, moment in _in_lanes(one.moments, one.duration_s):
        row.text(moment.start_s, 1.0 - lane * _LANE, f" {rank}", va="top", fontsize=8, clip_on=True)
    if not one.moments:
        row.text(0.5, 0.5, one.nothing, ha="center", va="center", fontsize=11, transform=row.transAxes, **ON_WHITE)
    row.set_xlim(0, one.duration_s)
    row.set_ylim(0, 1.02)
    row.set_ylabel("saliency", fontsize=8)
    row.tick_params(labelsize=8)
    row.set_title(title, fontsize=10, loc="left", pad=3)
    row.spines[["top", "right"]].set_visible(False)


def _in_lanes(moments: Sequence[Moment], duration_s: float) -> list[tuple[int, int, Moment]]:
    """(rank, line, moment) such that no two ranks stand over each other; where there is no room the worst have none."""
    placed: list[tuple[int, int, Moment]] = []
    for rank, moment in enumerate(moments, start=1):
        wide = 0.008 * duration_s * (1 + len(str(rank)))
        taken = {lane for _, lane, other in placed if abs(other.start_s - moment.start_s) < wide}
        free = next((lane for lane in range(_LANES) if lane not in taken), None)
        if free is not None:
            placed.append((rank, free, moment))
    return placed


def _label_times(row: Any, duration_s: float, name: str) -> None:
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    unit = "seconds"
    if duration_s >= LONG_S:
        unit = "h:mm:ss"
        steps = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
        step = next((step for step in steps if duration_s / step <= 12), 86400)
        row.xaxis.set_major_locator(MultipleLocator(step))
        row.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
    row.set_xlabel(f"{unit} of {shortened(name, 100)}")
