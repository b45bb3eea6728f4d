"""How well existence scores tell null queries from the others: closed forms and counted pairs."""

import numpy as np
import pytest

from spikemba.metrics.existence import auroc, calibration_error, mean_of_others, rejection

YES_NO = np.array([True, True, False, False])


def random_scores(seed, n=60):
    """Scores with many ties, and which queries have a moment."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 8, n) / 8, rng.random(n) < 0.4


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_share_of_pairs_in_the_right_order(seed):
    scores, exists = random_scores(seed)
    differences = scores[exists][:, None] - scores[~exists]
    assert auroc(scores, exists) == pytest.approx(((differences > 0) + (differences == 0) / 2).mean(), abs=1e-12)
    assert auroc(-scores, exists) == pytest.approx(1 - auroc(scores, exists), abs=1e-12)


def test_a_constant_scorer_tells_nothing():
    assert auroc(np.full(4, 0.7), YES_NO) == 0.5
    assert auroc(np.array([0.9, 0.1]), np.array([True, True])) == 0.5  # nothing to tell apart


def test_rejection_is_counted_by_hand():
    found = rejection(np.array([0.9, 0.4, 0.4, 0.41]), YES_NO, 0.4)  # 0.4 itself is rejected
    assert [found[name] for name in ("TP", "FN", "TN", "FP")] == [1, 1, 1, 1]
    assert [found[name] for name in ("Acc", "Rej-P", "Rej-R", "Rej-F1")] == [50] * 4
    uneven = rejection(np.array([0.1, 0.1, 0.1, 0.9]), np.array([True, True, False, False]), 0.4)
    assert (uneven["Rej-P"], uneven["Rej-R"], uneven["Rej-F1"]) == (33.33, 50, 40)


def test_who_always_answers_rejects_nothing():
    found = rejection(np.ones(4), YES_NO, 0.6)
    assert [found[name] for name in ("Acc", "Rej-P", "Rej-R", "Rej-F1")] == [50, 0, 0, 0]


def test_calibration_is_the_gap_of_each_bin_weighted_by_its_size():
    # 15 bins: 0.1 and 0.13 lie in (1/15, 2/15], 0.9 alone in its own
    scores, right = np.array([0.1, 0.13, 0.9]), np.array([True, False, True])
    assert calibration_error(scores, right) == pytest.approx((2 * abs(0.115 - 0.5) + abs(0.9 - 1)) / 3)
    assert calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_what_is_no_probability_has_no_calibration():
    assert calibration_error(np.array([0.5, 1.5]), np.array([True, True])) is None
    assert calibration_error(np.array([]), np.array([], bool)) is None


def test_a_control_is_the_mean_over_the_others():
    sentences, videos = ["goal", "goal", "goal", "header"], ["a", "b", "b", "a"]
    scores = np.array([0.1, 0.2, 0.4, 0.9])
    same_sentence = mean_of_others(scores, alike=sentences, apart=videos)
    np.testing.assert_allclose(same_sentence, [0.3, 0.1, 0.1, np.nan])
    same_video = mean_of_others(scores, alike=videos, apart=sentences)
    np.testing.assert_allclose(same_video, [0.9, np.nan, np.nan, 0.1])  # b has only goals


def test_the_control_of_a_constant_scorer_is_constant():
    means = mean_of_others(np.full(30, 0.1), ["q"] * 30, [str(i // 3) for i in range(30)])
    assert set(means) == {0.1}
