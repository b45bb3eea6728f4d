"""scripts: the sentence names a step that this video hides, and only what all videos share says where it must be.

There are eight scripts, the same for every seed and split, and no event is in two of them. A video follows one, with a
few events that belong to none. Two or three of its steps are hidden: nothing is seen between the step before and the
step after, as nothing is seen in pauses, some of which are as long. That stretch is the answer.
"""

import random
from functools import cache
from itertools import pairwise

from spikemba.datasets.synthetic.claim_parts import (
    N_CLIPS,
    Claim,
    ClaimVideo,
    Part,
    draw_unlike,
    lay_out,
    said,
    storyboard_with,
)
from spikemba.datasets.synthetic.shapes import Actor, Description, Event

N_STEPS = (6, 7, 7, 8, 7, 8, 8, 8)
"""Of each script."""
HIDDEN_CLIPS = (4, 9)
"""Least and most clips in which nothing is seen where a step is hidden."""


@cache
def scripts() -> tuple[tuple[Description, ...], ...]:
    """The steps of each script, in their order; no two steps of a script share two parts."""
    rng = random.Random("scripts")
    found: list[tuple[Description, ...]] = []
    for n in N_STEPS:
        while True:
            steps = tuple(draw_unlike(rng, n, 1))
            if not {*steps} & {step for script in found for step in script}:
                break
        found.append(steps)
    return tuple(found)


def draw(rng: random.Random, video_id: str) -> ClaimVideo:
    """Invent a video that follows a script, and a sentence for each hidden step: three, or two of six steps."""
    steps = rng.choice(scripts())
    known = {step for script in scripts() for step in script}
    while True:
        n_clips = rng.randint(*N_CLIPS)
        hidden = _hidden(rng, len(steps))
        parts, pauses = _parts(rng, steps, hidden, _strangers(rng, known))
        events = lay_out(rng, parts, n_clips, pauses)
        if events is not None:
            break
    placed = {part.what: event for part, event in zip(parts, events, strict=True)}
    claims = []
    for i in hidden:
        start_s, end_s = placed[steps[i - 1]].end_s, placed[steps[i + 1]].start_s
        claims.append(Claim((said(rng, steps[i]),), _unseen(steps[i], start_s, end_s), "hidden"))
    return ClaimVideo(storyboard_with(rng, video_id, events, n_clips), tuple(claims))


def _unseen(step: Description, start_s: float, end_s: float) -> Event:
    """The event of a hidden step: no storyboard has it."""
    assert step.colour
    assert step.form
    return Event(Actor(step.colour, step.form, 0.5, 0.5, 0.0), step.action, start_s, end_s)


def _hidden(rng: random.Random, n_steps: int) -> list[int]:
    """Steps to hide: not the first and the last, and no two neighbours."""
    while True:
        chosen = sorted(rng.sample(range(1, n_steps - 1), 3 if n_steps > 6 else 2))
        if all(b - a > 1 for a, b in pairwise(chosen)):
            return chosen


def _strangers(rng: random.Random, known: set[Description]) -> list[Description]:
    """Two to four events that are in no script."""
    while True:
        found = draw_unlike(rng, rng.randint(2, 4), 1)
        if not known.intersection(found):
            return found


def _parts(
    rng: random.Random, steps: tuple[Description, ...], hidden: list[int], strangers: list[Description]
) -> tuple[list[Part], list[int]]:
    """The steps that are seen and the strangers between them, with the least clips before each and after the last.

    Strangers stand where no step is hidden, among pauses some of which are as long as what is hidden.
    """
    places = [i for i in range(len(steps) + 1) if i not in hidden and i - 1 not in hidden]
    at = [rng.choice(places) for _ in strangers]
    parts, pauses = [], []
    for i, step in enumerate([*steps, None]):
        for stranger in [one for one, place in zip(strangers, at, strict=True) if place == i]:
            parts.append(Part(stranger, rng.randint(2, 4), rng.uniform(0.9, 1.1)))
            pauses.append(rng.randint(1, 6))
        if step is not None and i not in hidden:
            parts.append(Part(step, rng.randint(2, 4), rng.uniform(0.9, 1.1)))
            pauses.append(rng.randint(*HIDDEN_CLIPS) if i - 1 in hidden else rng.randint(1, 6))
    return parts, [*pauses, 0]
