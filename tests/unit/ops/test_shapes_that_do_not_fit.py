"""What the functions around the kernels do with shapes that do not fit: refused, or broadcast as plain PyTorch does."""

import pytest
import torch

from spikemba.errors import ShapeError
from spikemba.ops import selective_scan, selective_scan_fn
from spikemba.ops.batch_norm import BatchNorm
from spikemba.ops.causal_conv import causal_conv_silu, causal_conv_silu_both, causal_conv_silu_from, gated_sum
from spikemba.ops.native.library import ENVIRONMENT
from spikemba.ops.selective_scan import scan_block, scan_from
from spikemba.ops.spiking import NeuronConfig, spiking_attention, spiking_layer

B, L, E, N, K = 2, 6, 8, 3, 4


@pytest.fixture(params=["", "0"], ids=["kernels", "plain"], autouse=True)
def _way(request, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, request.param)


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def block_arguments():
    given = {"x": random(B, L, E), "step": random(B, L, E), "a": -random(E, N).abs(), "b": random(B, L, N)}
    return given | {"c": random(B, L, N), "skip": random(E), "mask": torch.ones(B, L, dtype=torch.bool)}


def official_arguments():
    given = {"u": random(B, E, L), "delta": random(B, E, L), "A": -random(E, N).abs(), "B": random(B, N, L)}
    return given | {"C": random(B, N, L), "D": random(E), "z": random(B, E, L), "delta_bias": random(E)}


def conv_arguments():
    return {"x": random(B, L, E), "weight": random(E, 1, K), "bias": random(E), "mask": torch.ones(B, L).bool()}


def both(x, weight, bias, mask):
    return causal_conv_silu_both(x, (weight, bias), (weight, bias), mask)[1]


def layer(x, mask, **norm):
    return spiking_layer(x, mask, NeuronConfig(), BatchNorm(**norm, eps=1e-5, count=None)).trains


def layer_arguments():
    norm = {name: random(E).abs() for name in ("weight", "bias", "mean", "var")}
    return {"x": random(3, B, L, E), "mask": torch.ones(B, L).bool(), **norm}


def attention(x, mask, factor):
    return spiking_attention(x, mask, NeuronConfig(), None, 3, 2, factor)[0]


def attention_arguments():
    return {"x": random(B, L, 3 * E), "mask": torch.ones(B, L).bool(), "factor": random(B)}


def stream_arguments():
    given = block_arguments()
    return {"x": given["x"], "delta": given["step"].abs(), **{k: given[k] for k in "abc"}, "state": random(B, E, N)}


FUNCTIONS = {
    "scan_block": (lambda **given: scan_block(**given, reverse=False), block_arguments),
    "selective_scan_fn": (lambda **given: selective_scan_fn(**given, delta_softplus=True), official_arguments),
    "selective_scan_fn, plain delta": (selective_scan_fn, official_arguments),
    "causal_conv_silu": (causal_conv_silu, conv_arguments),
    "causal_conv_silu_both": (both, conv_arguments),
    "gated_sum": (gated_sum, lambda: {"first": random(B, L, E), "second": random(B, L, E), "gate": random(B, L, E)}),
    "spiking_layer": (layer, layer_arguments),
    "spiking_attention": (attention, attention_arguments),
    "scan_from": (lambda **given: scan_from(**given)[0], stream_arguments),
}
FREE = {("causal_conv_silu", "weight", 2), ("causal_conv_silu_both", "weight", 2)}
FREE |= {("spiking_layer", "x", 0), ("spiking_attention", "x", 2)}
"""Axes of any length: taps, steps, channels that nothing else has."""
PAIRS = [(name, argument) for name, (_, make) in FUNCTIONS.items() for argument in make()]


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_an_argument_that_is_too_short_too_long_or_elsewhere_is_refused(name, argument):
    run, make = FUNCTIONS[name]
    right = make()[argument]
    for axis in (one for one in range(right.dim()) if (name, argument, one) not in FREE):
        shorter = right.narrow(axis, 0, right.shape[axis] - 2 if right.shape[axis] > 3 else 0)
        for wrong in (shorter, torch.cat((right, right), axis)):
            with pytest.raises(ShapeError) as caught:
                run(**{**make(), argument: wrong})
            assert "\n" not in str(caught.value)
    with pytest.raises(ShapeError):
        run(**{**make(), argument: right.to("meta")})
    with pytest.raises(ShapeError):
        run(**{**make(), argument: right[..., None, None]})


