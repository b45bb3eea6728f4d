"""A picture of what probabilities are worth: how often what was said came true, before calibration and after."""

# Shapes: N bins.

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.tasks.grounding.calibrate import Said
from spikemba.files import writing
from spikemba.metrics.existence import N_BINS, reliability

BEFORE, AFTER = "#9ca3af", "#2f6fde"
DRAWN = ("existence", "score of the first")
"""Keys of `Fitted.said` that a person wants to see."""


def draw_reliability(path: Path, said: Mapping[str, Said]) -> None:
    """Draw, for each name, the share that came true by what was said, and how many were said so. Raises OutputError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, places = plt.subplots(
        2, len(said), figsize=(4.6 * len(said), 5.6), height_ratios=(3, 1), sharex=True, squeeze=False, dpi=110,
        layout="constrained",
    )  # fmt: skip
    for (curve, bars), (name, one) in zip(places.T, said.items(), strict=True):
        curve.plot([0, 1], [0, 1], color="#d1d5db", lw=1, zorder=0)
        _draw_one(curve, bars, ("before", BEFORE, 0), one.before, one)
        _draw_one(curve, bars, ("after", AFTER, 1), one.after, one)
        curve.set_title(name, fontsize=11, loc="left", pad=20)
        curve.set_ylim(0, 1)
        curve.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=2, fontsize=8, frameon=False)
        bars.set_xlim(0, 1)
        bars.set_xlabel("probability that was said", fontsize=9)
        for row in (curve, bars):
            row.tick_params(labelsize=8)
            row.spines[["top", "right"]].set_visible(False)
    places[0, 0].set_ylabel("share that came true", fontsize=9)
    places[1, 0].set_ylabel("answers", fontsize=9)
    with writing(path) as temporary:
        figure.savefig(temporary, format="png")
    plt.close(figure)


def _draw_one(
    curve: Any, bars: Any, look: tuple[str, str, int], probabilities: NDArray[np.float64], said: Said
) -> None:
    """A curve through the bins that hold answers, and a bar for each below it. look: name, colour, place of the bar."""
    name, color, k = look
    bins = reliability(probabilities, said.right)
    if bins is None:
        return
    held = bins.counts > 0
    counts = bins.counts[held]
    shares = bins.n_right[held] / counts
    label = f"{name}, off by {said.error(probabilities):.1f} %"
    told = bins.summed[held] / counts
    curve.plot(told, shares, color=color, lw=1.2, alpha=0.6, clip_on=False)
    dots = 6 + 90 * np.sqrt(counts / counts.sum())  # few answers, a small dot
    curve.scatter(told, shares, dots, color=color, label=label, clip_on=False, zorder=3)
    places = (np.arange(N_BINS) + 0.28 + 0.44 * k) / N_BINS
    bars.bar(places, bins.counts, width=0.42 / N_BINS, color=color)
