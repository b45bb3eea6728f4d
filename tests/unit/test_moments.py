import numpy as np
import pytest

from spikemba.moments import iou, runs, suppress


def test_overlap_of_windows_by_hand():
    found = iou(np.array([[0, 10], [5, 15], [3, 3]]), np.array([[0, 5], [20, 30], [3, 3]]))
    np.testing.assert_allclose(found, [[0.5, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_suppression_keeps_the_best_of_overlapping_windows():
    windows = np.array([[0, 10.0], [1, 10], [20, 30], [0, 5]])
    kept = suppress(windows, np.array([0.5, 0.9, 0.7, 0.1]), max_iou=0.7, keep=10)
    assert kept.tolist() == [1, 2, 3]
    assert suppress(windows, np.array([0.5, 0.9, 0.7, 0.1]), max_iou=0.7, keep=2).tolist() == [1, 2]


def test_suppression_keeps_the_order_of_ties():
    windows = np.array([[0, 1.0], [2, 3], [4, 5]])
    assert suppress(windows, np.ones(3), max_iou=0.5, keep=3).tolist() == [0, 1, 2]
    assert suppress(np.zeros((0, 2)), np.zeros(0), max_iou=0.5, keep=3).tolist() == []


@pytest.mark.parametrize(
    ("active", "gap", "expected"),
    [
        ("", 0, []),
        ("000", 0, []),
        ("111", 0, [(0, 3)]),
        ("0110010", 0, [(1, 3), (5, 6)]),
        ("0110101", 1, [(1, 7)]),
        ("1001", 1, [(0, 1), (3, 4)]),
        ("1001", 2, [(0, 4)]),
    ],
)
def test_runs_fill_gaps_up_to_the_limit(active, gap, expected):
    assert runs(np.array([c == "1" for c in active], dtype=bool), gap) == expected
