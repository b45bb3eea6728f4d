"""From scores to probabilities: what is fitted, what is refused, and what never changes."""

import numpy as np
import pytest

from spikemba.grounding import Answer, calibrated, logit_of, raw_numbers
from spikemba.metrics.calibration import Calibration, Scaling, fitted
from spikemba.metrics.existence import calibration_error, reliability
from spikemba.moments import Moment

METHODS = ["platt", "isotonic"]


def drawn(n, factor, offset, seed=0):
    """Raw numbers, (n, 1), and answers that are right as often as a known logistic says."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 2, (n, 1))
    return raw, rng.random(n) < 1 / (1 + np.exp(-(factor * raw[:, 0] + offset)))


def test_a_known_logistic_is_recovered():
    scaling = fitted(*drawn(40_000, 1.7, -0.6))
    assert scaling.scale[0] == pytest.approx(1.7, rel=0.05)
    assert scaling.offset == pytest.approx(-0.6, abs=0.06)
    assert scaling.curve == ()


def test_several_numbers_have_a_factor_each_whatever_their_units():
    rng = np.random.default_rng(0)
    raw = rng.normal(0, 1, (40_000, 2)) * (1, 1000) + (0, 5000)
    right = rng.random(len(raw)) < 1 / (1 + np.exp(-(raw[:, 0] + 0.002 * (raw[:, 1] - 5000))))
    assert fitted(raw, right).scale == pytest.approx((1, 0.002), rel=0.08)


def test_a_number_that_never_changes_has_no_factor():
    raw, right = drawn(500, 1.0, 0.0)
    both = np.column_stack((raw, np.full(500, 0.3)))  # 0.3 has a mean that is not 0.3
    assert fitted(both, right).scale == pytest.approx((fitted(raw, right).scale[0], 0))


@pytest.mark.parametrize("method", METHODS)
def test_data_that_a_limit_separates_have_finite_factors(method):
    raw, right = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([False, False, True, True])
    scaling = fitted(raw, right, method)
    assert np.isfinite([*scaling.scale, scaling.offset, *np.ravel(scaling.curve)]).all()
    assert (scaling.probability(raw) > 0.5).tolist() == right.tolist()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("raw", "right", "said"),
    [
        ([[0.0], [1.0]], [True, True], "all 2 answers are right"),
        ([[0.0], [1.0]], [False, False], "all 2 answers are wrong"),
        ([[0.3], [0.3], [0.3]], [False, True, True], "all 3 answers have the same score"),
        ([[0.0], [np.nan]], [False, True], "not a finite number"),
        ([[0.0], [np.inf]], [False, True], "not a finite number"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(method, raw, right, said):
    with pytest.raises(ValueError, match=said):
        fitted(np.array(raw), np.array(right), method)


def test_isotonic_reproduces_the_shares_of_equal_numbers():
    raw = np.repeat([-1.0, 0.0, 2.0], [10, 20, 5])[:, None]
    right = np.r_[np.arange(10) < 1, np.arange(20) < 15, np.arange(5) < 4]  # the right ones first: order says nothing
    scaling = fitted(raw, right, "isotonic")
    np.testing.assert_allclose(scaling.probability(np.array([[-1.0], [0.0], [2.0]])), [0.1, 0.75, 0.8])


def test_isotonic_pools_what_would_fall():
    raw = np.repeat([-1.0, 0.0, 2.0], [10, 10, 10])[:, None]
    right = np.r_[np.arange(10) < 1, np.arange(10) < 8, np.arange(10) < 6]
    found = fitted(raw, right, "isotonic").probability(np.array([[-1.0], [0.0], [1.0], [2.0]]))
    np.testing.assert_allclose([found[0], found[3]], [0.1, 0.7])
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_are_in_0_to_1_rise_and_are_calibrated(method):
    raw, right = drawn(3000, 0.4, 1.0)
    scaling = fitted(raw, right, method)
    far = np.linspace(-1e6, 1e6, 4001)[:, None]
    found = scaling.probability(far)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert (np.diff(found) >= 0).all()
    told = 1 / (1 + np.exp(-raw[:, 0]))
    assert calibration_error(scaling.probability(raw), right) < 0.03 < calibration_error(told, right)


def test_a_scaling_survives_its_json():
    scaling = fitted(*drawn(300, 1.0, 0.0), "isotonic")
    assert Scaling.model_validate_json(scaling.model_dump_json()) == scaling


def answer(*scores, exists=None):
    none = np.zeros(2, np.float32)
    moments = tuple(Moment(float(i), i + 1.0, score) for i, score in enumerate(scores))
    return Answer(moments, none, none, (), np.zeros((2, 1), np.bool_), exists)


def test_a_moments_score_is_the_product_of_its_own_and_of_existence():
    calibration = Calibration(existence=Scaling(scale=(2.0,), offset=0.0), score=Scaling(scale=(1.0, 0.5), offset=-0.5))
    found = calibrated(answer(0.8, 0.5, exists=0.75), calibration)
    assert found.exists == pytest.approx(9 / 10)  # the odds of 3 squared
    assert [m.score for m in found.moments] == pytest.approx(
        [0.9 * 0.8, 0.9 / (1 + np.exp(0.5))]  # the first: 0.5 for being it takes the offset away
    )


def test_what_is_not_calibrated_stays_as_the_network_says():
    raw = answer(0.8, 0.5, exists=0.75)
    assert calibrated(raw, None) is raw
    assert calibrated(raw, Calibration()) == raw
    only = calibrated(raw, Calibration(score=Scaling(scale=(1.0, 0.0), offset=0.0)))
    assert only.exists == 0.75
    assert [m.score for m in only.moments] == pytest.approx([0.8, 0.5])
    nobody = answer(0.8, exists=None)
    assert calibrated(nobody, Calibration(existence=Scaling(scale=(1.0,), offset=9.0))) == nobody
    assert calibrated(answer(exists=0.5), Calibration(score=Scaling(scale=(1.0, 1.0), offset=0.0))).moments == ()


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_moments_stays(method):
    rng = np.random.default_rng(0)
    answers = [sorted(rng.random(6).tolist(), reverse=True) for _ in range(50)]
    raw = np.concatenate([raw_numbers(scores) for scores in answers])
    right = rng.random(len(raw)) < 1 / (1 + np.exp(-raw[:, 0] - raw[:, 1]))
    calibration = Calibration(score=fitted(raw, right, method))
    for scores in answers:
        before, after = answer(*scores), calibrated(answer(*scores), calibration)
        assert [m[:2] for m in after.moments] == [m[:2] for m in before.moments]
        told = [m.score for m in after.moments]
        assert told == sorted(told, reverse=True)


def test_a_logit_comes_back_from_its_probability_and_is_never_infinite():
    logits = np.linspace(-19, 19, 39)
    np.testing.assert_allclose(logit_of(1 / (1 + np.exp(-logits))), logits, rtol=1e-6)
    assert np.isfinite(logit_of(np.array([0.0, 1.0]))).all()


def test_bins_hold_every_answer_and_give_the_calibration_error():
    raw, right = drawn(400, 0.4, 1.0)
    said = 1 / (1 + np.exp(-raw[:, 0]))
    bins = reliability(said, right)
    assert bins.counts.sum() == 400
    assert bins.n_right.sum() == right.sum()
    held = bins.counts > 0
    mean, share = bins.summed[held] / bins.counts[held], bins.n_right[held] / bins.counts[held]
    expected = (np.abs(mean - share) * bins.counts[held]).sum() / 400
    assert calibration_error(said, right) == pytest.approx(expected)
    assert reliability(2 * said, right) is None
