"""Trains the bundled mini encoder on the shapes corpus; `make weights` runs it.

Two things are learned at once: to tell which of many sentences are true of a clip (a sigmoid loss over all pairs, as
SigLIP's), and, at every place and time, which colour, form, action and direction is there, which the storyboards know.
Whether something enters or leaves depends on its direction and its side together, which is learned last: hence the
directions, and hence half of every batch shows something that enters or leaves. Without, the two stayed a guess for
1,500 steps.
"""

# Shapes: n clips, m sentences, T frames of a clip, h, w cells of the video tower's grid.

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from spikemba.config import Config
from spikemba.datasets.synthetic.drawing import pose
from spikemba.datasets.synthetic.shapes import (
    ACTIONS,
    CLIP_S,
    COLOURS,
    FORMS,
    FPS,
    Actor,
    Description,
    Event,
    Scene,
    Storyboard,
    coverage,
    describe,
    phrase,
    storyboard_of,
)
from spikemba.device import resolved_precision
from spikemba.encoders.mini import UNKNOWN, Mini, MiniConfig, split_words
from spikemba.ops.precision import autocast
from spikemba.progress import Report, silent
from spikemba.video.clips import into_clips
from spikemba.video.sampling import FrameRule, VideoReader

Happening = list[tuple[Event, float]]
"""Events of one clip, with the share of the clip in which each goes on."""

N_KINDS = (len(COLOURS) + 1, len(FORMS) + 1, len(ACTIONS) + 2, 4)
"""Colours, forms, actions and directions that a place can show; 0 is none, the last action is to stand still."""


class PretrainConfig(Config):
    """How the mini encoder learns."""

    n_steps: PositiveInt = 3200
    """Optimiser steps."""
    batch_size: PositiveInt = 48
    """Clips per step."""
    n_sentences: PositiveInt = 96
    """Sentences per step."""
    moving: float = Field(0.5, ge=0, le=1)
    """Share of the clips that are drawn from those in which something enters or leaves."""
    learning_rate: PositiveFloat = 2e-3
    """Highest, after warm-up; falls to zero along a cosine."""
    weight_decay: NonNegativeFloat = 0.02
    places_first: float = Field(0.125, ge=0, le=1)
    """Share of the steps before the first sentence: what is where has to be seen before it can be said."""
    places: NonNegativeFloat = 0.5
    """Weight of what is seen at each place, beside the sentences."""
    word_dropout: NonNegativeFloat = 0.02
    """Share of words that are replaced by the unknown word, so that an unknown word does no harm."""
    seed: NonNegativeInt = 0


@dataclass(frozen=True)
class Corpus:
    """Clips of shapes videos, decoded from their files, and what goes on in each."""

    frames: NDArray[np.uint8]
    """(n, T, H, Wd, 3)."""
    places: NDArray[np.int8]
    """(n, 4, T, h, w): colour, form, action and direction at each place, see N_KINDS."""
    happenings: list[Happening]

    @classmethod
    def read(cls, videos: Sequence[Path], config: MiniConfig, report: Report = silent) -> "Corpus":
        """Decode the videos; their names say which storyboards they show."""
        rule = FrameRule(fps=config.frames_per_clip / CLIP_S, size_px=config.size_px)
        frames, places, happenings = [], [], []
        for done, path in enumerate(videos, start=1):
            board = storyboard_of(path.stem)
            clips = list(into_clips(VideoReader(path).frames(rule), config.frames_per_clip))
            shares = [(event, coverage(board.duration_s, [event])) for event in board.events]
            for i, clip in enumerate(clips):
                frames.append(clip)
                places.append(what_is_where(board, i, config))
                happenings.append([(event, share[i]) for event, share in shares if share[i] > 0])
            report(done, len(videos))
        return cls(np.stack(frames), np.stack(places), happenings)

    def moving(self) -> list[int]:
        """Clips in which something enters or leaves."""
        return [i for i, now in enumerate(self.happenings) if any(e.action in ("enters", "leaves") for e, _ in now)]


def what_is_where(board: Storyboard, clip: int, config: MiniConfig) -> NDArray[np.int8]:
    """(4, T, h, w): colour, form, action, direction of the actor whose centre lies in a cell; 0 where there is none."""
    grid = config.size_px // config.stride
    kinds = np.zeros((4, config.frames_per_clip, grid, grid), np.int8)
    for t in range(config.frames_per_clip):
        now = (clip + t / config.frames_per_clip) * CLIP_S
        scene = next((scene for scene in board.scenes if now < scene.end_s), board.scenes[-1])
        for actor in scene.actors:
            seen = pose(actor, scene.events_of(actor), now)
            if seen is not None and 0 <= seen.x < 1 and 0 <= seen.y < 1:
                action = ACTIONS.index(seen.event.action) if seen.event else len(ACTIONS)
                looks = COLOURS.index(actor.colour) + 1, FORMS.index(actor.form) + 1
                kind = *looks, action + 1, 2 + _direction(scene, actor, now)
                kinds[:, t, int(seen.y * grid), int(seen.x * grid)] = kind
    return kinds


