"""Every shape that has a 1 in it, however its tensors lie in memory, held to float64 with gradients and last states."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from spikemba.ops import selective_scan_fn
from spikemba.ops.causal_conv import causal_conv_silu_both, gated_sum
from spikemba.ops.native.library import load
from spikemba.ops.selective_scan import scan_block, scan_from, selective_scan, selective_scan_reference
from spikemba.ops.spiking import NeuronConfig, spiking_attention, spiking_layer

needs_kernels = pytest.mark.skipif(load().library is None, reason=load().detail)

SHAPES = [shape for shape in itertools.product((1, 3), (1, 5), (1, 18), (1, 7)) if 1 in shape]
"""B, L, E, N."""


def packed(tensor):
    return tensor.clone()


def transposed(tensor):
    """The last two axes the other way round in memory."""
    return tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor.clone()


def pairs_last(tensor):
    """The first axis the fastest in memory."""
    return tensor.movedim(0, -1).contiguous().movedim(-1, 0)


def strided(tensor):
    """Every second of something longer, along each axis."""
    whole = tensor.new_full([2 * size + 1 for size in tensor.shape], float("nan"))
    part = whole[tuple(slice(1, None, 2) for _ in tensor.shape)]
    return part.copy_(tensor)


def in_a_wider_row(tensor):
    """As a projection's split gives it."""
    whole = tensor.new_full((*tensor.shape[:-1], tensor.shape[-1] + 3), float("nan"))
    return whole[..., 2 : tensor.shape[-1] + 2].copy_(tensor)


def odd_strides(tensor):
    """Axes of length 1 with strides that mean nothing."""
    strides = [1 if size == 1 else stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    return tensor.clone().as_strided(tensor.shape, strides)


LAYOUTS = packed, transposed, pairs_last, strided, in_a_wider_row, odd_strides


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64)


def scan_inputs(batch, length, width, n):
    x, step = random(batch, length, width), random(batch, length, width, seed=1).abs()
    b, c = random(batch, length, n, seed=2), random(batch, length, n, seed=3)
    return [x, step, -random(width, n).abs() - 0.1, b, c]


def assert_close(found, expected, what):
    scale = expected.abs().max().clamp(min=1e-3)
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= 3e-6 * scale, what


def assert_equals_float64(run, exact, inputs, layout):
    """Outputs and every gradient of `run` on float32 tensors in some layout are those of `exact` in float64."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    laid = [layout(tensor.float()).requires_grad_() for tensor in inputs]
    outputs, expected = run(*laid), exact(*leaves)
    weights = [random(*out.shape, seed=9) for out in expected]
    sum((out * weight).sum() for out, weight in zip(expected, weights, strict=True)).backward()
    sum((out * weight.float()).sum() for out, weight in zip(outputs, weights, strict=True)).backward()
    for i, (mine, theirs) in enumerate(zip(outputs, expected, strict=True)):
        assert_close(mine.detach(), theirs.detach(), f"output {i}")
    for i, (mine, theirs) in enumerate(zip(laid, leaves, strict=True)):
        assert_close(mine.grad, theirs.grad, f"gradient {i}")


@needs_kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_scan_and_its_last_state(shape, layout):
    inputs = scan_inputs(*shape)
    for backend in ("native", "chunked"):
        assert_equals_float64(
            lambda *given, backend=backend: [selective_scan(*given, backend=backend)],
            lambda *given: [selective_scan_reference(*given)],
            inputs,
            layout,
        )
    state = random(shape[0], *shape[2:], seed=4)
    for before in (None, state):
        exact = scan_from(*inputs, before)
        found = scan_from(
            *(layout(tensor.float()) for tensor in inputs), None if before is None else layout(before.float())
        )
        for mine, theirs in zip(found, exact, strict=True):
            assert_close(mine, theirs, "stream")


@needs_kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_block_and_the_official_form(shape, layout):
    x, step, a, b, c = scan_inputs(*shape)
    skip = random(shape[2])

    def block(*given):
        return [scan_block(*given, None, reverse=True)]

    assert_equals_float64(block, block, [x, step, a, b, c, skip], layout)

    def official(u, delta, a, b, c, d, z):
        return [selective_scan_fn(u, delta, a, b, c, d, z, delta_softplus=True)]

    turned = [tensor.mT for tensor in (x, step)], [tensor.mT for tensor in (b, c)]
    assert_equals_float64(official, official, [*turned[0], a, *turned[1], skip, x.mT], layout)


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_expanded_tensors_are_what_their_copies_are(shape):
    inputs = [tensor.float() for tensor in scan_inputs(*shape)]
    for which in range(5):
        for axis in range(inputs[which].dim()):
            leaf = inputs[which].narrow(axis, 0, 1)
            found = []
            for copy in (False, True):
                leaf = leaf.detach().requires_grad_()
                whole = leaf.expand(inputs[which].shape)
                given = [*inputs[:which], whole.clone() if copy else whole, *inputs[which + 1 :]]
                y = selective_scan(*given, backend="native")
                y.square().sum().backward()
                found.append((y.detach(), leaf.grad))
            torch.testing.assert_close(found[0], found[1])


@needs_kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [s for s in itertools.product((1, 3), (1, 5), (1, 18), (1, 4)) if 1 in s], ids=str)
def test_the_convolution_and_the_gate(shape, layout):
    batch, length, width, taps = shape
    inputs = [random(batch, length, width), random(width, 1, taps), random(width), random(width, 1, taps, seed=1)]

    def both(x, weight, bias, weight2):
        return causal_conv_silu_both(x, (weight, bias), (weight2, bias))

    assert_equals_float64(both, both, inputs, layout)
    gates = [random(batch, length, width, seed=seed) for seed in range(3)]
    assert_equals_float64(lambda *given: [gated_sum(*given)], lambda y, y2, z: [(y + y2) * F.silu(z)], gates, layout)


@needs_kernels
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [s for s in itertools.product((1, 2), (1, 3), (1, 5), (1, 6)) if 1 in s], ids=str)
def test_the_neurons_and_their_attention(shape, layout):
    steps, batch, positions, width = shape
    mask = torch.ones(batch, positions, dtype=torch.bool)
    neuron = NeuronConfig()

    def layer(x):
        found = spiking_layer(x, mask, neuron, None)
        return [found.trains, found.rates, found.counts]

    assert_equals_float64(layer, layer, [random(*shape)], layout)

    def attention(x):
        factor = torch.ones(batch, dtype=x.dtype)
        return spiking_attention(x, mask, neuron, None, steps, 1, factor)

    assert_equals_float64(attention, attention, [random(batch, positions, 3 * width)], layout)
