"""How near every clip is, and how clips of several videos are compared: as they are, or beside their video's others."""

# Shapes: N clips of all videos, V videos.

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import UnknownName
from spikemba.library.scan import top
from spikemba.moments import runs

Level = Literal["plain", "centred", "standardised"]
"""plain: scores as they are. centred: what a clip has more than its video's mean. standardised: that, in standard
deviations of its video."""
LEVELS: tuple[Level, ...] = ("plain", "centred", "standardised")
PRIOR_CLIPS = 8
"""Clips of the whole library's mean and spread that a video's own are mixed with: one of a single clip has none."""


@dataclass(frozen=True)
class ClipScores:
    """Clips of videos with a score each, the clips of a video one after the other."""

    videos: NDArray[np.int64]
    """(V,) ids."""
    n_clips: NDArray[np.int64]
    """(V,)."""
    row_s: NDArray[np.float64]
    """(V,) seconds per clip."""
    scores: NDArray[np.float32]
    """(N,), the greater the nearer."""

    @property
    def first(self) -> NDArray[np.int64]:
        """(V,): the first clip of each video."""
        ends: NDArray[np.int64] = self.n_clips.cumsum()
        return ends - self.n_clips

    def of(self, i: int) -> NDArray[np.float32]:
        """(L,): the i-th video's clips."""
        first = int(self.n_clips[:i].sum())
        return self.scores[first : first + int(self.n_clips[i])]

    def levelled(self, level: Level) -> "ClipScores":
        """The same, so that clips of two videos can be compared in that way. Raises UnknownName."""
        if level not in LEVELS:
            raise UnknownName("way to compare clips of several videos", level, list(LEVELS))
        if level == "plain" or not len(self.scores):
            return self
        scores = self.scores.astype(np.float64)
        weight = self.n_clips + PRIOR_CLIPS
        mean = (self._sums(scores) + PRIOR_CLIPS * scores.mean()) / weight
        apart = scores - np.repeat(mean, self.n_clips)
        if level == "standardised":
            spread = np.sqrt((self._sums(apart**2) + PRIOR_CLIPS * scores.var()) / weight)
            apart /= np.repeat(np.maximum(spread, 1e-12), self.n_clips)
        return replace(self, scores=apart.astype(np.float32))

    def best(self) -> NDArray[np.float32]:
        """(V,): the score of each video's nearest clip."""
        if not len(self.videos):
            return np.empty(0, np.float32)
        found: NDArray[np.float32] = np.maximum.reduceat(self.scores, self.first)
        return found

    def ranked(self) -> NDArray[np.intp]:
        """(V,): places of the videos, the one with the nearest clip first."""
        best = self.best()
        return top(best, len(best))

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.add.reduceat(values, self.first)
        return sums


@dataclass(frozen=True)
class MergedHit:
    """Neighbouring clips of one video that are all near."""

    place: int
    """Of the video in the ClipScores."""
    start: int
    """First clip."""
    stop: int
    """Behind the last one."""
    score: float
    """Of the nearest of them."""


def merged_hits(found: ClipScores, least: float, max_gap: int = 1) -> list[MergedHit]:
    """Runs of clips that score at least so much, the nearest first; up to max_gap other clips do not end a run."""
    near = found.scores >= least
    hits = []
    for place in np.flatnonzero(np.logical_or.reduceat(near, found.first)) if len(found.videos) else ():
        own = found.of(int(place))
        for start, stop in runs(own >= least, max_gap):
            hits.append(MergedHit(int(place), start, stop, float(own[start:stop].max())))
    return sorted(hits, key=lambda hit: -hit.score)


def peaks(scores: NDArray[np.float32], n: int) -> list[tuple[int, int, float]]:
    """The n highest parts of one video, as (first clip, behind the last, score of the highest): around each highest
    clip that is left the neighbours that keep half of its rise above the video's mean.

    scores: (L,); clips of -inf belong to no part.
    """
    left = scores.astype(np.float64)
    found: list[tuple[int, int, float]] = []
    there = np.isfinite(left)
    mean = float(left[there].mean()) if there.any() else 0.0
    while len(found) < n and np.isfinite(left).any():
        top_clip = int(left.argmax())
        high = left >= min(left[top_clip], (left[top_clip] + mean) / 2)  # what is left may lie below the mean
        start, stop = next((a, b) for a, b in runs(high) if a <= top_clip < b)
        found.append((start, stop, float(left[top_clip])))
        left[start:stop] = -np.inf
    return found
