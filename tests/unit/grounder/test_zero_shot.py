"""Zero-shot grounding on similarities whose moments are known."""

import numpy as np
import pytest

from spikemba.errors import ShapeError
from spikemba.grounder.zero_shot import ZeroShotConfig, answer_zero_shot, similarity, standardised
from spikemba.moments import iou

RNG = np.random.default_rng(0)


def video(n, *parts, noise=0.05):
    """(n, 2) unit clips that resemble the sentence (1, 0) in the given parts."""
    angle = np.full(n, 1.3)
    for start, stop in parts:
        angle[start:stop] = 0.6
    angle += noise * RNG.standard_normal(n)
    return np.stack((np.cos(angle), np.sin(angle)), axis=1).astype(np.float32)


SENTENCE = np.array([1.0, 0.0], np.float32)


@pytest.mark.parametrize("part", [(10, 11), (10, 14), (0, 6), (50, 60), (20, 40)])
def test_a_stretch_that_resembles_the_sentence_is_the_best_moment(part):
    best = answer_zero_shot(video(60, part), SENTENCE, 120.0, 2.0).moments[0]
    assert iou(np.array([best[:2]]), 2.0 * np.array([part]))[0, 0] > 0.7


def test_two_stretches_are_two_moments():
    moments = answer_zero_shot(video(60, (8, 14), (40, 44)), SENTENCE, 120.0, 2.0).moments[:2]
    assert sorted(m.start_s for m in moments) == pytest.approx([16, 80], abs=2)


def test_the_level_and_the_scale_of_the_similarities_do_not_matter():
    clips = video(60, (8, 14))
    one = answer_zero_shot(clips, SENTENCE, 120.0, 2.0)
    raised = np.concatenate((clips, np.full((60, 1), 5.0, np.float32)), axis=1)
    sentence = np.array([1.0, 0.0, 0.3], np.float32)
    moved = answer_zero_shot(raised, sentence, 120.0, 2.0, ZeroShotConfig(similarity="product"))
    two = answer_zero_shot(clips, SENTENCE, 120.0, 2.0, ZeroShotConfig(similarity="product"))
    assert [m[:2] for m in moved.moments] == [m[:2] for m in two.moments]
    assert one.moments[0][:2] == two.moments[0][:2]


def test_a_reversed_video_has_the_reversed_answer():
    clips = video(60, (8, 14), (40, 44))
    there = answer_zero_shot(clips, SENTENCE, 120.0, 2.0).moments
    back = answer_zero_shot(clips[::-1], SENTENCE, 120.0, 2.0).moments
    assert sorted((round(120 - m.end_s, 6), round(120 - m.start_s, 6)) for m in back) == sorted(m[:2] for m in there)


@pytest.mark.parametrize("n", [1, 2, 75])
def test_a_video_without_differences_still_has_a_moment(n):
    answer = answer_zero_shot(np.ones((n, 2), np.float32), SENTENCE, 2.0 * n - 0.5, 2.0)
    assert answer.moments
    assert all(0 <= m.start_s < m.end_s <= 2.0 * n - 0.5 and 0 <= m.score < 1 for m in answer.moments)
    assert answer.saliency.shape == (n,)
    assert answer.spikes.shape == (n, 2 * len(ZeroShotConfig().gains))


def test_the_last_moment_ends_with_the_video():
    answer = answer_zero_shot(video(20, (16, 20)), SENTENCE, 38.7, 2.0)
    assert answer.moments[0].end_s == pytest.approx(38.7)


def test_similarities_are_those_of_their_names():
    clips = np.array([[3.0, 4.0]], np.float32)
    assert similarity(clips, np.array([2.0, 0.0], np.float32), "cosine") == pytest.approx([0.6])
    assert similarity(clips, np.array([2.0, 0.0], np.float32), "product") == pytest.approx([3.0])
    np.testing.assert_allclose(standardised(np.array([1.0, 1, 1, 5])), np.array([0, 0, 0, 4]) / np.std([1, 1, 1, 5]))


def test_towers_of_two_widths_are_refused():
    with pytest.raises(ShapeError, match=r"clips are \(4, 2\) and the sentence \(3,\)"):
        answer_zero_shot(np.zeros((4, 2), np.float32), np.zeros(3, np.float32), 8.0, 2.0)
