"""The Mamba-2 mixer beside the official form's, its padding, orders, streams and steps."""

import pytest
import torch
import torch.nn.functional as F

from spikemba.errors import ConfigError
from spikemba.model.mamba2_mixer import GatedNorm, Mamba2Mixer
from spikemba.model.mamba_block import MixerConfig
from spikemba.ops.dual_scan import dual_scan_reference

SIZES = [(32, 2, 8, 64, 2, 4), (20, 3, 4, 7, 3, 3), (24, 2, 16, 33, 4, 1)]
"""Width, expand, head width, state size, taps, groups."""


def config_of(width, expand, head_width, n, taps, groups, **more):
    sizes = {"expand": expand, "head_width": head_width, "state_size": n, "conv_width": taps, "n_groups": groups}
    return width, MixerConfig(kind="mamba2", **sizes, **more)


def small(directions="both", gate="input", **more):
    torch.manual_seed(0)
    return Mamba2Mixer(*config_of(24, 2, 8, 5, 4, 2, directions=directions, **more), gate=gate)


def relative(found, expected):
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6)).item()


@pytest.mark.parametrize("length", [1, 17, 75])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_it_equals_the_mixer_of_transformers(sizes, length):
    """Their weights load by name, and output and every gradient are theirs to 1e-5."""
    theirs_of = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")
    width, expand, head_width, n, taps, groups = sizes
    theirs_config = theirs_of.Mamba2Config(
        hidden_size=width, expand=expand, head_dim=head_width, num_heads=expand * width // head_width, state_size=n,
        n_groups=groups, conv_kernel=taps, chunk_size=16, num_hidden_layers=1, vocab_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = theirs_of.Mamba2Mixer(theirs_config, 0)
    with torch.no_grad():
        for name in ("norm.weight", "D", "conv1d.bias"):
            theirs.get_parameter(name).uniform_(0.5, 2)
    mixer = Mamba2Mixer(*config_of(*sizes, directions="forward"))
    mixer.load_state_dict(theirs.state_dict())  # strict: every published name, and no other
    x = torch.randn(2, length, width)
    expected, found = theirs(x), mixer(x)
    assert relative(found, expected) < 1e-5
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    gradients = {name: one.grad for name, one in theirs.named_parameters()}
    for name, one in mixer.named_parameters():
        assert relative(one.grad, gradients[name]) < 1e-5, name


@torch.no_grad()
def test_both_directions_are_two_recurrences_whose_sum_is_gated_and_normed():
    mixer = small()
    for part in (mixer, mixer.backward_scan):
        part.D.uniform_(0.5, 2)
    mixer.norm.weight.uniform_(0.5, 2)
    x = torch.randn(2, 9, 24)
    z, xbc, dt = mixer.in_proj(x).split([48, 68, 6], dim=-1)

    def scanned(part, xbc, dt):
        xbc = F.silu(part.conv1d(F.pad(xbc.transpose(1, 2), (3, 0)))).transpose(1, 2)
        x, b, c = xbc.split([48, 10, 10], dim=-1)
        x, b, c = x.unflatten(-1, (6, 8)), b.unflatten(-1, (2, 5)), c.unflatten(-1, (2, 5))
        y, _ = dual_scan_reference(x, F.softplus(dt + part.dt_bias), -part.A_log.exp(), b, c)
        return (y + part.D[:, None] * x).flatten(2)

    y = scanned(mixer, xbc, dt) + scanned(mixer.backward_scan, xbc.flip(1), dt.flip(1)).flip(1)
    y = (y * F.silu(z)).unflatten(-1, (2, 24))
    y = (y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt()).flatten(2) * mixer.norm.weight
    torch.testing.assert_close(mixer(x), mixer.out_proj(y), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_another_order_of_the_backward_scan_is_the_sequence_in_that_order():
    mixer, x = small(), torch.randn(2, 9, 24)
    torch.testing.assert_close(mixer(x, order=torch.arange(8, -1, -1)), mixer(x), rtol=1e-5, atol=1e-6)
    order = torch.tensor([3, 1, 0, 2, 8, 5, 4, 7, 6])
    changed = x.clone()
    changed[:, 8] += 1  # before 5, 4, 7 and 6 in that order, and behind all others in either
    moved = (mixer(changed, order=order) - mixer(x, order=order)).abs().amax((0, 2)) > 0
    assert moved.nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("pieces", [[1] * 19, [7, 1, 11], [19]], ids=str)
@pytest.mark.parametrize("gate", ["input", "other"])
@torch.no_grad()
def test_a_stream_gives_what_the_whole_sequence_gives(pieces, gate):
    mixer = small("forward", gate)
    x, gate_x = torch.randn(2, 2, 19, 24).unbind(0)
    given = gate_x if gate == "other" else None
    whole, state, first = mixer(x, None, given), None, 0
    for size in pieces:
        rows = slice(first, first + size)
        out, state = mixer.step(x[:, rows], state, None if given is None else given[:, rows])
        torch.testing.assert_close(out, whole[:, rows], rtol=1e-5, atol=1e-6)
        first += size


def test_a_mixer_that_reads_the_future_cannot_stream():
    with pytest.raises(ConfigError, match="a stream needs 'forward'"):
        small().step(torch.ones(1, 1, 24), None)


@torch.no_grad()
def test_a_gate_by_another_sequence_keeps_its_amount():
    """Behind the norm, where half the gate is half the output; before it, nothing would be left of that."""
    mixer, x = small(gate="other"), torch.randn(1, 6, 24)
    mixer.gate_proj.weight.zero_()
    mixer.gate_proj.bias.fill_(1.0)
    open_wide = mixer(x, None, x)
    mixer.gate_proj.bias.fill_(0.5)
    share = F.silu(torch.tensor(0.5)) / F.silu(torch.tensor(1.0))
    torch.testing.assert_close(mixer(x, None, x), share * open_wide, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_norm_is_of_each_group_and_in_float32():
    norm = GatedNorm(8, 2, norm_first=True)
    x = torch.tensor([[[3.0, 4, 0, 0, 300, 400, 0, 0]]])
    expected = torch.tensor([1.2, 1.6, 0, 0, 1.2, 1.6, 0, 0])  # root of the mean square of a group: 2.5 and 250
    silu = F.silu(torch.ones(()))
    torch.testing.assert_close(norm(x, None, torch.ones_like(x))[0, 0], silu * expected, rtol=1e-5, atol=1e-5)
    half = norm((x * 100).half(), None, torch.ones_like(x).half())  # whose squares float16 cannot hold
    torch.testing.assert_close(half[0, 0].float(), silu * expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_steps_begin_between_a_thousandth_and_a_tenth():
    mixer = small()
    mixer.in_proj.weight[-6:] = 0
    sizes = mixer.step_sizes(torch.randn(2, 9, 24))
    assert sizes.shape == (2, 9)
    assert ((sizes > 0.99e-3) & (sizes < 0.101)).all()


@torch.no_grad()
def test_an_offset_of_the_steps_is_added_in_both_directions_before_the_softplus():
    mixer, x = small(), torch.randn(2, 9, 24)
    found = mixer(x, step_offset=torch.full((2, 9), 3.0))
    assert not torch.allclose(found, mixer(x))
    for part in (mixer, mixer.backward_scan):
        part.dt_bias += 3
    torch.testing.assert_close(found, mixer(x))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"head_width": 5}, "mixer.head_width is 5; expected a divisor of the inner width 48"),
        ({"head_width": 8, "n_groups": 4}, "mixer.n_groups is 4; expected a divisor of the 6 heads"),
    ],
)
def test_heads_and_groups_that_do_not_divide_are_refused(settings, fault):
    with pytest.raises(ConfigError, match=fault):
        Mamba2Mixer(24, MixerConfig(kind="mamba2", **settings))
