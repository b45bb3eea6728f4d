"""outshone: what is meant is quiet, and louder and longer near misses resemble the sentence more than it does.

A video has two colours, two forms and two actions. The four of their eight combinations that differ from each other in
two parts are meant; the other four are near misses, each of which shares two parts with three of those.
"""

import random
from itertools import product

from spikemba.datasets.synthetic.claim_parts import (
    N_CLIPS,
    Claim,
    ClaimVideo,
    Part,
    lay_out,
    said,
    storyboard_with,
)
from spikemba.datasets.synthetic.shapes import ACTIONS, COLOURS, FORMS, Description

QUIET = (0.65, 0.8)
"""Least and most loudness of what is meant."""
LOUD = (1.6, 2.2)
"""And of near misses: times their cosine of about 0.55, more than what is meant."""


def draw(rng: random.Random, video_id: str) -> ClaimVideo:
    """Invent a video of three or four quiet events that sentences mean, and six or seven loud near misses."""
    n_clips, n_claims = rng.randint(*N_CLIPS), rng.randint(3, 4)
    meant, misses = _cube(rng)
    while True:
        asked = rng.sample(meant, n_claims)
        parts = [Part(what, rng.randint(3, 4), rng.uniform(*QUIET)) for what in asked]
        loud = [*misses, *rng.sample(misses, rng.randint(2, 3))]
        parts += [Part(what, rng.randint(4, 6), rng.uniform(*LOUD)) for what in loud]
        parts.append(Part(rng.choice(misses), rng.randint(3, 4), rng.uniform(*QUIET)))  # quiet alone is no answer
        rng.shuffle(parts)
        events = lay_out(rng, parts, n_clips)
        if events is not None:
            break
    placed = {part.what: event for part, event in zip(parts, events, strict=True)}
    claims = tuple(Claim((said(rng, what),), placed[what], "outshone") for what in asked)
    return ClaimVideo(storyboard_with(rng, video_id, events, n_clips), claims)


def _cube(rng: random.Random) -> tuple[list[Description], list[Description]]:
    """The combinations of two values of each part: those with an even number of second values, and the others."""
    values = rng.sample(COLOURS, 2), rng.sample(FORMS, 2), rng.sample(ACTIONS, 2)
    even: list[Description] = []
    odd: list[Description] = []
    for i, j, k in product((0, 1), repeat=3):
        (odd if (i + j + k) % 2 else even).append(Description(values[0][i], values[1][j], values[2][k]))
    return even, odd
