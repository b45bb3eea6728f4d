"""The Hydra mixer beside its quasiseparable matrix, entry by entry."""

import pytest
import torch
import torch.nn.functional as F

from spikemba.errors import ConfigError
from spikemba.model.hydra_mixer import HydraMixer
from spikemba.model.mamba_block import MixerConfig

WIDTH, HEADS, HEAD_WIDTH, N, TAPS = 24, 6, 8, 5, 7


def small(gate="input", groups=2):
    torch.manual_seed(0)
    sizes = {"head_width": HEAD_WIDTH, "state_size": N, "conv_width": TAPS, "n_groups": groups}
    mixer = HydraMixer(WIDTH, MixerConfig(kind="hydra", **sizes), gate=gate)
    with torch.no_grad():
        for one in (mixer.D, mixer.norm.weight, mixer.A_log):
            one.uniform_(0.5, 2)
    return mixer


def matrix(delta, a, b, c, delta_back, b_back, c_back, diagonal):
    """(L, L) of one head. delta, diagonal: (L,).  b, c: (L, N).  Below the diagonal c[i-1] ... b[j], above it
    c_back[i+1] ... b_back[j], with the decays of the positions that are passed.
    """
    length = len(delta)
    found = torch.diag(diagonal)
    for i in range(length):
        for j in range(i):
            decay = torch.exp(a * delta[j + 1 : i].sum())
            found[i, j] = decay * delta[j] * (c[i - 1] @ b[j])
        for j in range(i + 1, length):
            decay = torch.exp(a * delta_back[i + 1 : j].sum())
            found[i, j] = decay * delta_back[j] * (c_back[i + 1] @ b_back[j])
    return found


@torch.no_grad()
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 13])
def test_it_is_the_product_with_its_quasiseparable_matrix(length, groups):
    mixer = small(groups=groups).double()
    inner, states = HEADS * HEAD_WIDTH, groups * N
    u = torch.randn(2, length, WIDTH, dtype=torch.float64)
    z, xbc, dt = mixer.in_proj(u).split([inner, inner + 4 * states, 2 * HEADS], dim=-1)
    xbc = F.silu(mixer.conv1d(xbc.transpose(1, 2))).transpose(1, 2)  # torch's padding of 3 at both ends
    x, b, c, b_back, c_back = xbc.split([inner, states, states, states, states], dim=-1)
    delta, back = F.softplus(dt[..., :HEADS] + mixer.dt_bias), F.softplus(dt[..., HEADS:] + mixer.dt_bias)
    diagonal = x @ mixer.fc_D.weight.T + mixer.D
    y = torch.empty_like(x)
    for pair in range(2):
        for head in range(HEADS):
            group = head // (HEADS // groups)
            of_group = [one[pair, :, group * N : (group + 1) * N] for one in (b, c, b_back, c_back)]
            m = matrix(
                delta[pair, :, head], -mixer.A_log[head].exp(), *of_group[:2],
                back[pair, :, head], *of_group[2:], diagonal[pair, :, head],
            )  # fmt: skip
            channels = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
            y[pair, :, channels] = m @ x[pair, :, channels]
    y = y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * mixer.norm.weight * F.silu(z)
    torch.testing.assert_close(mixer(u), mixer.out_proj(y), rtol=1e-10, atol=1e-10)


def test_gradients_are_right_in_double_precision():
    mixer = small().double()
    x = torch.randn(2, 6, WIDTH, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 6, [False, True, True, True, True, False]])
    assert torch.autograd.gradcheck(lambda x: mixer(x, mask) * mask[..., None], (x,))


@torch.no_grad()
def test_step_sizes_are_those_of_both_directions():
    mixer, x = small(), torch.randn(2, 9, WIDTH)
    dt = mixer.in_proj(x)[..., -2 * HEADS :].unflatten(-1, (2, HEADS))
    torch.testing.assert_close(mixer.step_sizes(x), F.softplus(dt + mixer.dt_bias).mean((-1, -2)))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            {"directions": "forward"},
            "hydra reads both directions at once; expected directions 'both', or kind 'mamba2'",
        ),
        ({"conv_width": 4}, "hydra's convolution is centred; conv_width is 4, expected an odd number"),
    ],
)
def test_what_hydra_cannot_be_is_refused_in_one_line(settings, fault):
    with pytest.raises(ConfigError, match=f"^the configuration has 1 fault: {fault}$"):
        MixerConfig.parse({"kind": "hydra", **settings})


def test_it_begins_as_published_and_refuses_streams_and_orders():
    config = MixerConfig(kind="hydra")
    assert (config.state_size, config.conv_width, config.n_dual_heads(96)) == (64, 7, 3)
    assert MixerConfig(kind="hydra", state_size=8).state_size == 8
    mixer = small()
    with pytest.raises(ConfigError, match="'hydra' reads the future; a stream needs 'scan' or 'mamba2'"):
        mixer.step(torch.ones(1, 1, WIDTH), None)
    with pytest.raises(ConfigError, match="expected reversal 'spatio_temporal'"):
        mixer(torch.ones(1, 3, WIDTH), order=torch.tensor([2, 0, 1]))
