import numpy as np
import pytest

from spikemba.metrics import NothingToScore
from spikemba.metrics.bootstrap import Sample, compare, interval


def sample(values, units=None, groups=None):
    n = len(values)
    return Sample(np.array(values, float), tuple(units or map(str, range(n))), tuple(groups or ["all"] * n))


def test_the_interval_of_a_share_is_that_of_the_binomial():
    found = interval(sample([1] * 300 + [0] * 100), n=4000)
    assert found.mean == 0.75
    width = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert found.low == pytest.approx(0.75 - width, abs=0.005)
    assert found.high == pytest.approx(0.75 + width, abs=0.005)


def test_queries_of_one_video_are_drawn_together():
    values = [1] * 200 + [0] * 200
    alone = interval(sample(values))
    together = interval(sample(values, units=[str(i // 10) for i in range(400)]))
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_the_mean_is_over_groups_and_a_group_keeps_its_size():
    found = interval(sample([1, 1, 1, 0], groups=["a", "a", "a", "b"]))
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


def test_a_constant_gain_is_certain_and_no_gain_is_none():
    rng = np.random.default_rng(0)
    before = rng.random(50)
    gain = compare(sample(before), sample(before + 0.1))
    assert gain.difference.low == pytest.approx(0.1)
    assert gain.p < 0.01
    assert (gain.better, gain.worse) == (50, 0)
    none = compare(sample(before), sample(before))
    assert none.p == 1
    assert none.difference.mean == 0
    assert gain.b - gain.a == pytest.approx(gain.difference.mean)


def test_pairing_sees_what_two_intervals_would_not():
    rng = np.random.default_rng(1)
    before = rng.random(100)
    after = before + rng.normal(0.03, 0.05, 100)
    a, b = interval(sample(before)), interval(sample(after))
    assert a.high > b.low  # the two overlap
    assert compare(sample(before), sample(after)).p < 0.01


def test_equal_seeds_give_equal_intervals():
    one = sample(np.random.default_rng(2).random(30))
    assert interval(one, seed=3) == interval(one, seed=3)
    assert interval(one, seed=3) != interval(one, seed=4)


def test_other_items_and_no_items_are_refused():
    with pytest.raises(ValueError, match="different items"):
        compare(sample([1, 0]), sample([1, 0], units=["a", "b"]))
    with pytest.raises(NothingToScore):
        interval(sample([]))