def _direction(scene: Scene, actor: Actor, now: float) -> int:
    """-1 for an actor that moves to the left, 1 to the right, 0 for one that does neither."""
    before, after = (pose(actor, scene.events_of(actor), now + step_s) for step_s in (-1 / FPS, 1 / FPS))
    if before is None or after is None or abs(after.x - before.x) < 1e-3:
        return 0
    return 1 if after.x > before.x else -1


def vocabulary() -> tuple[str, ...]:
    """Every word that the corpus's grammar can say, the unknown word first."""
    rng = random.Random(0)
    said = "something after before for the first last time a an"
    for action in ACTIONS:
        for form in FORMS:
            said += "".join(f" {phrase(rng, Description(None, form, action))}" for _ in range(30))
    return (UNKNOWN, *sorted({*split_words(said), *COLOURS}))


@dataclass(frozen=True)
class Said:
    """A sentence to learn from."""

    text: str
    what: Description
    """Its main clause, which alone decides of which clips it is true."""
    clip: int
    """Row of the batch that it was made for; it is true of that clip, or nearly."""


def sentences(rng: random.Random, batch: Sequence[Happening], n: int) -> list[Said]:
    """n sentences: of events in the batch, of near misses, some with a part left out or with more said after it.

    Half of the near misses take the wrong part from something else in the clip: they are the hardest.
    """
    events = [(clip, event) for clip, happening in enumerate(batch) for event, share in happening if share >= 0.5]
    found = []
    for _ in range(n):
        clip, event = rng.choice(events)
        near, other = describe(event), _other(rng, batch[clip])
        change, leave_out, more = rng.random(), rng.random(), rng.random()
        if change < 0.2:
            near = replace(near, colour=other.colour)
        elif change < 0.4:
            near = replace(near, form=other.form)
        elif change < 0.6:
            near = replace(near, action=other.action)
        what = replace(near, colour=None) if leave_out < 0.1 else replace(near, form=None) if leave_out < 0.2 else near
        text = phrase(rng, what)
        if more < 0.2:
            text += f" for the {rng.choice(('first', 'last'))} time"
        elif more < 0.4:
            text += f" {rng.choice(('after', 'before'))} {phrase(rng, describe(rng.choice(events)[1]))}"
        found.append(Said(text, what, clip))
    return found


def _other(rng: random.Random, happening: Happening) -> Description:
    """Something else: that goes on in the same clip, or anything."""
    if rng.random() < 0.5:
        return describe(rng.choice(happening)[0])
    return Description(rng.choice(COLOURS), rng.choice(FORMS), rng.choice(ACTIONS))


def truth(batch: Sequence[Happening], said: Sequence[Said]) -> tuple[Tensor, Tensor]:
    """Which sentences are true of which clips, and which are certainly not; (n, m) bool each. The rest is partly so."""
    share = np.zeros((len(batch), len(said)))
    for i, happening in enumerate(batch):
        for event, of_clip in happening:
            share[i] += of_clip * np.array([one.what.fits(event) for one in said])
    return torch.from_numpy(share >= 0.5), torch.from_numpy(share <= 0.15)


def truth_of_places(kinds: Tensor, said: Sequence[Said]) -> Tensor:
    """Which sentences are true of which places. kinds: (p, 4), see N_KINDS -> (p, m) bool."""
    wanted = torch.tensor([_kinds(one.what) for one in said])  # (m, 3), 0 for any
    return ((kinds[:, None, :3] == wanted) | (wanted == 0)).all(-1)


def _kinds(what: Description) -> tuple[int, int, int]:
    """The numbers that `what_is_where` gives to colour, form and action; 0 for any."""
    colour = COLOURS.index(what.colour) + 1 if what.colour else 0
    form = FORMS.index(what.form) + 1 if what.form else 0
    return colour, form, ACTIONS.index(what.action) + 1


def pretrain(
    corpus: Corpus, config: PretrainConfig, sizes: MiniConfig, report: Report = silent
) -> tuple[Mini, list[float]]:
    """Train both towers. Returns them and the loss of every step; equal arguments give equal weights on a machine."""
    torch.manual_seed(config.seed)
    rng = random.Random(config.seed)
    model = Mini(sizes)
    tell = nn.Linear(sizes.channels[-1], sum(N_KINDS))  # reads the places; only training needs it
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *tell.parameters()], config.learning_rate, weight_decay=config.weight_decay
    )
    moving = corpus.moving()
    n_moving = min(round(config.moving * config.batch_size), len(moving))

    def loss(step: int) -> Tensor:
        rows = rng.sample(moving, n_moving) + rng.sample(range(len(corpus.frames)), config.batch_size - n_moving)
        speaks = step > config.places_first * config.n_steps
        return _loss(model, tell, corpus, rows, rng if speaks else None, config)

    losses = minimise(loss, optimiser, model, config.n_steps, report)
    return model.eval(), losses


