"""How sure a mean is, and a difference of means: videos drawn with replacement, or swapped where they are few."""

# Shapes: Q scored items (queries, or video-annotator pairs), V videos of a group, R resamples.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikemba.metrics.errors import NothingToScore

Floats = NDArray[np.float64]

FEW = 16
"""Units that differ up to which all ways of changing sides are counted: 2^16."""

ENOUGH = 6
"""Units without which no difference can be told at 95 %: even if all of five are better, p is 2 / 2^5 = 0.0625."""

_CHUNK = 500  # resamples drawn at once: bounds the memory at 500 times the number of videos

_ROUNDING = 1e-12  # far below what one query can change


@dataclass(frozen=True)
class Sample:
    """What one metric gave each item."""

    values: Floats
    """(Q,) in [0, 1]."""
    units: tuple[str, ...]
    """Q names; items of one unit (the queries of a video) are drawn together, because they are not independent."""
    groups: tuple[str, ...]
    """Q names; the metric is the mean over the groups (domains) of the mean over their items."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it would lie with other videos; None where one video, or a few that agree, cannot say it."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """Two sets of predictions on the same items, b beside a."""

    a: float
    b: float
    difference: Interval
    """b - a."""
    p: float
    """Two-sided. Where at most FEW units differ: the exact share of the 2^n ways of exchanging a and b in each in which
    the difference is as large, so never below 2 / 2^n. Otherwise twice the share of resamples in which its sign turns;
    at least 2 / (R + 1)."""
    better: int
    """Items on which b is better."""
    worse: int


def interval(sample: Sample, n: int = 2000, seed: int = 0, level: float = 0.95) -> Interval:
    """The mean with its percentile interval over n resamples. Raises NothingToScore without items."""
    return _interval(sample, resampled_means(sample, n, seed), level)


def compare(a: Sample, b: Sample, n: int = 2000, seed: int = 0, level: float = 0.95) -> Comparison:
    """b against a, item by item. Raises ValueError when the two are about different items, NothingToScore without any.

    Source of the exact p: Fisher's sign test of differences, over units (The Design of Experiments, 1935, section 21).
    """
    if (a.units, a.groups) != (b.units, b.groups):
        raise ValueError("the two samples are about different items")
    gain = Sample(b.values - a.values, a.units, a.groups)
    means = resampled_means(gain, n, seed)
    shares = _shares(gain)
    turned = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Comparison(
        a=_mean(a),
        b=_mean(b),
        difference=_interval(gain, means, level),
        p=_exact_p(shares) if len(shares) <= FEW else min(1.0, 2 * (turned + 1) / (n + 1)),
        better=int((gain.values > 0).sum()),
        worse=int((gain.values < 0).sum()),
    )


def n_units(sample: Sample) -> int:
    """How many units there are in all groups."""
    return len(set(zip(sample.groups, sample.units, strict=True)))


def _interval(sample: Sample, means: Floats, level: float) -> Interval:
    if n_units(sample) == len(_names(sample)):  # a group of one is drawn the same each time
        return Interval(_mean(sample), None, None)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    if low == high and n_units(sample) < ENOUGH:  # that two agree does not make them certain
        return Interval(_mean(sample), None, None)
    return Interval(_mean(sample), float(low), float(high))


def _shares(gain: Sample) -> Floats:
    """What each unit that differs adds to the mean difference."""
    groups = [_sums(gain, name) for name in _names(gain)]
    shares = np.concatenate([sums / (counts.sum() * len(groups)) for sums, counts in groups])
    differ: Floats = shares[np.abs(shares) > _ROUNDING]
    return differ


def _exact_p(shares: Floats) -> float:
    """The share of all changes of sides after which the sum of (V,) shares is at least as large, either way."""
    sums = np.zeros(1)
    for share in shares:
        sums = np.concatenate((sums + share, sums - share))
    return float((np.abs(sums) >= abs(shares.sum()) - _ROUNDING).mean())


def resampled_means(sample: Sample, n: int, seed: int) -> Floats:
    """(n,) means, each over as many units as there are, drawn with replacement within their group."""
    rng = np.random.default_rng(seed)
    groups = [_sums(sample, name) for name in _names(sample)]
    means = np.empty(n)
    for start in range(0, n, _CHUNK):
        size = min(_CHUNK, n - start)
        of_groups = [_draw(rng, sums, counts, size) for sums, counts in groups]
        means[start : start + size] = np.mean(of_groups, axis=0)
    return means


def _draw(rng: np.random.Generator, sums: Floats, counts: Floats, n: int) -> Floats:
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n).astype(np.float64)  # (n, V)
    means: Floats = (times @ sums) / (times @ counts)
    return means


def _sums(sample: Sample, group: str) -> tuple[Floats, Floats]:
    """Sum and number of the values of each unit of a group."""
    chosen = [i for i, name in enumerate(sample.groups) if name == group]
    _, unit = np.unique([sample.units[i] for i in chosen], return_inverse=True)
    counts = np.bincount(unit).astype(np.float64)
    return np.bincount(unit, sample.values[chosen]).astype(np.float64), counts


def _mean(sample: Sample) -> float:
    groups = np.asarray(sample.groups)
    return float(np.mean([sample.values[groups == name].mean() for name in _names(sample)]))


def _names(sample: Sample) -> Sequence[str]:
    if not sample.groups:
        raise NothingToScore("no item has a score")
    return sorted(set(sample.groups))
