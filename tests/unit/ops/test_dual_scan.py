"""Mamba-2's scan by matrix products: the recurrence, an independent implementation, gradients, streaming, padding."""

import pytest
import torch

from spikemba.errors import ShapeError
from spikemba.ops.dual_scan import dual_scan, dual_scan_from, dual_scan_reference

SHAPES = [(1, 1, 1, 1, 1, 1), (2, 7, 3, 5, 1, 3), (3, 33, 4, 8, 2, 7), (2, 75, 6, 16, 3, 64), (1, 131, 2, 64, 1, 16)]
"""B, L, H, P, G, N."""
NAMES = ("x", "delta", "a", "b", "c")


def inputs(batch, length, heads, width, groups, n, dtype=torch.float64, largest_step=0.5, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, length, heads, width, generator=g, dtype=torch.float64)
    delta = largest_step * torch.rand(batch, length, heads, generator=g, dtype=torch.float64)
    a = -torch.rand(heads, generator=g, dtype=torch.float64) * 16 - 0.01
    b, c = torch.randn(2, batch, length, groups, n, generator=g, dtype=torch.float64)
    return [tensor.to(dtype).requires_grad_() for tensor in (x, delta, a, b, c)]


def relative(found, expected):
    return ((found.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-12)).item()


def test_constant_input_gives_a_geometric_series():
    one = torch.ones(1, 5, 1, 1)
    y, state = dual_scan_reference(one, one[..., 0], -torch.ones(1), one, one)
    series = torch.exp(-torch.arange(5.0)).cumsum(0)
    torch.testing.assert_close(y.flatten(), series)
    torch.testing.assert_close(state.flatten(), series[-1:])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("chunk", [1, 7, 16, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_every_gradient_equal_the_float64_recurrence(shape, chunk, reverse):
    exact, fast = inputs(*shape), inputs(*shape, dtype=torch.float32)
    turned = [one.flip(1) if reverse and one.dim() > 1 else one for one in exact]
    y = dual_scan_reference(*turned)[0]
    y = y.flip(1) if reverse else y
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (y * weight).sum().backward()
    found = dual_scan(*fast, reverse=reverse, chunk=chunk)
    (found * weight.float()).sum().backward()
    assert relative(found, y) < 1e-6
    for name, mine, theirs in zip(NAMES, fast, exact, strict=True):
        assert relative(mine.grad, theirs.grad) < 3e-6, name


@pytest.mark.parametrize("chunk", [2, 64])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_gradient_is_right_in_double_precision(chunk, reverse):
    tensors = inputs(2, 9, 4, 3, 2, 5)
    assert torch.autograd.gradcheck(lambda *t: dual_scan(*t, reverse=reverse, chunk=chunk), tensors)
    state = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, *t: dual_scan_from(*t, s, chunk=chunk), [state, *tensors])


@pytest.mark.parametrize("largest_step", [1e-4, 5.0, 200.0])
def test_small_and_large_steps_stay_finite_and_exact(largest_step):
    exact = inputs(2, 150, 4, 8, 1, 8, largest_step=largest_step)
    fast = inputs(2, 150, 4, 8, 1, 8, largest_step=largest_step, dtype=torch.float32)
    y = dual_scan_reference(*exact)[0]
    y.sum().backward()
    found = dual_scan(*fast)
    found.sum().backward()
    assert relative(found, y) < 1e-6
    for mine, theirs in zip(fast, exact, strict=True):
        assert mine.grad.isfinite().all()
        assert relative(mine.grad, theirs.grad) < 1e-5


@pytest.mark.parametrize("pieces", [[1] * 19, [7, 1, 11], [19]], ids=str)
@torch.no_grad()
def test_a_sequence_in_pieces_gives_what_the_whole_one_gives(pieces):
    x, delta, a, b, c = inputs(2, 19, 4, 5, 2, 3, dtype=torch.float32)
    whole, last = dual_scan_reference(x, delta, a, b, c)
    state, first = None, 0
    for size in pieces:
        rows = slice(first, first + size)
        y, state = dual_scan_from(x[:, rows], delta[:, rows], a, b[:, rows], c[:, rows], state, chunk=3)
        torch.testing.assert_close(y, whole[:, rows], rtol=1e-5, atol=1e-5)
        first += size
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunk", [5, 64])
@torch.no_grad()
def test_a_position_with_zero_step_is_not_there(chunk):
    x, delta, a, b, c = inputs(2, 20, 4, 3, 1, 4, dtype=torch.float32)

    def with_gap(tensor, middle):
        return torch.cat((tensor[:, :8], middle, tensor[:, 8:]), dim=1)

    junk_x, junk_b = torch.randn(2, 6, 4, 3), torch.randn(2, 6, 1, 4)
    longer = with_gap(x, junk_x), with_gap(delta, torch.zeros(2, 6, 4)), a, with_gap(b, junk_b), with_gap(c, junk_b)
    padded = dual_scan(*longer, chunk=chunk)
    expected = dual_scan(x, delta, a, b, c, chunk=chunk)
    torch.testing.assert_close(torch.cat((padded[:, :8], padded[:, 14:]), dim=1), expected, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("length", "chunk"), [(1, 4), (17, 4), (75, 16)])
def test_it_equals_the_scan_of_transformers(length, chunk):
    theirs = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")
    x, delta, a, b, c = inputs(2, length, 6, 8, 3, 12, dtype=torch.float32)
    start = torch.randn(2, 6, 8, 12)
    expected, last = theirs.mamba2_chunk_scan(
        x, delta, a, b, c, chunk_size=8, initial_states=start, return_final_states=True
    )
    y, state = dual_scan_from(x, delta, a, b, c, start, chunk=chunk)
    assert relative(y, expected) < 1e-5
    assert relative(state, last) < 1e-5


@pytest.mark.parametrize("length", [5, 40])
def test_a_batch_without_rows_gives_none(length):
    tensors = inputs(0, length, 4, 3, 2, 5)
    y = dual_scan(*tensors, chunk=8)
    y.sum().backward()
    assert y.shape == (0, length, 4, 3)
    assert not tensors[2].grad.any()


def test_half_precision_at_the_door_is_computed_in_float32():
    tensors = [tensor.detach().bfloat16() for tensor in inputs(2, 40, 4, 8, 1, 4)]
    with torch.autocast("cpu", torch.bfloat16):
        y = dual_scan(*tensors)
    assert y.dtype == torch.bfloat16
    assert relative(y, dual_scan_reference(*(tensor.double() for tensor in tensors))[0]) < 0.01


def test_inputs_that_do_not_fit_are_named():
    x, delta, a, b, c = inputs(2, 5, 4, 3, 2, 7)
    with pytest.raises(ShapeError, match=r"^b is \(2, 5, 3, 7\); expected \(2, 5, G, N\) with G groups of the 4"):
        dual_scan(x, delta, a, torch.ones(2, 5, 3, 7), c)
    with pytest.raises(ShapeError, match=r"^c is \(2, 5, 2, 6\); expected \(2, 5, 2, 7\)$"):
        dual_scan(x, delta, a, b, c[..., :6])
    with pytest.raises(ShapeError, match=r"^a is \(3,\); expected \(4,\)$"):
        dual_scan(x, delta, a[:3], b, c)
    with pytest.raises(ShapeError, match=r"^x is \(2, 5, 4\); expected \(B, L, H, P\)"):
        dual_scan(delta, delta, a, b, c)
    with pytest.raises(ShapeError, match=r"^state is \(2, 4, 3, 6\); expected \(2, 4, 3, 7\)"):
        dual_scan_from(x, delta, a, b, c, torch.ones(2, 4, 3, 6))
