"""The mini encoder, and that the bundled weights see what happens."""

import random

import numpy as np
import pytest
import torch

from pipelines.bundled.pretrain_mini import (
    Corpus,
    PretrainConfig,
    Said,
    pretrain,
    sentences,
    truth,
    vocabulary,
    what_is_where,
)
from spikemba.datasets.synthetic.drawing import RGB, render
from spikemba.datasets.synthetic.shapes import (
    ACTIONS,
    COLOURS,
    FORMS,
    Description,
    coverage,
    describe,
    phrase,
    storyboard,
)
from spikemba.encoders.mini import Mini, MiniConfig, MiniEncoder, load, split_words
from spikemba.video.clips import into_clips
from spikemba.video.sampling import Frame


@pytest.fixture(scope="module")
def config():
    return MiniConfig(dim=16, channels=(4, 8, 8), vocabulary=vocabulary())


@pytest.fixture(scope="module")
def boards():
    return [storyboard(seed, duration_s=40) for seed in (700_001, 700_002, 700_003, 700_004)]


def clips_of(board, config):
    """(n, T, H, Wd, 3): what the encoder would be given, without a video file between."""
    images = list(render(board, fps=4, size_px=config.size_px))
    frames = (Frame(k, k / 4, image) for k, image in enumerate(images))
    return np.stack(list(into_clips(frames, config.frames_per_clip)))


def corpus_of(boards, config):
    frames, places, happenings = [], [], []
    for board in boards:
        clips = clips_of(board, config)
        frames += list(clips)
        places += [what_is_where(board, i, config) for i in range(len(clips))]
        shares = [(event, coverage(board.duration_s, [event])) for event in board.events]
        happenings += [[(e, s[i]) for e, s in shares if s[i] > 0] for i in range(len(clips))]
    return Corpus(np.stack(frames), np.stack(places), happenings)


def test_a_sentence_has_a_state_per_word_and_does_not_depend_on_its_neighbours(config):
    encoder = MiniEncoder(Mini(config), "")
    long, short = encoder.encode_texts(["the red circle comes in after a star spins", "a Red circle, enters!"])
    assert (long.tokens.shape, short.tokens.shape, short.pooled.shape) == ((9, 16), (4, 16), (16,))
    (alone,) = encoder.encode_texts(["a red circle enters"])
    np.testing.assert_array_equal(alone.tokens, short.tokens)


def test_every_sentence_of_the_corpus_is_in_the_vocabulary():
    words = set(vocabulary())
    for seed in range(50):
        rng = random.Random(seed)
        what = Description(rng.choice(COLOURS), rng.choice(FORMS), rng.choice(ACTIONS))
        assert set(split_words(phrase(rng, what))) <= words


def test_the_storyboard_knows_what_stands_where(config, boards):
    """Where it says that something red stands, the picture is red, unless a flash hides it."""
    seen = []
    for board in boards:
        clips = clips_of(board, config)
        for i, clip in enumerate(clips):
            colours, forms = what_is_where(board, i, config)[:2]
            for t, y, x in zip(*np.nonzero((colours > 0) & (forms != FORMS.index("ring") + 1)), strict=True):
                cell = clip[t, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8].reshape(-1, 3).astype(int)
                wanted = np.array(RGB[COLOURS[colours[t, y, x] - 1]])
                seen.append(np.abs(cell - wanted).sum(1).min() < 60)
    assert len(seen) > 500
    assert np.mean(seen) > 0.95


def test_a_sentence_is_true_of_the_clips_that_its_event_fills(boards):
    event = boards[0].events[0]
    other = Description("white" if event.actor.colour != "white" else "red", None, event.action)
    true, false = truth([[(event, 1.0)], [(event, 0.3)], []], [Said("", describe(event), 0), Said("", other, 0)])
    assert true.tolist() == [[True, False], [False, False], [False, False]]
    assert false.tolist() == [[False, True], [False, True], [True, True]]


def test_near_misses_take_their_wrong_part_from_the_same_clip(boards):
    """Else a sum of colours, forms and actions would tell them apart."""
    scene = next(scene for board in boards for scene in board.scenes if len({e.actor for e in scene.events}) > 1)
    one = scene.events[0]
    other = next(event for event in scene.events if event.actor is not one.actor)
    said = sentences(random.Random(0), [[(one, 1.0), (other, 1.0)]], 400)
    a, b = describe(one), describe(other)
    crossed = [
        s for s in said if s.what in (Description(b.colour, a.form, a.action), Description(a.colour, b.form, a.action))
    ]
    assert len(crossed) > 10
    assert all(s.clip == 0 for s in said)


def test_training_is_repeatable_and_lowers_the_loss(config, boards):
    corpus = corpus_of(boards[:2], config)
    how = PretrainConfig(n_steps=20, batch_size=16, n_sentences=16, places_first=0)
    model, losses = pretrain(corpus, how, config)
    again, _ = pretrain(corpus, how, config)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert losses[-1] < 0.8 * losses[0]


def test_the_bundled_encoder_tells_actions_apart():
    """Which of two opposite sentences is true of a clip; two in three would be luck that never happens."""
    encoder = load()
    pairs = {"enters": "leaves", "leaves": "enters", "spins": "shakes", "jumps": "shakes"}
    right = {action: [] for action in pairs}
    for seed in range(800_000, 800_010):
        board = storyboard(seed)
        clips, events = None, board.events
        for event in events:
            if event.action not in pairs:
                continue
            inside = np.flatnonzero(coverage(board.duration_s, [event]) > 0.9)
            opposite = Description(event.actor.colour, event.actor.form, pairs[event.action])
            alike = coverage(board.duration_s, [e for e in events if opposite.fits(e)])
            inside = inside[alike[inside] == 0]
            if clips is None:
                clips = encoder.encode_clips(clips_of(board, encoder.model.config))
            said = encoder.encode_texts([phrase(random.Random(0), d) for d in (describe(event), opposite)])
            score = clips[inside] @ np.stack([text.pooled / np.linalg.norm(text.pooled) for text in said]).T
            right[event.action] += list(score[:, 0] > score[:, 1])
    for action, hits in right.items():
        assert len(hits) >= 10
        assert np.mean(hits) > 0.8, action
