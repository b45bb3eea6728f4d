import pytest
import torch
import torch.nn.functional as F

from spikemba.ops import causal_conv_silu


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
