"""Neurons, held to spikingjelly and to what can be computed by hand."""

import itertools
from typing import get_args

import pytest
import torch

from spikemba.errors import ShapeError
from spikemba.ops.native.library import load
from spikemba.ops.spiking import NeuronConfig, SurrogateName, lif_spikes

NEURONS = [
    NeuronConfig(reset=reset, decay_input=decay, detach_reset=detach)
    for reset, decay, detach in itertools.product(("hard", "soft"), (False, True), (False, True))
]


OURS = ["fused", *(["native"] if load().library else [])]


def spikes_and_gradient(current, neuron, backend, n_steps=None):
    current = current.clone().requires_grad_()
    spikes = lif_spikes(current, neuron, n_steps, backend=backend)
    weight = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(1), dtype=spikes.dtype)
    (spikes * weight).sum().backward()
    return spikes.detach(), current.grad


@pytest.mark.parametrize("backend", OURS)
@pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: f"{n.reset}-{n.decay_input}-{n.detach_reset}")
@pytest.mark.parametrize("surrogate", get_args(SurrogateName))
def test_spikes_and_gradients_equal_spikingjelly(neuron, surrogate, backend):
    neuron = neuron.model_copy(update={"surrogate": surrogate})
    current = 2 * torch.randn(6, 3, 50, generator=torch.Generator().manual_seed(0))
    spikes, gradient = spikes_and_gradient(current, neuron, backend)
    their_spikes, their_gradient = spikes_and_gradient(current, neuron, "spikingjelly")
    assert torch.equal(spikes, their_spikes)
    assert 0 < spikes.mean() < 1
    torch.testing.assert_close(gradient, their_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", [*OURS, "spikingjelly"])
def test_a_constant_current_is_the_same_as_its_copies(backend):
    current, neuron = torch.randn(4, 30), NeuronConfig()
    spikes, gradient = spikes_and_gradient(current, neuron, backend, n_steps=5)
    copied_spikes, copied_gradient = spikes_and_gradient(current.expand(5, 4, 30), neuron, backend)
    assert torch.equal(spikes, copied_spikes)
    torch.testing.assert_close(gradient, copied_gradient.sum(0))


def test_a_neuron_charges_fires_and_starts_again():
    # tau 2, hard reset: U is 0.75, then 0.375 + 0.75 = 1.125 and fires, then 0.75 again
    spikes = lif_spikes(torch.tensor([0.75]), NeuronConfig(), 6)
    assert spikes[:, 0].tolist() == [0, 1, 0, 1, 0, 1]


def test_a_soft_reset_keeps_what_is_above_the_threshold():
    # U: 1.9 fires, keeps 0.9, leaks to 0.45 + 1.9 = 2.35 fires, keeps 1.35 ... it fires at every step
    assert lif_spikes(torch.tensor([1.9]), NeuronConfig(reset="soft"), 4).sum() == 4


def test_input_decay_divides_the_current_by_tau():
    current = torch.tensor([1.5])
    assert lif_spikes(current, NeuronConfig(decay_input=False), 1).item() == 1
    assert lif_spikes(current, NeuronConfig(decay_input=True), 1).item() == 0


def test_nothing_is_remembered_between_calls():
    current, neuron = torch.full((3, 10), 0.6), NeuronConfig()
    assert torch.equal(lif_spikes(current, neuron), lif_spikes(current, neuron))


def test_half_precision_is_computed_in_float32():
    current = torch.randn(5, 200).bfloat16()
    assert torch.equal(lif_spikes(current, NeuronConfig()).float(), lif_spikes(current.float(), NeuronConfig()))


def test_a_run_needs_a_step():
    with pytest.raises(ShapeError, match="expected at least 1"):
        lif_spikes(torch.ones(0, 3), NeuronConfig())
    with pytest.raises(ShapeError, match="0 spike steps"):
        lif_spikes(torch.ones(3), NeuronConfig(), 0)
