"""From what a network says to probabilities: fitted on questions whose answers are known, never on those of a test.

Platt's scaling (1999) is a logistic regression on the raw numbers, here with a weak pull to 0 so that separable data
have a fit too; isotonic regression then bends it to any rising curve, for which it wants some hundred questions.
"""

# Shapes: N answers, K raw numbers of each, P points of a curve.

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikemba.config import Config

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Method = Literal["platt", "isotonic"]


class Scaling(Config):
    """Raw numbers -> a probability."""

    scale: tuple[float, ...]
    """A factor per raw number, (K,)."""
    offset: float
    """Their sum and this are the logit."""
    curve: tuple[tuple[float, float], ...] = ()
    """Logit -> probability at P points, rising, straight between them; empty: the logit's own probability."""

    def probability(self, raw: NDArray[np.floating]) -> Floats:
        """raw: (N, K) -> (N,) in [0, 1]."""
        logit = raw.astype(np.float64) @ np.asarray(self.scale) + self.offset
        if self.curve:
            x, y = np.asarray(self.curve).T
            bent: Floats = np.interp(logit, x, y)
            return bent
        straight: Floats = 0.5 * (1 + np.tanh(logit / 2))  # the sigmoid, without overflow
        return straight


def fitted(raw: NDArray[np.floating], right: Bools, method: Method = "platt") -> Scaling:
    """The scaling under which the given answers are likeliest. raw: (N, K).  right: (N,), of both kinds.

    Raises ValueError when all answers are of one kind or all numbers alike, or a number is none.
    """
    from scipy.optimize import isotonic_regression, minimize

    raw = np.asarray(raw, np.float64).reshape(len(right), -1)
    if not np.isfinite(raw).all():
        raise ValueError("a score to calibrate is not a finite number")
    if right.all() or not right.any():
        raise ValueError(f"all {len(right)} answers are {'right' if len(right) and right.all() else 'wrong'}")
    alike = np.ptp(raw, 0) == 0
    if alike.all():
        raise ValueError(f"all {len(right)} answers have the same score")
    centre, spread = np.where(alike, raw[0], raw.mean(0)), np.where(alike, 1, raw.std(0))
    inputs = np.column_stack(((raw - centre) / spread, np.ones(len(raw))))
    sign = np.where(right, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = sign * (inputs @ weights)
        pulled = np.append(weights[:-1], 0.0)
        gradient = -(inputs * (sign / (1 + np.exp(np.clip(margin, -500, 500))))[:, None]).sum(0) + PULL * pulled
        return float(np.logaddexp(0, -margin).sum() + PULL / 2 * pulled @ pulled), gradient

    weights = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B").x
    scale = weights[:-1] / spread
    straight = Scaling(scale=tuple(scale.tolist()), offset=float(weights[-1] - centre @ scale))
    if method == "platt":
        return straight
    x, place, counts = np.unique(raw @ scale + straight.offset, return_inverse=True, return_counts=True)
    y = isotonic_regression(np.bincount(place, right) / counts, weights=counts).x
    return straight.model_copy(update={"curve": _corners(x, y, counts)})


PULL = 0.01
"""Of the pull to 0, on factors of numbers scaled to a spread of 1."""


def _corners(x: Floats, y: Floats, counts: NDArray[np.intp]) -> tuple[tuple[float, float], ...]:
    """The curve through the middle of each step of a staircase. x: (P,), rising.  counts: answers at each."""
    steps = np.split(np.arange(len(x)), np.flatnonzero(np.diff(y) > 0) + 1)
    return tuple((float(np.average(x[step], weights=counts[step])), float(y[step[0]])) for step in steps)


class Calibration(Config):
    """What makes probabilities of a checkpoint's answers, and where the line is drawn."""

    existence: Scaling | None = None
    """Of the existence logit: that the video shows what is asked. None: the network tells none."""
    score: Scaling | None = None
    """Of the logit of a moment's score, and of being the first: that the moment overlaps a true one by half (IoU).
    Where existence is calibrated, that is given that there is one, and the score is the product of both."""
    min_exists: float = 0.5
    """Below this probability the answer is that there is no such moment."""
