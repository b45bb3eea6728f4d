"""One order out of several."""

import pytest

from spikemba.library.fusion import fused


def test_a_key_has_the_sum_of_its_reciprocal_ranks():
    found = fused(["a", "b"], ["b", "c"], k=60)
    assert found == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62})
    assert list(found) == ["b", "a", "c"]


def test_of_equal_sums_the_earlier_list_comes_first():
    assert list(fused(["a"], ["b"])) == ["a", "b"]


def test_a_key_counts_once_per_list():
    assert fused(["a", "a", "b"]) == pytest.approx({"a": 1 / 61, "b": 1 / 62})


def test_one_list_keeps_its_order_and_none_gives_nothing():
    assert list(fused([3, 1, 2])) == [3, 1, 2]
    assert fused() == {}