def minimise(
    loss: Callable[[int], Tensor], optimiser: Optimizer, clipped: nn.Module, n_steps: int, report: Report
) -> list[float]:
    """n steps along one cycle of the learning rate, up to the optimiser's. Returns the loss of every step.

    loss: of a step, counted from 1.  clipped: whose gradients are scaled down to a norm of 1.
    """
    highest = optimiser.param_groups[0]["lr"]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, highest, n_steps, pct_start=0.1, cycle_momentum=False)
    losses = []
    for step in range(1, n_steps + 1):
        found = loss(step)
        optimiser.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(clipped.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(found.item())
        report(step, n_steps)
    return losses


def _loss(
    model: Mini, tell: nn.Linear, corpus: Corpus, rows: Sequence[int], rng: random.Random | None, config: PretrainConfig
) -> Tensor:
    """The loss of one batch of clips; without `rng`, no sentences are said of them."""
    with _products():
        places = model.video.places(torch.from_numpy(corpus.frames[rows]))
        gate, told = model.video.gate(places).float().squeeze(-1), tell(places).float()
    kinds = torch.from_numpy(corpus.places[rows]).long()  # (n, 4, T, h, w)
    acting = (kinds[:, 2] > 0) & (kinds[:, 2] <= len(ACTIONS))
    gating = F.binary_cross_entropy_with_logits(gate, acting.float(), reduction="none")
    gated = gating[acting].mean() + gating[~acting].mean()
    seen = config.places * (gated + places_loss(told, kinds, acting))
    if rng is None:
        return seen
    batch = [corpus.happenings[i] for i in rows]
    said = sentences(rng, batch, config.n_sentences)
    words, mask = model.words([one.text for one in said])
    words = words.masked_fill(torch.rand(words.shape) < config.word_dropout, 0)
    spoken = model.text(words, mask)[1]
    with _products():
        events, gate = model.video.events(places)
    of_all, true, false = model.match(model.video.pool(events, gate), spoken), *truth(batch, said)
    own = [one.clip for one in said], list(range(len(said)))
    of_clips = matching_loss(of_all, true, false) + matching_loss(of_all[own], true[own], false[own], 1.0)
    true = truth_of_places(kinds.movedim(1, -1)[acting], said)
    of_places = matching_loss(model.match(events[acting], spoken), true, ~true)
    return of_clips + of_places + seen


def _products() -> torch.autocast:
    """Within, matrix products are in bf16 where the processor has them, twice as fast; elsewhere a sixth as fast."""
    cpu = torch.device("cpu")
    return autocast(cpu, resolved_precision("auto", cpu))


def matching_loss(logits: Tensor, true: Tensor, false: Tensor, weight_of_false: float = 3.0) -> Tensor:
    """Sigmoid loss, true and false pairs averaged apart because true ones are rare. All of one shape."""
    of_true = F.softplus(-logits).masked_fill(~true, 0).sum() / true.sum().clamp(min=1)
    of_false = F.softplus(logits).masked_fill(~false, 0).sum() / false.sum().clamp(min=1)
    return of_true + weight_of_false * of_false


def places_loss(told: Tensor, kinds: Tensor, acting: Tensor) -> Tensor:
    """Cross-entropy of each kind; places where something acts, stands still, or is not are averaged apart.

    told: (n, T, h, w, sum of N_KINDS) logits.  kinds: (n, 4, T, h, w).  acting: (n, T, h, w) bool.
    """
    total = told.new_zeros(())
    for logits, kind in zip(told.split(N_KINDS, dim=-1), kinds.unbind(1), strict=True):
        loss = F.cross_entropy(logits.movedim(-1, 1), kind, reduction="none")
        for places in (acting, (kind > 0) & ~acting, kind == 0):
            total = total + loss[places].sum() / places.sum().clamp(min=1)
    return total


@torch.no_grad()
def matching_precision(model: Mini, corpus: Corpus, seed: int = 1, batch_size: int = 64) -> float:
    """Average precision, in [0, 1], of the pairs of clip and sentence that are true, among near misses."""
    rng = random.Random(seed)
    scores, right = [], []
    for first in range(0, len(corpus.frames), batch_size):
        batch = corpus.happenings[first : first + batch_size]
        said = sentences(rng, batch, 4 * batch_size)
        clips = model.video(torch.from_numpy(corpus.frames[first : first + batch_size]))
        logits = model.match(clips, model.text(*model.words([one.text for one in said]))[1])
        true, false = truth(batch, said)
        scores.append(logits[true | false])
        right.append(true[true | false])
    hit = torch.cat(right)[torch.cat(scores).argsort(descending=True)].double()
    precision = hit.cumsum(0) / torch.arange(1, len(hit) + 1)
    return float((precision * hit).sum() / hit.sum())
