"""A report people look at: one picture per query, and a self-contained page with all of them and the metrics."""

# Shapes: L clips, S spike steps, H, Wd pixels.

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.grounding.lettering import lettering, on_one_line, shortened, wrapped
from pipelines.grounding.timeline import frames_over
from pipelines.reports.html_page import page, table
from spikemba.files import write_text, writing
from spikemba.grounding import Answer
from spikemba.moments import Moment, Window
from spikemba.video.sampling import VideoReader, probe

TRUE, PREDICTED, CURVE, SPIKE = "#2a9d5c", "#2f6fde", "#c2410c", "#111827"
N_FRAMES, FRAME_PX = 6, 160


@dataclass(frozen=True)
class Case:
    """One answered query."""

    name: str
    """Part of the picture's file name."""
    video: Path
    query: str
    duration_s: float
    clip_s: float
    answer: Answer
    truth: tuple[Window, ...] | None = None
    """True windows, none of a null query; None: they are not known."""
    min_exists: float | None = None
    """Where the answer's `exists` is lower, there is no such moment; None: wherever it is."""

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Best first. None where there is no such moment."""
        return self.answer.moments if self.answer.is_there(self.min_exists) else ()


def draw_case(path: Path, case: Case) -> None:
    """Draw frames of the best moment, the timeline, the saliency and the spikes as a PNG. Raises OutputError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    title = wrapped(f"“{case.query.strip()}”", 80)
    with lettering([title, on_one_line(case.video.name)]):
        figure = _figure(plt, case, title)
        with writing(path) as temporary:
            figure.savefig(temporary)
        plt.close(figure)


def _figure(plt: Any, case: Case, title: str) -> Any:
    height = 6.2 + 0.3 * title.count("\n")
    figure, rows = plt.subplots(
        4, 1, figsize=(10, height), height_ratios=(2.1, 1.1, 1.5, 1.3), layout="constrained", dpi=110
    )
    figure.suptitle(title, fontsize=14, x=0.01, ha="left", fontweight="bold")
    _draw_frames(rows[0], case)
    _draw_timeline(rows[1], case)
    _draw_saliency(rows[2], case)
    _draw_spikes(rows[3], case)
    for row in rows[1:]:
        row.set_xlim(0, case.duration_s)
        row.spines[["top", "right"]].set_visible(False)
    for row in rows[1:3]:
        row.tick_params(labelbottom=False)
    rows[3].set_xlabel(f"seconds of {shortened(case.video.name, 80)}")
    return figure


def moment_frames(video: Path, moment: Moment, n: int = N_FRAMES, size_px: int = FRAME_PX) -> list[NDArray[np.uint8]]:
    """n frames spread over a moment, (H, Wd, 3) each."""
    length = max(moment.end_s - moment.start_s, 0.2)
    return VideoReader(video).at([moment.start_s + (k + 0.5) * length / n for k in range(n)], size_px)


def _draw_frames(row: Any, case: Case) -> None:
    row.axis("off")
    if not case.moments:  # the frames of all the video, in which it is not
        images, title = frames_over(case.video, case.duration_s, N_FRAMES, FRAME_PX), case.answer.nothing
    else:
        best = case.moments[0]
        images = moment_frames(case.video, best)
        title = f"best moment: {best.start_s:.1f}–{best.end_s:.1f} s, score {best.score:.2f}"
    gap = np.full((images[0].shape[0], 6, 3), 255, np.uint8)
    strip = [part for image in images for part in (image, gap)][:-1]
    row.imshow(np.concatenate(strip, axis=1), aspect=1 / probe(case.video).pixel_aspect)
    row.set_title(title, fontsize=10, loc="left")


def _draw_timeline(row: Any, case: Case) -> None:
    for window in case.truth or ():
        row.barh(1, window.end_s - window.start_s, left=window.start_s, height=0.7, color=TRUE)
    for moment in reversed(case.moments[:5]):
        shade = 0.15 + 0.85 * min(1.0, moment.score)
        row.barh(0, moment.end_s - moment.start_s, left=moment.start_s, height=0.7, color=PREDICTED, alpha=shade)
    words = {0: None if case.moments else case.answer.nothing, 1: "no such moment" if case.truth == () else None}
    for lane, said in words.items():
        if said is not None:
            row.text(0.01 * case.duration_s, lane, said, va="center", fontsize=9, color=(PREDICTED, TRUE)[lane])
    row.set_yticks([0, 1], ["predicted", "true"])
    row.set_ylim(-0.5, 1.5)


def _draw_saliency(row: Any, case: Case) -> None:
    edges = np.arange(len(case.answer.saliency) + 1) * case.clip_s
    for window in case.truth or ():
        row.axvspan(*window, color=TRUE, alpha=0.12, lw=0)
    row.stairs(_to_its_range(case.answer.saliency), edges, color=CURVE, lw=1.6, label="saliency, scaled to its range")
    row.stairs(case.answer.foreground, edges, color=PREDICTED, lw=1.2, label="foreground")
    row.set_ylim(0, 1.02)
    row.legend(loc="lower right", bbox_to_anchor=(1, 0.97), fontsize=8, frameon=False, ncols=2)


def _to_its_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """From 0 to 1 over the video: only the order of saliencies is trained, not their level."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _draw_spikes(row: Any, case: Case) -> None:
    clip, step = np.nonzero(case.answer.spikes)
    n_steps = max(1, case.answer.spikes.shape[1])
    for proposal in case.answer.proposals:
        row.axvspan(proposal.start_s, proposal.end_s, color=CURVE, alpha=0.12, lw=0)
    row.vlines((clip + 0.5) * case.clip_s, step + 0.1, step + 0.9, color=SPIKE, lw=1.2)
    row.set_ylim(0, n_steps)
    row.set_yticks([0, n_steps])
    row.set_ylabel("spike steps\nand proposals", fontsize=8)


def write_report(
    folder: Path,
    title: str,
    intro: str,
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]],
    cases: Sequence[Case],
) -> Path:
    """Write `folder/index.html`, which needs no other file, and the pictures in it as PNGs. Raises OutputError.

    tables: heading -> (column names, rows).
    """
    parts = [f"<p>{html.escape(intro)}</p>"]
    for heading, (columns, rows) in tables.items():
        parts += [f"<h2>{html.escape(heading)}</h2>", table(columns, rows)]
    parts.append("<h2>Queries on held-out videos</h2>")
    parts.append(
        '<p class="note">Green: true windows. Blue: predicted windows, the paler the less certain. '
        "Below: saliency and foreground of each clip, then the spikes of its proposal neuron and the proposals.</p>"
    )
    for case in cases:
        drawn = folder / f"{case.name}.png"
        draw_case(drawn, case)
        picture = base64.b64encode(drawn.read_bytes()).decode()
        parts.append(f'<p><img alt="{html.escape(case.query)}" src="data:image/png;base64,{picture}"></p>')
    path = folder / "index.html"
    write_text(path, page(title, parts))
    return path
