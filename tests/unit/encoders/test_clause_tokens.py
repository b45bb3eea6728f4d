"""The mini encoder's words that say what their clause describes, and the lesson that teaches them."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipelines.bundled.clause_tokens import ClauseConfig, Places, encode_places, invent, teach_clauses
from pipelines.bundled.pretrain_mini import Corpus, vocabulary
from spikemba.datasets.synthetic.shapes import ACTIONS, COLOURS, FORMS
from spikemba.encoders.mini import Mini, MiniConfig, MiniEncoder, split_words

SENTENCE = "a red circle spins before a blue star jumps"


def mini(tokens="clauses"):
    torch.manual_seed(0)
    return Mini(MiniConfig(dim=16, channels=(4, 8, 8), vocabulary=vocabulary(), tokens=tokens)).eval()


@torch.no_grad()
def test_a_words_token_is_its_own_code_and_the_event_of_its_clause_as_far_as_it_belongs_to_one():
    model = mini()
    (found,) = MiniEncoder(model, "").encode_texts([SENTENCE])
    words, mask = model.words([SENTENCE])
    states, _ = model.text.states(words, mask)
    events, belongs = model.text.clauses(states, mask)
    torch.testing.assert_close(events.norm(dim=-1), torch.ones(1, 9))
    expected = F.normalize(model.text.words(words), dim=-1) + events * belongs.sigmoid()[..., None]
    assert found.tokens.shape == (9, 16)
    np.testing.assert_allclose(found.tokens, expected[0], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_sentence_is_the_same_whatever_its_words_say():
    old, new = mini("states"), mini()
    new.load_state_dict({**new.state_dict(), **old.state_dict()})
    (before,), (after,) = (MiniEncoder(model, "").encode_texts([SENTENCE]) for model in (old, new))
    np.testing.assert_array_equal(before.pooled, after.pooled)
    assert not np.allclose(before.tokens, after.tokens)


@torch.no_grad()
def test_an_encoder_is_still_the_one_that_it_grew_from():
    old = mini("states")
    new = Mini(old.config.model_copy(update={"tokens": "clauses", "grew_from": "old"})).eval()
    new.load_state_dict(old.state_dict(), strict=False)
    encoder = MiniEncoder(new, "new")
    assert encoder.as_of("new") is None
    again = encoder.as_of("old")
    assert again is not None
    assert again.weights == "old"
    (before,), (after,) = MiniEncoder(old, "old").encode_texts([SENTENCE]), again.encode_texts([SENTENCE])
    np.testing.assert_array_equal(before.tokens, after.tokens)
    np.testing.assert_array_equal(before.pooled, after.pooled)


def test_weights_that_do_not_say_which_have_states():
    assert MiniConfig.parse({"dim": 16}).tokens == "states"
    assert not any("clause" in name for name in mini("states").state_dict())


def test_an_invented_sentence_says_of_every_word_what_its_clause_describes():
    known, kinds = set(vocabulary()), {"one": 0, "time": 0, "two": 0}
    for seed in range(200):
        made = invent(random.Random(seed))
        words = split_words(made.text)
        assert len(words) == len(made.of_word)
        assert set(words) <= known
        assert made.of_word[0] is not None
        described = [one for one in dict.fromkeys(made.of_word) if one is not None]
        kinds["two" if len(described) == 2 else "time" if None in made.of_word else "one"] += 1
        for what in described:
            said = [word for word, own in zip(words, made.of_word, strict=True) if own == what]
            assert what.colour is None or what.colour in said
        for word, own in zip(words, made.of_word, strict=True):
            assert own is not None or word in ("after", "before", "for", "the", "first", "last", "time")
    assert min(kinds.values()) > 10


def test_places_in_which_something_acts_are_encoded_as_unit_vectors():
    kinds = np.zeros((3, 4, 8, 8, 8), np.int8)
    kinds[0, :, 2, 3, 4] = 1, 2, 3, 2
    kinds[2, :, 5, 0, 7] = 4, 1, 1, 2
    kinds[1, :, 0, 0, 0] = 1, 1, len(ACTIONS) + 1, 2  # stands still
    frames = np.random.default_rng(0).integers(0, 255, (3, 8, 64, 64, 3), dtype=np.uint8)
    model = mini()
    found = encode_places(model, Corpus(frames, kinds, [[]] * 3), ClauseConfig())
    assert found.kinds.tolist() == [[1, 2, 3, 2], [4, 1, 1, 2]]
    with torch.no_grad():
        events, _ = model.video.events(model.video.places(torch.from_numpy(frames)))
    expected = torch.stack((events[0, 2, 3, 4], events[2, 5, 0, 7]))
    torch.testing.assert_close(found.events, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def places():
    """One place per colour, form and action, whose vector is the product of three codes."""
    g = torch.Generator().manual_seed(0)
    codes = [torch.randn(len(names), 16, generator=g) for names in (COLOURS, FORMS, ACTIONS)]
    parts = torch.cartesian_prod(*(torch.arange(len(code)) for code in codes))
    events = codes[0][parts[:, 0]] * codes[1][parts[:, 1]] * codes[2][parts[:, 2]]
    return Places(F.normalize(events, dim=-1), torch.cat((parts + 1, torch.full((len(parts), 1), 2)), dim=1))


def test_the_lesson_lowers_its_loss_and_leaves_all_else_of_the_encoder_alone(places):
    model, config = mini(), ClauseConfig(n_steps=100, n_places=96, n_sentences=8, learning_rate=2e-2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses = teach_clauses(model, places, config)
    assert len(losses) == 100
    assert np.mean(losses[-20:]) < 0.93 * np.mean(losses[:20])
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("text.clauses.")}
