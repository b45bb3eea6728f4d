"""What the grammars of `claims` are made of: sentences in clauses, and events laid out along a video."""

# Shapes: L clips.

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from spikemba.datasets.synthetic.shapes import (
    ACTIONS,
    CLIP_S,
    COLOURS,
    FORMS,
    Actor,
    Description,
    Event,
    Query,
    Scene,
    Storyboard,
    phrase,
)

N_CLIPS = (60, 75)
"""Fewest and most clips of a video."""
PLAIN_SIZE = 0.125
"""Size of an actor whose events have loudness 1; loudness is proportional to size."""
EDGE = 0.2
"""An event starts and ends at most this part of a clip from a clip's edge, so that nobody doubts its window."""


@dataclass(frozen=True)
class Clause:
    """Some words of a sentence."""

    text: str
    about: Description | None = None
    """The event that the words describe; None for words such as `for the last time`."""


@dataclass(frozen=True)
class Claim:
    """A sentence and the event that it means."""

    clauses: tuple[Clause, ...]
    """The first describes the event that is meant."""
    event: Event
    kind: str
    """What has to be understood to find it."""

    @property
    def about(self) -> Description:
        """What the sentence is about, whenever it happens."""
        about = self.clauses[0].about
        assert about is not None
        return about

    @property
    def query(self) -> Query:
        """The sentence in one piece."""
        return Query(" ".join(clause.text for clause in self.clauses), (self.event,))


@dataclass(frozen=True)
class ClaimVideo:
    """A video and all that is asked about it."""

    board: Storyboard
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Part:
    """An event that has no place in the video yet."""

    what: Description
    n_clips: int
    loudness: float


def lay_out(
    rng: random.Random, parts: Sequence[Part], n_clips: int, pauses: Sequence[int] | None = None
) -> list[Event] | None:
    """Place parts in their order, at least one clip apart; None when they do not fit into a video of n_clips.

    pauses: least clips before each part and after the last; what is left over is spread over them at random.
    """
    least = list(pauses or [0, *[1] * (len(parts) - 1), 0])
    spare = n_clips - sum(least) - sum(part.n_clips for part in parts)
    if spare < 0:
        return None
    cuts = sorted(rng.randint(0, spare) for _ in range(len(parts)))
    extra = [b - a for a, b in pairwise([0, *cuts, spare])]
    events, now = [], 0
    for part, pause, more in zip(parts, least, extra, strict=False):
        start = now + pause + more
        now = start + part.n_clips
        edges = [min(max(clip + rng.uniform(-EDGE, EDGE), 0), n_clips) * CLIP_S for clip in (start, now)]
        events.append(Event(_actor(rng, part), part.what.action, edges[0], edges[1]))
    return events


def _actor(rng: random.Random, part: Part) -> Actor:
    assert part.what.colour
    assert part.what.form
    x, y = rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65)
    return Actor(part.what.colour, part.what.form, x, y, PLAIN_SIZE * part.loudness)


def storyboard_with(rng: random.Random, video_id: str, events: Sequence[Event], n_clips: int) -> Storyboard:
    """A storyboard with a scene for each event, cut in the middle of the pauses. events: by start time."""
    duration_s = n_clips * CLIP_S
    cuts = [0.0, *((a.end_s + b.start_s) / 2 for a, b in pairwise(events)), duration_s]
    scenes = tuple(
        Scene(start, end, (rng.randint(15, 70), rng.randint(15, 70), rng.randint(15, 70)), (event.actor,), (event,))
        for (start, end), event in zip(pairwise(cuts), events, strict=True)
    )
    return Storyboard(video_id, duration_s, scenes, ())


def loudness(event: Event) -> float:
    """How loud an event is; 1 is plain."""
    return event.actor.size / PLAIN_SIZE


def said(rng: random.Random, what: Description) -> Clause:
    """One of the ways to say it."""
    return Clause(phrase(rng, what), what)


def draw_parts(rng: random.Random) -> Description:
    """Any of all events."""
    return Description(rng.choice(COLOURS), rng.choice(FORMS), rng.choice(ACTIONS))


def n_shared(a: Description, b: Description) -> int:
    """How many of colour, form and action are equal."""
    return (a.colour == b.colour) + (a.form == b.form) + (a.action == b.action)


def draw_unlike(rng: random.Random, n: int, most_shared: int, unlike: Sequence[Description] = ()) -> list[Description]:
    """n events, no two of which share more than `most_shared` parts, nor with those of `unlike`."""
    found: list[Description] = []
    while len(found) < n:
        new = draw_parts(rng)
        if all(n_shared(new, old) <= most_shared for old in (*found, *unlike)):
            found.append(new)
    return found
