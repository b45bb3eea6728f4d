"""The exact scan: with and without the compiled kernel, at widths and lengths that divide nothing, around holes."""

import numpy as np
import pytest
import torch

from spikemba.library import matrix, scan
from spikemba.ops.native.library import load


@pytest.fixture(params=["kernel", "torch"])
def either(request, monkeypatch):
    """Both ways of multiplying."""
    if request.param == "kernel" and load().library is None:
        pytest.skip(f"no compiled kernels: {load().detail}")
    monkeypatch.setenv("SPIKEMBA_NATIVE", "1" if request.param == "kernel" else "0")


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 16), (261, 33), (1030, 192), (2, 513)])
def test_products_are_those_of_float64(either, shape):
    random = np.random.default_rng(0)
    rows = random.standard_normal(shape).astype(np.float16)
    query = random.standard_normal(shape[1]).astype(np.float32)
    out = np.full(shape[0], np.nan, np.float32)
    scan.products(rows, query, out)
    np.testing.assert_allclose(out, rows.astype(np.float64) @ query, rtol=1e-5, atol=1e-5)


def test_every_finite_half_is_read_exactly(either):
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    for width in (1, 64):
        rows = np.zeros((len(halves), width), np.float16)
        rows[:, 0] = halves
        out = np.empty(len(halves), np.float32)
        query = np.zeros(width, np.float32)
        query[0] = 1
        scan.products(rows, query, out)
        np.testing.assert_array_equal(out, halves.astype(np.float32))


def test_threads_change_no_bit():
    if load().library is None:
        pytest.skip("no compiled kernels")
    random = np.random.default_rng(0)
    rows = random.standard_normal((3001, 96)).astype(np.float16)
    query = random.standard_normal(96).astype(np.float32)
    one, three = np.empty(3001, np.float32), np.empty(3001, np.float32)
    scan.products(rows, query, one)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        scan.products(rows, query, three)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("gap", [0, 2, 10_000])
@pytest.mark.parametrize("kept", [0, 1 << 40])
def test_runs_are_scored_and_holes_are_not(either, tmp_path, monkeypatch, gap, kept):
    monkeypatch.setattr(scan, "SMALL_GAP", gap)
    monkeypatch.setattr(scan, "KEPT_BYTES", kept)
    monkeypatch.setattr(scan, "CHUNK_BYTES", 7 * 2 * 100)
    random = np.random.default_rng(1)
    rows = random.standard_normal((500, 100)).astype(np.float16)
    rows[200] = 0
    matrix.append(tmp_path, "m", 0, 100, [rows[:123], rows[123:]])
    found = matrix.open_matrix(tmp_path, "m", 500, 100)
    first, n_rows = np.array([3, 10, 20, 199, 480]), np.array([7, 5, 1, 4, 20])
    query = random.standard_normal(100)
    wide = rows.astype(np.float64)
    truth = wide @ query / np.maximum(np.linalg.norm(wide, axis=1), 1e-30) / np.linalg.norm(query)
    scores = scan.cosines(found, query, first, n_rows)
    inside = np.zeros(500, bool)
    for a, n in zip(first, n_rows, strict=True):
        inside[a : a + n] = True
    np.testing.assert_allclose(scores[inside], truth[inside], atol=1e-6)
    assert scores[200] == 0
    assert np.isneginf(scores[~inside]).all()
    maxima = scan.run_maxima(scores, first, n_rows)
    np.testing.assert_array_equal(maxima, [scores[a : a + n].max() for a, n in zip(first, n_rows, strict=True)])
    assert set(scan.top(scores, 500)) == set(np.flatnonzero(inside))


def test_the_top_is_in_order_and_equal_ones_come_by_place():
    scores = np.array([1, 5, -np.inf, 5, 3, 5, 1], np.float32)
    assert scan.top(scores, 2).tolist() == [1, 3]
    assert scan.top(scores, 5).tolist() == [1, 3, 5, 4, 0]
    assert scan.top(scores, 99).tolist() == [1, 3, 5, 4, 0, 6]
    assert scan.top(scores, 0).tolist() == []
    assert scan.top(scores[:0], 3).tolist() == []


def test_a_vector_of_nothing_is_near_to_nothing(tmp_path):
    matrix.append(tmp_path, "m", 0, 4, [np.ones((2, 4), np.float16)])
    found = matrix.open_matrix(tmp_path, "m", 2, 4)
    assert scan.cosines(found, np.zeros(4), np.array([0]), np.array([2])).tolist() == [0, 0]


def test_numbers_that_float16_has_not_are_refused():
    with pytest.raises(OverflowError, match="a feature is 70000; a library holds float16, up to 65,504"):
        matrix.stored(np.array([[1.0, -70000.0]]))
