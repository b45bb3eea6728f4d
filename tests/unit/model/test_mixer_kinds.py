"""The mixers of the ablations: what each position sees, padding, and what learns."""

import pytest
import torch
import torch.nn.functional as F

from spikemba.model.mamba_block import MixerConfig
from spikemba.model.mixers import make_mixer

WIDTH, LENGTH, TAPS = 16, 12, 4
KINDS = ("scan", "mamba2", "hydra", "conv", "attention", "attention_conv")


def mixer_of(kind, gate="input", **more):
    torch.manual_seed(0)
    sizes = {"n_heads": 4, "head_width": 8, "conv_width": TAPS - (kind == "hydra"), **more}
    return make_mixer(WIDTH, MixerConfig(kind=kind, **sizes), gate=gate)


def sees(mixer, position):
    """Positions whose input changes the output there."""
    x = torch.randn(1, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1), requires_grad=True)
    mixer(x)[0, position].square().sum().backward()
    return [t for t in range(LENGTH) if x.grad[0, t].any()]


def test_without_a_scan_a_position_sees_as_far_as_the_convolutions_reach():
    assert sees(mixer_of("conv"), 5) == [2, 3, 4, 5, 6, 7, 8]  # K - 1 = 3 to each side
    assert sees(mixer_of("conv", directions="forward"), 5) == [2, 3, 4, 5]
    for kind in ("scan", "mamba2", "hydra", "attention", "attention_conv"):
        assert sees(mixer_of(kind), 5) == list(range(LENGTH))


@torch.no_grad()
def test_the_convolution_alone_is_what_it_says():
    mixer, x = mixer_of("conv", directions="forward"), torch.randn(2, LENGTH, WIDTH)
    conv = mixer.conv.ahead
    conv.D.uniform_(0.5, 2)
    u, z = mixer.in_proj(x).chunk(2, dim=-1)
    behind = F.silu(conv.conv1d(F.pad(u.transpose(1, 2), (TAPS - 1, 0)))).transpose(1, 2)
    torch.testing.assert_close(mixer(x), mixer.out_proj(conv.D * behind * F.silu(z)))


@torch.no_grad()
def test_attention_behind_the_convolution_is_attention_over_what_the_convolutions_give():
    mixer, x = mixer_of("attention_conv"), torch.randn(1, LENGTH, WIDTH)
    read = mixer.conv.ahead(x, None) + mixer.conv.behind(x, None)
    q, k, v = mixer.qkv_proj(read).chunk(3, dim=-1)
    heads = []
    for one in zip(*(part.chunk(4, dim=-1) for part in (q, k, v)), strict=True):
        weights = (one[0] @ one[1].transpose(1, 2) / one[0].shape[-1] ** 0.5).softmax(-1)
        heads.append(weights @ one[2])
    torch.testing.assert_close(mixer(x), mixer.out_proj(torch.cat(heads, dim=-1) * F.silu(mixer.gate_proj(x))))


@torch.no_grad()
@pytest.mark.parametrize("gate", ["input", "other"])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_either_side_changes_nothing(kind, gate):
    mixer = mixer_of(kind, gate)
    x, other = torch.randn(2, 1, 9, WIDTH).unbind(0)
    given = (other,) if gate == "other" else ()
    alone = mixer(x, None, *given)
    for before, after in ((0, 5), (4, 0), (3, 6)):
        size = (1, before + 9 + after, WIDTH)
        mask = torch.zeros(size[:2], dtype=torch.bool)
        mask[:, before : before + 9] = True
        padded = [100 * torch.randn(size).masked_scatter(mask[..., None], one / 100) for one in (x, *given)]
        found = mixer(padded[0], mask, *padded[1:])[:, before : before + 9]
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("gate", ["input", "other"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_a_mixer_learns(kind, gate):
    mixer = mixer_of(kind, gate)
    given = (torch.randn(2, LENGTH, WIDTH),) if gate == "other" else ()
    mixer(torch.randn(2, LENGTH, WIDTH), None, *given).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in mixer.parameters())


def shapes_of(kind):
    return {name: tuple(parameter.shape) for name, parameter in mixer_of(kind, "other").named_parameters()}


def test_the_convolution_has_the_scans_parameters_but_those_of_the_scan():
    scan, conv = shapes_of("scan"), shapes_of("conv")
    kept = {name for name in scan if not any(word in name for word in ("x_proj", "dt_proj", "A_log"))}
    names = {name.replace("forward_scan", "conv.ahead").replace("backward_scan", "conv.behind"): name for name in kept}
    assert conv == {name: scan[old] for name, old in names.items()}


def test_attention_behind_the_convolution_has_the_parameters_of_both():
    attention, behind = shapes_of("attention"), shapes_of("attention_conv")
    added = {name: shape for name, shape in behind.items() if name not in attention}
    assert {name: behind[name] for name in attention} == attention
    of_one = {"conv1d.weight": (WIDTH, 1, TAPS), "conv1d.bias": (WIDTH,), "D": (WIDTH,)}
    assert added == {f"conv.{way}.{name}": shape for way in ("ahead", "behind") for name, shape in of_one.items()}
