"""A reader of claims that knows the grammar, the codes and what sentences mean, and sees the noisy features alone."""

# Shapes: L clips, C events that could be, A loudnesses.

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.synthetic.claim_parts import Claim
from spikemba.datasets.synthetic.outshone import LOUD, QUIET
from spikemba.datasets.synthetic.planted import DIM, Planted
from spikemba.datasets.synthetic.scripts import scripts
from spikemba.datasets.synthetic.shapes import ACTIONS, COLOURS, FORMS, Description

LONGEST = 7
"""Clips of the longest event."""
EVENTS = [Description(*parts) for parts in product(COLOURS, FORMS, ACTIONS)]
LOUDNESSES = {"outshone": (*QUIET, *np.linspace(*LOUD, 3)), "far": (1.0,), "scripts": (1.0,)}


@dataclass(frozen=True)
class Seen:
    """An event that was read out of features: clips [start, stop)."""

    what: Description
    start: int
    stop: int


class Oracle:
    """Reads the most probable row of events out of a video, then does what the sentence says."""

    def __init__(self, grammar: str, encoder: Planted) -> None:
        self.codes = encoder.events.reshape(-1, DIM)
        self.loudnesses = np.array(LOUDNESSES[grammar])
        self.variance = max(encoder.noise, 0.1) ** 2 / DIM
        self.price = np.log(len(EVENTS) * len(self.loudnesses) * LONGEST)
        """What an event costs in nats, so that noise is none."""

    def read(self, clips: NDArray[np.float32]) -> list[Seen]:
        """The most probable events, by time. clips: (L, F)."""
        n = len(clips)
        sums = np.concatenate((np.zeros((1, len(self.codes))), np.cumsum(clips @ self.codes.T, axis=0)))  # (L + 1, C)
        best = np.zeros(n + 1)
        back: list[tuple[int, int] | None] = [None] * (n + 1)
        for stop in range(1, n + 1):
            best[stop] = best[stop - 1]
            for start in range(max(0, stop - LONGEST), stop):
                gains = self._gains(sums[stop] - sums[start], stop - start)
                which = int(gains.argmax())
                if best[start] + gains[which] > best[stop]:
                    best[stop], back[stop] = best[start] + gains[which], (start, which)
        found, stop = [], n
        while stop > 0:
            step = back[stop]
            if step is None:
                stop -= 1
            else:
                start, which = step
                found.append(Seen(EVENTS[which], start, stop))
                stop = start
        return found[::-1]

    def _gains(self, product: NDArray[np.float64], length: int) -> NDArray[np.float64]:
        """How much likelier each event is than nothing, (C,). product: of the summed clips with each code."""
        per_loudness = self.loudnesses[:, None] * product - length * self.loudnesses[:, None] ** 2 / 2
        gains: NDArray[np.float64] = per_loudness.max(0) / self.variance - self.price
        return gains

    def window(self, claim: Claim, seen: Sequence[Seen]) -> tuple[int, int]:
        """Clips [start, stop) that the sentence means."""
        if claim.kind == "hidden":
            return _hidden(claim.about, seen)
        times = [one for one in seen if one.what == claim.about]
        chosen = _chosen(claim, times, seen) if times else None
        return (chosen.start, chosen.stop) if chosen else (0, 1)


def _chosen(claim: Claim, times: Sequence[Seen], seen: Sequence[Seen]) -> Seen | None:
    """The occurrence that is meant; None where what was read has none."""
    if claim.kind in ("outshone", "first"):
        return times[0]
    if claim.kind in ("second", "last"):
        return times[min(1, len(times) - 1) if claim.kind == "second" else -1]
    anchors = [[one for one in seen if one.what == clause.about] for clause in claim.clauses[1:] if clause.about]
    if not all(anchors):
        return None
    if claim.kind == "before":
        return max((one for one in times if one.stop <= anchors[0][0].start), key=lambda one: one.start, default=None)
    if claim.kind == "after":
        return min((one for one in times if one.start >= anchors[0][-1].stop), key=lambda one: one.start, default=None)
    start, stop = anchors[0][0].stop, anchors[1][0].start
    return next((one for one in times if start <= one.start and one.stop <= stop), None)


def _hidden(step: Description, seen: Sequence[Seen]) -> tuple[int, int]:
    """The stretch between the steps before and after a step of its script."""
    script = next(script for script in scripts() if step in script)
    at = script.index(step)
    before = [one.stop for one in seen if one.what == script[at - 1]]
    after = [one.start for one in seen if one.what == script[at + 1]]
    start = before[-1] if before else 0
    return start, max(start + 1, after[0] if after else start + 1)
