"""The mixer before it has learned anything: how fast its states forget, and how far a position moves them."""

import math

import torch
import torch.nn.functional as F

from spikemba.model.mamba_block import DirectionalScan, MixerConfig


def untrained(width=1024):
    torch.manual_seed(0)
    return DirectionalScan(width, MixerConfig(), reverse=False)


@torch.no_grad()
def test_the_nth_state_of_every_channel_forgets_n_times_as_fast_as_the_first():
    _, a, _, _ = untrained(32).parameters_for(torch.randn(1, 3, 64))
    torch.testing.assert_close(a, -torch.arange(1.0, 17).expand(64, 16))


@torch.no_grad()
def test_step_sizes_begin_log_uniform_between_a_thousandth_and_a_tenth():
    scan = untrained()
    step, *_ = scan.parameters_for(torch.zeros(1, 1, 2048))
    sizes = F.softplus(step.double()).flatten().sort().values
    assert sizes[0] > 0.99e-3
    assert sizes[-1] < 0.101
    share = torch.log(sizes / 1e-3) / math.log(100)  # of the way from the smallest to the largest, on a log scale
    even = (torch.arange(2048) + 0.5) / 2048
    assert (share - even).abs().max() < 0.05  # Kolmogorov and Smirnov: a greater distance once in ten thousand draws


@torch.no_grad()
def test_the_step_sizes_projection_keeps_the_variance_of_what_it_reads():
    """Uniform over +-1/sqrt(rank): each of its outputs then has a third of its input's variance."""
    weight = untrained().dt_proj.weight
    bound = weight.shape[1] ** -0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    torch.testing.assert_close(weight.square().mean().item(), bound**2 / 3, rtol=0.02, atol=0)


def test_the_bias_of_the_step_is_added_in_float32_also_under_autocast():
    torch.manual_seed(0)
    scan = DirectionalScan(16, MixerConfig(), reverse=False)
    x = torch.randn(2, 5, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step = scan.parameters_for(x)[0]
        low_rank = scan.x_proj(x)[..., : scan.dt_proj.in_features]
        product = torch.nn.functional.linear(low_rank, scan.dt_proj.weight)
    assert product.dtype == torch.bfloat16
    assert torch.equal(step, product.float() + scan.dt_proj.bias)
    exact = scan.parameters_for(x)[0]
    assert torch.equal(exact, scan.dt_proj(scan.x_proj(x)[..., : scan.dt_proj.in_features]))
