import itertools

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
    found = interval(sample([1, 1, 1, 1, 1, 0], groups=["a"] * 5 + ["b"]))
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


@pytest.mark.parametrize("n", [1, 2, 4, 6, 16])
def test_few_videos_that_are_all_better_have_the_p_of_as_many_coins(n):
    found = compare(sample([0] * n), sample([1] * n))
    assert found.p == 2 / 2**n


def test_the_exact_p_counts_every_exchange_of_sides():
    gains = np.array([0.5, -0.2, 0.3, 0.1, 0.4])
    signs = np.array(list(itertools.product((-1, 1), repeat=5)))
    expected = (np.abs((signs * gains).mean(1)) >= abs(gains.mean()) - 1e-9).mean()
    assert compare(sample(np.zeros(5)), sample(gains)).p == expected == 6 / 32


def test_videos_that_do_not_differ_say_nothing_and_queries_of_one_video_change_sides_together():
    among_equals = compare(sample([0] * 200), sample([1] * 3 + [0] * 197))
    assert among_equals.p == 2 / 2**3
    of_one_video = ["a"] * 50 + ["b"] * 50
    assert compare(sample([0] * 100, units=of_one_video), sample([1] * 100, units=of_one_video)).p == 0.5


def test_a_video_counts_by_its_queries_and_its_group():
    # weights of the shares: 1/2 (a alone in its group), 1/2 * 3/4 and -1/2 * 1/4: only the two ways of all as they are
    # or all turned reach 0.75, and those in which the last turns exceed it
    units, groups = ["a", "b", "b", "b", "c"], ["x", "y", "y", "y", "y"]
    found = compare(sample([0] * 5, units, groups), sample([1, 1, 1, 1, -1], units, groups))
    assert found.difference.mean == pytest.approx(0.75)
    assert found.p == 4 / 8


@pytest.mark.parametrize("n", [2, 5])
def test_a_few_videos_that_agree_have_no_interval_without_a_width(n):
    assert interval(sample([1] * n)).low is None
    assert interval(sample([0, 1] * n)).low is not None


def test_one_video_has_no_interval():
    found = interval(sample([1, 1, 0], units=["a", "a", "a"]))
    assert (found.mean, found.low, found.high) == (pytest.approx(2 / 3), None, None)
    assert compare(sample([0]), sample([1])).difference.low is None


def test_many_videos_are_resampled_and_few_of_them_agree_with_that():
    rng = np.random.default_rng(4)
    gains = rng.normal(0.2, 0.4, 17)
    resampled = compare(sample(np.zeros(17)), sample(gains), n=20000).p
    exact = compare(sample(np.zeros(16)), sample(gains[:16])).p
    assert 0.005 < exact < 0.2
    assert resampled == pytest.approx(exact, abs=0.08)
