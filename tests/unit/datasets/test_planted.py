"""Features straight from storyboards."""

from itertools import product

import numpy as np
import pytest

from spikemba.datasets.synthetic.claim_parts import Claim, Clause, loudness
from spikemba.datasets.synthetic.claims import claim_video
from spikemba.datasets.synthetic.planted import DIM, Planted
from spikemba.datasets.synthetic.shapes import ACTIONS, COLOURS, FORMS, Description, coverage, describe

WHAT = Description("red", "star", "spins")


def test_near_misses_have_a_cosine_of_about_a_half():
    codes = Planted().events.reshape(-1, DIM)
    parts = np.array(list(product(range(len(COLOURS)), range(len(FORMS)), range(len(ACTIONS)))))
    shared = (parts[:, None] == parts[None]).sum(-1)
    cosines = codes @ codes.T
    means = [cosines[shared == n].mean() for n in range(4)]
    assert means == pytest.approx([0, 0.27, 0.55, 1], abs=0.02)


def test_without_noise_a_clip_is_its_event_as_loud_as_that_is():
    board = claim_video(3, "outshone").board
    clips = Planted(noise=0).video(board)
    assert clips.shape == (board.duration_s / 2, DIM)
    assert clips.dtype == np.float32
    for event in board.events:
        inside = np.flatnonzero(coverage(board.duration_s, [event]) == 1)
        expected = loudness(event) * Planted().event(describe(event))
        np.testing.assert_allclose(clips[inside], np.tile(expected, (len(inside), 1)), atol=1e-6)
    silent = np.flatnonzero(coverage(board.duration_s, board.events) == 0)
    assert not clips[silent].any()


def test_noise_has_the_norm_that_is_asked_for_and_depends_on_the_video_alone():
    one, other = claim_video(0, "far").board, claim_video(1, "far").board
    noise = Planted(noise=1.5).video(one) - Planted(noise=0).video(one)
    assert np.linalg.norm(noise, axis=1).mean() == pytest.approx(1.5, rel=0.03)
    np.testing.assert_array_equal(Planted().video(one), Planted().video(one))
    n = min(len(noise), int(other.duration_s / 2))
    assert not np.allclose(noise[:n], (Planted(1.5).video(other) - Planted(0).video(other))[:n])


def test_a_hidden_step_leaves_nothing_in_its_window():
    video = claim_video(0, "scripts")
    clips = Planted(noise=0).video(video.board)
    for claim in video.claims:
        inside = coverage(video.board.duration_s, [claim.event]) == 1
        assert inside.any()
        assert not clips[inside].any()


def test_a_part_that_is_not_said_is_the_mean_over_it():
    encoder = Planted()
    mean = np.mean([encoder.event(Description(colour, "star", "spins")) for colour in COLOURS], axis=0)
    found = encoder.event(Description(None, "star", "spins"))
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean))
    assert np.linalg.norm(encoder.event(Description(None, None, "spins"))) == pytest.approx(1)


def test_words_carry_what_their_clause_describes_and_the_others_only_themselves():
    encoder, other = Planted(), Description("blue", "ring", "jumps")
    event = claim_video(0, "far").claims[0].event
    claim = Claim((Clause("a star", WHAT), Clause("after"), Clause("a ring", other)), event, "after")
    tokens, pooled = encoder.sentence(claim)
    a, star, after, a_too, _ = tokens
    assert tokens.shape == (5, DIM)
    np.testing.assert_allclose(pooled, encoder.event(WHAT), atol=1e-6)
    np.testing.assert_allclose(a - a_too, encoder.event(WHAT) - encoder.event(other), atol=1e-6)
    assert np.linalg.norm(after) == pytest.approx(1)
    assert np.linalg.norm(star - encoder.event(WHAT)) == pytest.approx(1)


def test_the_hash_tells_noise_apart():
    assert Planted(1).weights == Planted(1.0).weights
    assert Planted(1).weights != Planted(2).weights
    assert len(Planted().weights) == 64