BROADCAST = [
    ("scan_block", "skip", (1,)),
    ("scan_block", "skip", ()),
    ("scan_block", "mask", (1, L)),
    ("scan_block", "mask", (B, 1)),
    ("scan_block", "mask", (L,)),
    ("selective_scan_fn", "D", (1,)),
    ("selective_scan_fn", "delta_bias", (1,)),
    ("selective_scan_fn", "z", (B, E, 1)),
    ("selective_scan_fn", "z", (1, 1, L)),
    ("causal_conv_silu", "weight", (1, 1, K)),
    ("causal_conv_silu", "bias", (1,)),
    ("causal_conv_silu_both", "bias", ()),
    ("causal_conv_silu", "mask", (1, L)),
    ("gated_sum", "gate", (1, 1, E)),
    ("gated_sum", "gate", (B, L, 1)),
    ("gated_sum", "gate", (E,)),
    ("gated_sum", "first", (1, L, E)),
    ("gated_sum", "second", (L, 1)),
    ("spiking_layer", "mask", (1, L)),
    ("spiking_attention", "factor", (1,)),
]


@pytest.mark.parametrize(("name", "argument", "shape"), BROADCAST, ids=str)
def test_what_plain_pytorch_broadcasts_gives_what_its_copies_give_with_the_gradient(name, argument, shape):
    run, make = FUNCTIONS[name]
    given, whole = make(), make()[argument].shape
    small = random(*shape) if given[argument].is_floating_point() else torch.arange(max(shape)).reshape(shape) % 3 > 0
    found = []
    for expand in (False, True):
        leaf = small.clone().requires_grad_(small.is_floating_point() and argument != "factor")
        out = run(**{**given, argument: leaf.expand(whole).clone() if expand else leaf})
        if leaf.requires_grad:
            out.square().sum().backward()
        found.append((out.detach(), leaf.grad))
    (out, grad), (expected, expected_grad) = found
    torch.testing.assert_close(out, expected)
    if grad is not None:
        torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-4)


def test_heads_and_steps_that_cannot_be_are_refused():
    x, mask = random(B, L, 3 * E), torch.ones(B, L).bool()
    for steps, heads in ((3, 0), (3, 3), (0, 2)):
        with pytest.raises(ShapeError):
            spiking_attention(x, mask, NeuronConfig(), None, steps, heads, torch.ones(B))
    with pytest.raises(ShapeError, match="expected \\(B, M, 3D\\)"):
        spiking_attention(x[..., :-1], mask, NeuronConfig(), None, 3, 2, torch.ones(B))


def test_what_holds_no_real_numbers_is_refused():
    given = block_arguments()
    for dtype in (torch.int64, torch.complex64):
        with pytest.raises(ShapeError, match="expected a floating dtype"):
            scan_block(**{**given, "x": given["x"].to(dtype)}, reverse=False)
        with pytest.raises(ShapeError, match="expected a floating dtype"):
            causal_conv_silu(given["x"].to(dtype), random(E, 1, K), random(E))


def test_a_convolution_goes_on_only_from_as_many_positions_as_its_taps_reach():
    with pytest.raises(ShapeError, match=r"before is \(2, 2, 8\); expected \(2, 3, 8\)"):
        causal_conv_silu_from(random(B, L, E), random(E, 1, K), random(E), random(B, K - 2, E))


def test_empty_batches_pass():
    whole = ("a", "skip")
    given = {name: one if name in whole else one[:0] for name, one in block_arguments().items()}
    assert scan_block(**given, reverse=False).shape == (0, L, E)
    assert selective_scan(*(given[name] for name in ("x", "step", "a", "b", "c"))).shape == (0, L, E)
    assert causal_conv_silu(given["x"], random(E, 1, K), random(E)).shape == (0, L, E)
    assert gated_sum(given["x"], None, given["x"]).shape == (0, L, E)
