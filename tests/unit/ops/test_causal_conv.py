import pytest
import torch
import torch.nn.functional as F

from spikemba.ops.causal_conv import causal_conv_silu, causal_conv_silu_both, gated_sum


def inputs():
    torch.manual_seed(0)
    return torch.randn(2, 9, 6), torch.randn(6, 1, 4), torch.randn(6)


def test_equals_a_depthwise_convolution_padded_on_the_left():
    x, weight, bias = inputs()
    expected = F.silu(F.conv1d(F.pad(x.transpose(1, 2), (3, 0)), weight, bias, groups=6)).transpose(1, 2)
    torch.testing.assert_close(causal_conv_silu(x, weight, bias), expected)


def test_reverse_is_the_convolution_of_the_reversed_sequence():
    x, weight, bias = inputs()
    expected = causal_conv_silu(x.flip(1), weight, bias).flip(1)
    torch.testing.assert_close(causal_conv_silu(x, weight, bias, reverse=True), expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_neither_leaks_in_nor_stays_non_zero(reverse):
    x, weight, bias = inputs()
    mask = torch.arange(9) < 6
    masks = mask.expand(2, 9)
    padded = causal_conv_silu(x, weight, bias, masks, reverse=reverse)
    alone = causal_conv_silu(x[:, :6], weight, bias, reverse=reverse)
    torch.testing.assert_close(padded[:, :6], alone)
    assert (padded[:, 6:] == 0).all()


def assert_equals_float64(run, leaves, weights):
    """What `run` gives, and every gradient, in float32 and in float64."""
    found = []
    for dtype in (torch.float32, torch.float64):
        inputs = [leaf.detach().to(dtype).requires_grad_() for leaf in leaves]
        outputs = run(*inputs)
        sum((out * weight).sum() for out, weight in zip(outputs, weights.to(dtype), strict=True)).backward()
        found.append([*(out.detach() for out in outputs), *(leaf.grad for leaf in inputs)])
    for mine, exact in zip(*found, strict=True):
        assert (mine - exact).abs().max() <= 2e-6 * exact.abs().max()


@pytest.mark.parametrize(("length", "width", "taps"), [(150, 300, 4), (9, 6, 4), (2, 17, 4), (70, 40, 3), (1, 16, 8)])
def test_both_directions_equal_float64_with_every_gradient(length, width, taps):
    g = torch.Generator().manual_seed(length)
    mask = torch.arange(length) < torch.tensor([[length], [max(1, length - 5)]])
    leaves = [torch.randn(shape, generator=g) for shape in [(2, length, width)] + 2 * [(width, 1, taps), (width,)]]

    def run(x, weight, bias, weight2, bias2):
        return causal_conv_silu_both(x, (weight, bias), (weight2, bias2), mask)

    assert_equals_float64(run, leaves, torch.randn(2, 2, length, width, generator=g))


def test_the_gate_equals_float64_with_every_gradient():
    g = torch.Generator().manual_seed(0)
    leaves, weights = torch.randn(3, 2, 7, 11, generator=g), torch.randn(1, 2, 7, 11, generator=g)
    assert_equals_float64(lambda *tensors: [gated_sum(*tensors)], leaves, weights)
