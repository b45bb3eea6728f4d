import pytest
import torch

from spikemba.errors import ShapeError, UnknownName
from spikemba.ops import chunked_scan
from spikemba.ops.native.library import load
from spikemba.ops.selective_scan import BACKENDS, selective_scan, selective_scan_reference

HERE = [name for name in BACKENDS if name not in ("mamba_ssm", "triton") and (name != "native" or load().library)]
"""Backends that run on any CPU; the others are tested in test_gpu_scans.py."""
FAST = [name for name in HERE if name != "reference"]
SHAPES = [(1, 1, 1, 1), (2, 1, 5, 3), (3, 7, 4, 16), (2, 33, 6, 8), (1, 131, 3, 16), (4, 64, 16, 2), (1, 2000, 4, 4)]


def inputs(batch, length, width, n, dtype=torch.float64, largest_step=0.5, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, length, width, generator=g, dtype=torch.float64)
    delta = largest_step * torch.rand(batch, length, width, generator=g, dtype=torch.float64)
    a = -torch.rand(width, n, generator=g, dtype=torch.float64) * 16 - 0.01
    b, c = torch.randn(2, batch, length, n, generator=g, dtype=torch.float64)
    return [tensor.to(dtype).requires_grad_() for tensor in (x, delta, a, b, c)]


def relative(found, expected):
    return ((found.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-12)).item()


def test_constant_input_gives_a_geometric_series():
    ones = torch.ones(1, 5, 1)
    y = selective_scan_reference(ones, ones, -torch.ones(1, 1), ones, ones)
    torch.testing.assert_close(y[0, :, 0], torch.exp(-torch.arange(5.0)).cumsum(0))


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_every_gradient_equal_the_float64_recurrence(backend, shape):
    exact, fast = inputs(*shape), inputs(*shape, dtype=torch.float32)
    y = selective_scan_reference(*exact)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (y * weight).sum().backward()
    found = selective_scan(*fast, backend=backend)
    (found * weight.float()).sum().backward()
    assert relative(found, y) < 1e-6
    for name, mine, theirs in zip("x delta a b c".split(), fast, exact, strict=True):
        assert relative(mine.grad, theirs.grad) < 2e-6, name


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("largest_step", [1e-4, 5.0, 200.0])
def test_small_and_large_steps_stay_finite_and_exact(backend, largest_step):
    exact = inputs(2, 90, 4, 8, largest_step=largest_step)
    fast = inputs(2, 90, 4, 8, largest_step=largest_step, dtype=torch.float32)
    selective_scan_reference(*exact).sum().backward()
    y = selective_scan(*fast, backend=backend)
    y.sum().backward()
    for mine, theirs in zip(fast, exact, strict=True):
        assert mine.grad.isfinite().all()
        assert relative(mine.grad, theirs.grad) < 1e-5


def test_the_chunked_gradient_is_right_in_double_precision(monkeypatch):
    pair = 3 * 4 * 8  # bytes of one pair's state; tiles of two pairs by four positions, the last of both ragged
    monkeypatch.setattr(chunked_scan, "ROW_BYTES", 2 * pair / torch.get_num_threads())
    monkeypatch.setattr(chunked_scan, "TILE_BYTES", 4 * 2 * pair / torch.get_num_threads())
    assert torch.autograd.gradcheck(chunked_scan.selective_scan_chunked, inputs(3, 10, 3, 4))


@pytest.mark.parametrize("backend", HERE)
def test_a_position_with_zero_step_is_not_there(backend):
    x, delta, a, b, c = (tensor.detach() for tensor in inputs(2, 20, 3, 4, dtype=torch.float32))
    gap = torch.zeros(2, 6, 3)
    junk_x, junk_b = torch.randn(2, 6, 3), torch.randn(2, 6, 4)

    def with_gap(tensor, middle):
        return torch.cat((tensor[:, :8], middle, tensor[:, 8:]), dim=1)

    y = selective_scan(x, delta, a, b, c, backend=backend)
    longer = (with_gap(x, junk_x), with_gap(delta, gap), a, with_gap(b, junk_b), with_gap(c, junk_b))
    padded = selective_scan(*longer, backend=backend)
    torch.testing.assert_close(torch.cat((padded[:, :8], padded[:, 14:]), dim=1), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", HERE)
def test_reverse_is_the_scan_of_the_reversed_sequence(backend):
    x, delta, a, b, c = (tensor.detach() for tensor in inputs(2, 17, 3, 4))
    forward = selective_scan(x.flip(1), delta.flip(1), a, b.flip(1), c.flip(1), backend=backend).flip(1)
    torch.testing.assert_close(selective_scan(x, delta, a, b, c, reverse=True, backend=backend), forward)


@pytest.mark.parametrize("backend", FAST)
def test_the_same_inputs_give_the_same_bits(backend):
    def run():
        tensors = inputs(3, 50, 8, 16, dtype=torch.float32)
        selective_scan(*tensors, backend=backend).square().sum().backward()
        return [tensor.grad for tensor in tensors]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


@pytest.mark.parametrize("backend", FAST)
def test_half_precision_at_the_door_is_computed_in_float32(backend):
    tensors = [tensor.detach().bfloat16() for tensor in inputs(2, 40, 4, 8)]
    y = selective_scan(*tensors, backend=backend)
    assert y.dtype == torch.bfloat16
    exact = selective_scan_reference(*(tensor.double() for tensor in tensors))
    assert relative(y, exact) < 0.01


def test_memory_does_not_hold_the_states_of_all_positions():
    x, delta, a, b, c = (t.detach() for t in inputs(1, 4096, 64, 16, dtype=torch.float32))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        selective_scan(x.requires_grad_(), delta, a, b, c, backend="chunked")
    assert sum(saved) < 4 * x.numel()  # all states would be 16 x


@pytest.mark.parametrize(("backend", "takes"), [("native", "a CPU"), ("triton", "a GPU")])
def test_a_device_that_a_backend_does_not_take_is_named(backend, takes):
    if backend == "triton":
        pytest.importorskip("triton")
    x, states = torch.ones(1, 5, 8, device="meta"), torch.ones(1, 5, 4, device="meta")
    assert selective_scan(x, x, -states[0, :1].expand(8, 4), states, states).shape == x.shape
    if backend != "native" or load().library:
        with pytest.raises(ShapeError, match=f"x is on meta; the .* tensors on {takes}"):
            selective_scan(x, x, -states[0, :1].expand(8, 4), states, states, backend=backend)


def test_inputs_that_do_not_fit_are_named():
    x, delta, a, b, c = inputs(2, 5, 3, 4)
    with pytest.raises(ShapeError, match=r"^b is \(2, 5, 3\); expected \(2, 5, 4\)$"):
        selective_scan(x, delta, a, x, c)
    with pytest.raises(ShapeError, match="delta"):
        selective_scan(x, delta[:, :4], a, b, c)
    with pytest.raises(ShapeError, match="L >= 1"):
        selective_scan(x[:, :0], delta[:, :0], a, b[:, :0], c[:, :0])
    with pytest.raises(UnknownName, match="no scan backend is called 'numba'; there are: "):
        selective_scan(x, delta, a, b, c, backend="numba")
