"""The detector and its gate: what the attention is scaled by, what its neurons need to fire, what silence weighs."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spikemba.model.mamba_block import MixerConfig
from spikemba.model.spikemba import spiking_saliency
from spikemba.model.spikemba.relevant_mamba import RelevantMamba, RelevantMambaConfig
from spikemba.model.spikemba.spiking_saliency import SpikingSaliencyConfig, SpikingSaliencyDetector

WIDTH, STEPS = 8, 6


def detector_of(**settings):
    """A detector in double precision, so that the order of sums decides no spike, whose batch norms have learned."""
    torch.manual_seed(0)
    config = SpikingSaliencyConfig.parse({"n_spike_steps": STEPS, "n_heads": 2, **settings})
    detector = SpikingSaliencyDetector(WIDTH, config).double()
    x = torch.randn(4, 20, WIDTH, dtype=torch.double)
    detector(x, torch.ones(4, 20, dtype=torch.bool))
    return detector.eval()


def trains(detector, x):
    """x: (B, M, D), without padding -> (S, B, M, D)."""
    return detector(x, torch.ones(x.shape[:2], dtype=torch.bool)).trains


@torch.no_grad()
def test_a_sequence_said_twice_fires_as_when_it_is_said_once():
    """Twice as many keys share spikes with each query: scaled by the length, the attention stays what it was."""
    x = torch.randn(3, 10, WIDTH, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    twice = torch.cat((x, x), dim=1)
    scaled, unscaled = detector_of(), detector_of(scale_by_length=False)
    once = trains(scaled, x)
    assert 0 < once.mean() < 1
    assert torch.equal(trains(scaled, twice), torch.cat((once, once), dim=2))
    assert not torch.equal(trains(unscaled, twice)[:, :, :10], trains(unscaled, x))


@torch.no_grad()
def test_at_64_positions_scaling_by_length_changes_nothing():
    x = torch.randn(1, 64, WIDTH, dtype=torch.double)
    scaled, unscaled = detector_of(), detector_of(scale_by_length=False)
    unscaled.load_state_dict(scaled.state_dict())
    assert torch.equal(trains(scaled, x), trains(unscaled, x))


@torch.no_grad()
@pytest.mark.parametrize(
    ("attended", "expected"), [(0.55, [1, 1, 1, 1, 1, 1]), (0.4, [0, 1, 0, 1, 0, 1]), (0.2, [0, 0, 0, 0, 0, 0])]
)
def test_neurons_behind_the_attention_fire_at_half_the_threshold(attended, expected):
    """With a threshold of 1/2 and half of the membrane kept, 0.4 fires at every second step, and 0.2 never.

    Every query, key and value fires at every step, so that each output of the attention is scale * 64 / n * (4 n).
    """
    settings = {"norm_qkv": False, "attention_neurons": True, "attention_scale": attended / 256}
    detector = SpikingSaliencyDetector(
        WIDTH, SpikingSaliencyConfig.parse({"n_spike_steps": STEPS, "n_heads": 2, **settings})
    ).eval()
    detector.qkv_proj.weight.fill_(1.0)
    detector.out_proj.weight.copy_(2 * torch.eye(WIDTH))  # the last neurons repeat what those before them fire
    found = trains(detector, torch.ones(2, 5, WIDTH))
    assert torch.equal(found, torch.tensor(expected)[:, None, None, None].expand(STEPS, 2, 5, WIDTH).float())


@torch.no_grad()
@pytest.mark.parametrize("eps", [1e-3, 1e-1])
def test_a_lone_spike_is_as_loud_at_the_gate_as_the_norms_floor_allows(eps):
    """One channel of 64 fires at one step of eight: (r - r / D) / sqrt(r^2 (D - 1) / D^2 + eps), not sqrt(D)."""
    width, rate = 64, 1 / 8
    block = RelevantMamba(width, RelevantMambaConfig(spike_norm_eps=eps), MixerConfig()).eval()
    heard = []
    block.mixer.gate_proj.register_forward_hook(lambda _, args, out: heard.append(args[0]))
    gate = torch.zeros(1, 4, width)
    gate[0, 2, 5] = rate
    block(torch.randn(1, 4, width), torch.ones(1, 4, dtype=torch.bool), gate)
    expected = (rate - rate / width) / (rate**2 * (width - 1) / width**2 + eps) ** 0.5
    assert heard[0][0, 2, 5].item() == pytest.approx(expected, rel=1e-5)
    assert (heard[0][0, [0, 1, 3]] == 0).all()


LONG = 150
"""Positions of three stretches, where a stretch has 64."""


class Made(TorchDispatchMode):
    """Notes the operators whose results are at least as large as spike trains."""

    def __init__(self, size):
        super().__init__()
        self.size, self.by = size, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        results = made if isinstance(made, tuple | list) else (made,)
        if any(isinstance(one, torch.Tensor) and one.numel() >= self.size for one in results):
            self.by.append(str(function))
        return made


@pytest.mark.parametrize("settings", [{}, {"norm": "layer"}, {"attention_neurons": True}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.inference_mode()
def test_neurons_that_fire_stretch_by_stretch_fire_the_same(monkeypatch, settings, dtype):
    detector = detector_of(**settings).to(dtype)
    x, mask = torch.randn(2, LONG, WIDTH, dtype=dtype), torch.ones(2, LONG, dtype=torch.bool)
    mask[0, 70:] = False
    whole = detector(x, mask)
    monkeypatch.setattr(spiking_saliency, "STRETCH", 64)
    found = detector(x, mask)
    assert whole.trains.any()
    assert torch.equal(found.trains, whole.trains)
    assert torch.equal(found.rates, whole.rates)
    assert all(torch.equal(found.layer_rates[name], rates) for name, rates in whole.layer_rates.items())


@pytest.mark.parametrize("trains_read", [True, False])
def test_a_long_inference_makes_nothing_as_large_as_trains_but_the_attention(monkeypatch, trains_read):
    """With trains, they stand where it stood; without, they are as good as never made."""
    monkeypatch.setattr(spiking_saliency, "STRETCH", 64)
    detector, mask = detector_of().float(), torch.ones(2, LONG, dtype=torch.bool)
    x = torch.randn(2, LONG, WIDTH)
    detector._attend(x, mask)
    with torch.inference_mode(), Made(STEPS * 2 * LONG * WIDTH) as attending:
        detector._attend(x, mask)
    with torch.inference_mode(), Made(STEPS * 2 * LONG * WIDTH) as made:
        found = detector(x, mask, trains_read=trains_read)
    assert attending.by
    assert made.by == attending.by
    assert len(found.trains) == (STEPS if trains_read else 0)


def test_what_learns_fires_at_once(monkeypatch):
    """Batch statistics and gradients want all positions together, however many there are."""
    x, mask = torch.randn(2, LONG, WIDTH, dtype=torch.double), torch.ones(2, LONG, dtype=torch.bool)
    whole = [detector_of().train(training)(x, mask).rates for training in (True, False)]
    monkeypatch.setattr(spiking_saliency, "STRETCH", 64)
    again = [detector_of().train(training)(x, mask).rates for training in (True, False)]
    assert all(torch.equal(a, b) and b.requires_grad for a, b in zip(whole, again, strict=True))


def test_trains_that_nobody_reads_have_no_step_and_change_nothing_else():
    x, mask = torch.randn(2, 20, WIDTH, dtype=torch.double), torch.ones(2, 20, dtype=torch.bool)
    detector = detector_of()
    read, unread = detector(x, mask), detector(x, mask, trains_read=False)
    assert unread.trains.shape == (0, *read.trains.shape[1:])
    assert torch.equal(unread.rates, read.rates)
    assert torch.equal(read.trains.mean(0), read.rates)
