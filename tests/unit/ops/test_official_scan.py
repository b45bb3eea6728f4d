"""The drop-in for mamba_ssm's selective_scan_fn, held to its definition: one position after another, in float64."""

import pytest
import torch
import torch.nn.functional as F

from spikemba.errors import ShapeError
from spikemba.ops import selective_scan_fn

B, E, L, N = 2, 12, 21, 5


def definition(u, delta, a, b, c, d=None, z=None, delta_bias=None, delta_softplus=False):
    """(B, E, L) tensors, all in float64; b, c of shape (E, N), (B, N, L) or (B, G, N, L)."""

    def per_channel(tensor):
        if tensor.dim() == 2:
            return tensor[None, :, :, None].expand(len(u), -1, -1, u.shape[2])
        if tensor.dim() == 3:
            tensor = tensor[:, None]
        return tensor.repeat_interleave(u.shape[1] // tensor.shape[1], dim=1)  # (B, E, N, L)

    b, c = per_channel(b), per_channel(c)
    delta = delta if delta_bias is None else delta + delta_bias[:, None]
    delta = F.softplus(delta) if delta_softplus else delta
    state, ys = u.new_zeros(*u.shape[:2], a.shape[1]), []
    for t in range(u.shape[2]):
        state = (delta[..., t, None] * a).exp() * state + (delta[..., t] * u[..., t])[..., None] * b[..., t]
        ys.append((state * c[..., t]).sum(-1))
    y = torch.stack(ys, -1)
    y = y if d is None else y + d[:, None] * u
    return (y if z is None else y * F.silu(z)), state


def tensors(b_shape, c_shape):
    g = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    needed = [normal(B, E, L), normal(B, E, L).abs() * 0.2, -normal(E, N).abs(), normal(*b_shape), normal(*c_shape)]
    return needed, {"D": normal(E), "z": normal(B, E, L), "delta_bias": 0.1 * normal(E).abs()}


def relative(found, expected):
    return ((found.double() - expected).abs().max() / expected.abs().max()).item()


VARYING, GROUPED, CONSTANT = (B, N, L), (B, 3, N, L), (E, N)
OPTIONS = [(), ("D",), ("z",), ("delta_bias",), ("D", "z", "delta_bias")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("used", OPTIONS, ids=str)
@pytest.mark.parametrize(
    "shapes", [(VARYING, VARYING), (GROUPED, GROUPED), (GROUPED, VARYING), (CONSTANT, VARYING), (CONSTANT, CONSTANT)]
)
def test_output_state_and_every_gradient_equal_the_definition(shapes, used, softplus, dtype):
    needed, optional = tensors(*shapes)
    chosen = {name: optional[name] for name in used}
    exact = [t.clone().requires_grad_() for t in (*needed, *chosen.values())]
    ours = [t.detach().to(dtype).requires_grad_() for t in exact]
    names = {"D": "d"}
    named = {names.get(name, name): t for name, t in zip(used, exact[5:], strict=True)}
    y, state = definition(*exact[:5], **named, delta_softplus=softplus)
    found = selective_scan_fn(*ours[:5], **dict(zip(used, ours[5:], strict=True)), delta_softplus=softplus)
    limit = 2e-6 if dtype == torch.float32 else 1e-12
    assert relative(found, y) < limit
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (y * weight).sum().backward()
    (found * weight.to(dtype)).sum().backward()
    for mine, theirs in zip(ours, exact, strict=True):
        assert relative(mine.grad, theirs.grad) < limit
    options = {**dict(zip(used, ours[5:], strict=True)), "delta_softplus": softplus}
    again, last = selective_scan_fn(*ours[:5], **options, return_last_state=True)
    assert relative(again, y) < limit
    assert relative(last, state) < limit
    assert not last.requires_grad


def test_half_precision_goes_in_and_comes_out():
    needed, _ = tensors(VARYING, VARYING)
    halves = [t.bfloat16() for t in needed]
    y = selective_scan_fn(*halves)
    assert y.dtype == torch.bfloat16
    assert relative(y, definition(*(t.double() for t in halves))[0]) < 2**-8  # the rounding of the result alone


def test_what_does_not_fit_is_named():
    (u, delta, a, b, c), _ = tensors(VARYING, VARYING)
    with pytest.raises(ShapeError, match="complex"):
        selective_scan_fn(u, delta, a.to(torch.complex128), b, c)
    with pytest.raises(ShapeError, match=r"B is \(2, 5, 20\)"):
        selective_scan_fn(u, delta, a, b[..., :-1], c)
    with pytest.raises(ShapeError, match="as many groups"):
        selective_scan_fn(u, delta, a, b[:, None].expand(-1, 5, -1, -1), c)


def test_the_bias_of_a_half_step_is_added_in_float32():
    """The official kernel reads the step in half precision and its bias in float32."""
    needed, options = tensors(VARYING, VARYING)
    u, delta, a, b, c = (t.bfloat16() for t in needed)
    bias = options["delta_bias"].float() - 4.003
    y = selective_scan_fn(u, delta, a, b, c, delta_bias=bias, delta_softplus=True)
    ready = delta.float() + bias[:, None]
    assert torch.equal(y, selective_scan_fn(u, ready, a, b, c, delta_softplus=True))
    assert not torch.equal(y, selective_scan_fn(u, ready.bfloat16(), a, b, c, delta_softplus=True))
