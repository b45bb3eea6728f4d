"""planted: features straight from a storyboard, without pictures: a sum of fixed codes, and noise.

    u(event)  = unit(colour * form * action + ALPHA * (colour' + form' + action')), all codes Gaussian and fixed
    clip      = sum over events of loudness * share of the clip * u(event), and noise
    token     = unit(code of the word) + u(what its clause describes); the code alone where it describes nothing
    sentence  = u(what it is about)

Events that share two parts have a cosine of 0.55 in the mean, those that share one 0.27.
"""

# Shapes: L clips, W query tokens, F feature width.

import hashlib
import json
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.synthetic.claim_parts import Claim, loudness
from spikemba.datasets.synthetic.shapes import ACTIONS, COLOURS, FORMS, Description, Storyboard, coverage, describe

Array = NDArray[np.float32]
Numbers = NDArray[np.float64]

DIM = 128
"""F."""
ALPHA = 1.25
"""Weight of what events with a part in common share."""
NOISE = 1.6
"""Expected norm of a clip's noise; what an event adds has norm 1 where it is plain."""
CODES_SEED = 2024


class Planted:
    """The encoder of both clips and sentences. Equal settings give equal features."""

    name = "planted"
    dim = DIM

    def __init__(self, noise: float = NOISE) -> None:
        self.noise = noise
        rng = np.random.default_rng(CODES_SEED)
        product, shared = (
            [rng.standard_normal((len(values), DIM)) for values in (COLOURS, FORMS, ACTIONS)] for _ in range(2)
        )
        mixed = product[0][:, None, None] * product[1][None, :, None] * product[2][None, None]
        added = shared[0][:, None, None] + shared[1][None, :, None] + shared[2][None, None]
        self.events: Numbers = _unit(mixed + ALPHA * added)
        """u of every event, (colours, forms, actions, F)."""

    @cached_property
    def weights(self) -> str:
        """SHA-256 of the codes and settings."""
        settings = json.dumps({"alpha": ALPHA, "noise": float(self.noise), "seed": CODES_SEED}, sort_keys=True)
        return hashlib.sha256(self.events.astype("<f8").round(9).tobytes() + settings.encode()).hexdigest()

    def event(self, what: Description) -> Numbers:
        """u of what is described, (F,): the mean over a part that is not said."""
        values = zip((what.colour, what.form, what.action), (COLOURS, FORMS, ACTIONS), strict=True)
        chosen = tuple(slice(None) if value is None else [known.index(value)] for value, known in values)
        return _unit(self.events[chosen].reshape(-1, DIM).mean(0))

    def video(self, board: Storyboard) -> Array:
        """(L, F) clips of a storyboard."""
        parts = [
            loudness(event) * coverage(board.duration_s, [event])[:, None] * self.event(describe(event))
            for event in board.events
        ]
        signal: Numbers = np.sum(parts, axis=0)
        noise = _rng(f"noise {board.video_id}").standard_normal(signal.shape) * self.noise / np.sqrt(DIM)
        clips: Array = (signal + noise).astype(np.float32)
        return clips

    def sentence(self, claim: Claim) -> tuple[Array, Array]:
        """(W, F) tokens of a claim's words, and (F,) the whole."""
        tokens = []
        for clause in claim.clauses:
            about = np.zeros(DIM) if clause.about is None else self.event(clause.about)
            tokens += [_word(word) + about for word in clause.text.split()]
        return np.asarray(tokens, dtype=np.float32), self.event(claim.about).astype(np.float32)


def _word(word: str) -> Numbers:
    return _unit(_rng(f"word {CODES_SEED} {word}").standard_normal(DIM))


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))


def _unit(x: Numbers) -> Numbers:
    scaled: Numbers = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return scaled
