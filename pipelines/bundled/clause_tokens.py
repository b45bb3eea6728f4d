"""The mini encoder's last lesson: each word learns the event that its clause describes, in the space of clips.

All else of the encoder stays as it is, so clips and sentences keep their vectors. Places of the corpus's clips are
encoded once; sentences of two clauses are invented, and every word of a clause is matched with the places that show
what the clause says.
"""

# Shapes: p places, n sentences, W words of a sentence, t words of all sentences, F feature width.

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from pipelines.bundled.pretrain_mini import Corpus, Said, matching_loss, minimise, truth_of_places
from spikemba.config import Config
from spikemba.datasets.synthetic.shapes import ACTIONS, COLOURS, FORMS, Description, phrase
from spikemba.encoders.mini import ClauseReader, Mini, split_words
from spikemba.progress import Report, silent


class ClauseConfig(Config):
    """How the words learn."""

    n_steps: PositiveInt = 2000
    """Optimiser steps."""
    n_clips: PositiveInt = 3000
    """Clips whose places are encoded."""
    n_places: PositiveInt = 384
    """Places per step."""
    n_sentences: PositiveInt = 48
    """Sentences per step."""
    learning_rate: PositiveFloat = 2e-3
    """Highest, after warm-up; falls to zero along a cosine."""
    seed: NonNegativeInt = 0


@dataclass(frozen=True)
class Places:
    """Places in which something acts."""

    events: Tensor
    """(p, F), unit vectors."""
    kinds: Tensor
    """(p, 4), see `pretrain_mini.N_KINDS`."""


@torch.no_grad()
def encode_places(model: Mini, corpus: Corpus, config: ClauseConfig, report: Report = silent) -> Places:
    """What the video tower says of the places where something acts, in clips spread evenly over the corpus."""
    model.eval()
    rows = torch.linspace(0, len(corpus.frames) - 1, min(config.n_clips, len(corpus.frames))).long().unique().tolist()
    events, kinds = [], []
    for first in range(0, len(rows), 64):
        chosen = rows[first : first + 64]
        states = model.video.places(torch.from_numpy(corpus.frames[chosen]))
        kind = torch.from_numpy(corpus.places[chosen]).long().movedim(1, -1)
        acting = (kind[..., 2] > 0) & (kind[..., 2] <= len(ACTIONS))
        events.append(F.normalize(model.video.event(states[acting]), dim=-1))
        kinds.append(kind[acting])
        report(min(first + 64, len(rows)), len(rows))
    return Places(torch.cat(events), torch.cat(kinds))


@dataclass(frozen=True)
class Clauses:
    """A sentence, word by word."""

    text: str
    of_word: tuple[Description | None, ...]
    """What the clause of each word describes; None for words that belong to none."""


def invent(rng: random.Random) -> Clauses:
    """A sentence of the corpus's grammar: one clause, one for the first or last time, or two in an order."""
    main, rest = _description(rng), rng.random()
    text = phrase(rng, main)
    words: list[Description | None] = [main] * len(split_words(text))
    if rest < 0.2:
        more = f" for the {rng.choice(('first', 'last'))} time"
        text, words = text + more, words + [None] * len(split_words(more))
    elif rest < 0.8:
        anchor, order = _description(rng), rng.choice(("after", "before"))
        said = phrase(rng, anchor)
        text, words = f"{text} {order} {said}", [*words, None, *[anchor] * len(split_words(said))]
    return Clauses(text, tuple(words))


def _description(rng: random.Random) -> Description:
    """Anything, now and then with a part left out."""
    colour, form, action = rng.choice(COLOURS), rng.choice(FORMS), rng.choice(ACTIONS)
    left_out = rng.random()
    return Description(None if left_out < 0.1 else colour, None if 0.1 <= left_out < 0.2 else form, action)


def teach_clauses(model: Mini, places: Places, config: ClauseConfig, report: Report = silent) -> list[float]:
    """Train the reader of clauses of a model whose tokens are `clauses`. Returns the loss of every step."""
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    reader = model.text.clauses
    assert reader is not None, "the tokens of this encoder are states"
    optimiser = torch.optim.AdamW(reader.parameters(), config.learning_rate, weight_decay=0.01)

    def loss(step: int) -> Tensor:  # noqa: ARG001 - all steps are alike
        rows = torch.randint(len(places.kinds), (config.n_places,))
        chosen = Places(places.events[rows], places.kinds[rows])
        return _loss(model, reader, chosen, [invent(rng) for _ in range(config.n_sentences)])

    return minimise(loss, optimiser, reader, config.n_steps, report)


def _loss(model: Mini, reader: ClauseReader, places: Places, sentences: Sequence[Clauses]) -> Tensor:
    """Of the words' clauses, and of whether they have one."""
    words, mask = model.words([one.text for one in sentences])
    with torch.no_grad():
        states, _ = model.text.states(words, mask)
    events, belongs = reader(states, mask)
    has = torch.zeros_like(mask)
    for row, one in enumerate(sentences):
        has[row, : len(one.of_word)] = torch.tensor([what is not None for what in one.of_word])
    of_words = [Said("", what, 0) for one in sentences for what in one.of_word if what is not None]
    true = truth_of_places(places.kinds, of_words)
    matched = matching_loss(model.match(places.events, events[has]), true, ~true)
    return matched + F.binary_cross_entropy_with_logits(belongs[mask], has[mask].float())
