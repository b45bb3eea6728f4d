"""Neurons with their batch norm, and the attention over spikes: compiled against plain PyTorch, and exact counts."""

import itertools
from typing import get_args

import pytest
import torch

from spikemba.ops import spiking
from spikemba.ops.batch_norm import BatchNorm, masked_moments
from spikemba.ops.native.library import ENVIRONMENT, load
from spikemba.ops.spiking import (
    NeuronConfig,
    SurrogateName,
    lif_spikes,
    spiking_attention,
    spiking_layer,
)

needs_kernels = pytest.mark.skipif(load().library is None, reason=load().detail)

NEURONS = [
    NeuronConfig(reset=reset, decay_input=decay, detach_reset=detach, tau=3.0)
    for reset, decay, detach in itertools.product(("hard", "soft"), (False, True), (False, True))
] + [NeuronConfig(surrogate=name) for name in get_args(SurrogateName)]

SHAPES = [
    (3, 20, 24, 1, 4),
    (2, 33, 96, 4, 5),
    (1, 9, 64, 1, 8),
    (2, 12, 10, 2, 1),
    (2, 150, 32, 1, 3),
    (1, 7, 48, 1, 2),
]
"""B, M, D, H, S: heads of one vector to four, whole and ragged; positions in one part and in several."""


def mask_of(batch, positions):
    return torch.arange(positions) < torch.tensor([[positions - 4 * i] for i in range(batch)])


def norm_of(x, weight, bias, mask, kind):
    if kind == "none":
        return None
    mean, var, count = masked_moments(x.detach(), mask)
    return BatchNorm(weight, bias, mean, var, 1e-5, count if kind == "batch" else None)


def both_ways(monkeypatch, run, x, kind, mask):
    """What `run(x, norm)` gives, and every gradient, compiled and in plain PyTorch."""
    g = torch.Generator().manual_seed(1)
    parameters = torch.rand(x.shape[-1], generator=g) + 0.5, 0.2 * torch.randn(x.shape[-1], generator=g)
    found = []
    for native in (True, False):
        monkeypatch.setattr(spiking, "on_native", lambda *_, native=native: native)
        leaves = [tensor.clone().requires_grad_() for tensor in (x, *parameters)]
        outputs = run(leaves[0], norm_of(*leaves, mask, kind))
        g = torch.Generator().manual_seed(2)
        sum((out * torch.randn(out.shape, generator=g)).sum() for out in outputs).backward()
        found.append([*(out.detach() for out in outputs), *(leaf.grad for leaf in leaves if leaf.grad is not None)])
    return zip(*found, strict=True)


def assert_equal_enough(pairs):
    for mine, theirs in pairs:
        assert (mine - theirs).abs().max() <= 5e-6 * theirs.abs().max().clamp(min=1e-3)


@needs_kernels
@pytest.mark.parametrize("kind", ["batch", "running", "none"])
@pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: f"{n.reset}-{n.decay_input}-{n.detach_reset}-{n.surrogate}")
def test_compiled_neurons_equal_plain_ones_with_every_gradient(neuron, kind, monkeypatch):
    for batch, positions, width, _, steps in SHAPES:
        x, mask = 1.5 * torch.randn(steps, batch, positions, width), mask_of(batch, positions)

        def run(x, norm, mask=mask):
            layer = spiking_layer(x, mask, neuron, norm)
            return layer.trains, layer.rates, layer.counts

        assert_equal_enough(both_ways(monkeypatch, run, x, kind, mask))


@needs_kernels
@pytest.mark.parametrize("kind", ["batch", "running", "none"])
@pytest.mark.parametrize("neuron", NEURONS[::3], ids=lambda n: f"{n.reset}-{n.decay_input}-{n.surrogate}")
def test_compiled_attention_equals_plain_attention_with_every_gradient(neuron, kind, monkeypatch):
    for batch, positions, width, heads, steps in SHAPES:
        x, mask = 1.5 * torch.randn(batch, positions, 3 * width), mask_of(batch, positions)
        factor = torch.rand(batch)

        def run(x, norm, mask=mask, factor=factor, steps=steps, heads=heads):
            return spiking_attention(x, mask, neuron, norm, steps, heads, factor)

        assert_equal_enough(both_ways(monkeypatch, run, x, kind, mask))


def test_attention_counts_the_keys_that_share_a_spike_with_the_query():
    x, mask, steps = torch.randn(2, 7, 3 * 8), mask_of(2, 7), 3
    attended, counts = spiking_attention(x, mask, NeuronConfig(), None, steps, 1, torch.ones(2))
    spikes = lif_spikes(x, NeuronConfig(), steps) * mask[..., None]
    assert torch.equal(counts, spikes.sum((0, 1, 2)))
    q, k, v = spikes.chunk(3, dim=-1)
    assert torch.equal(attended, (q @ k.transpose(-1, -2)) @ v)


def test_what_stands_at_padding_changes_no_bit():
    x, mask = torch.randn(2, 9, 3 * 16), mask_of(2, 9)
    rubbish = torch.where(mask[..., None], x, 1e6)
    how = NeuronConfig(), None, 4, 2, torch.ones(2)
    for found, again in zip(spiking_attention(x, mask, *how), spiking_attention(rubbish, mask, *how), strict=True):
        assert torch.equal(found, again)
    trains = torch.randn(4, 2, 9, 5)
    layer = spiking_layer(trains, mask, NeuronConfig(), None)
    again = spiking_layer(torch.where(mask[..., None], trains, -1e6), mask, NeuronConfig(), None)
    assert torch.equal(layer.trains, again.trains)
    assert torch.equal(layer.counts, again.counts)


@needs_kernels
def test_the_attention_keeps_its_spikes_as_bits(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "1")
    x, mask = torch.randn(2, 50, 3 * 64, requires_grad=True), mask_of(2, 50)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.nbytes) or t, lambda t: t):
        spiking_attention(x, mask, NeuronConfig(), None, 8, 2, torch.ones(2))
    assert sum(saved) < 8 * x.nbytes / 4  # the spikes of all steps as floats would be eight times x
