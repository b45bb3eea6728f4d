"""Every setting of the network has an effect: on its parameters, on what it computes, or on how it learns."""

import pytest
import torch

from spikemba.batch import Batch
from spikemba.config import Config, merge
from spikemba.model import SpikeMba, SpikeMbaConfig

TINY = {
    "width": 16,
    "n_blocks": 2,
    "slots": {"n_slots": 4},
    "spiking_saliency": {"n_spike_steps": 4, "n_heads": 4},
    "mixer": {"n_heads": 4},
}
ATTENTION = {"mixer": {"kind": "attention"}}
MAMBA2 = {"mixer": {"kind": "mamba2", "head_width": 16}}
NEURONS = {"spiking_saliency": {"attention_neurons": True}}

PARAMETERS = {
    "width": 32,
    "n_blocks": 3,
    "joint_from": 2,
    "endpoints": False,
    "query_similarity": True,
    "token_similarity": True,
    "modality_embedding": True,
    "n_input_layers": 1,
    "mixer.kind": "attention",
    "mixer.directions": "forward",
    "mixer.expand": 3,
    "mixer.state_size": 8,
    "mixer.conv_width": 3,
    "mixer.step_rank": 5,
    "mixer.head_width": 8,
    "mixer.n_groups": 2,
    "slots.n_slots": 0,
    "slots.per_block": True,
    "slots.step_offset": 8.0,
    "spiking_saliency.enabled": False,
    "spiking_saliency.silent": True,
    "spiking_saliency.share": "once",
    "spiking_saliency.norm_qkv": False,
    "relevant_mamba.spike_norm": "none",
    "heads.reads": "states",
    "heads.quality": True,
    "heads.exists": True,
    "heads.edges": True,
    "proposals.read": "rates",
}
"""Settings that change the number or the shapes of the parameters, and the values they are given here."""

OUTPUTS = {
    "input_dropout": (0.3, {}),
    "dropout": (0.3, {}),
    "mixer.n_heads": (8, ATTENTION),
    "slots.carry": (True, {}),
    "slots.place": ("source", {}),
    "moment_reasoner.residual": (False, {}),
    "moment_reasoner.position": ("none", {}),
    "moment_reasoner.position_scale": (0.5, {}),
    "spiking_saliency.n_spike_steps": (8, {}),
    "spiking_saliency.n_heads": (8, {}),
    "spiking_saliency.attention_scale": (0.5, NEURONS),  # otherwise the batch norm behind it takes it out
    "spiking_saliency.scale_by_length": (False, {}),
    "spiking_saliency.norm": ("layer", {}),
    "spiking_saliency.attention_neurons": (True, {}),
    "spiking_saliency.neuron.tau": (3.0, {}),
    "spiking_saliency.neuron.threshold": (0.5, {}),
    "spiking_saliency.neuron.decay_input": (True, {}),
    "spiking_saliency.neuron.reset": ("soft", {}),
    "relevant_mamba.gate_bias": (0.0, {}),
    "relevant_mamba.spike_norm_eps": (1e-5, {}),
    "heads.clamp": (True, {}),
    "heads.first_distance": (0.3, {}),
    "heads.edges_reach_clips": (4.0, {"heads": {"edges": True}}),
}
"""Settings under which the same parameters compute something else, and what else must be set for it."""

GRADIENTS = {
    "spiking_saliency.neuron.detach_reset": False,
    "spiking_saliency.neuron.surrogate": "sigmoid",
    "spiking_saliency.neuron.surrogate_alpha": 4.0,
}
"""Settings of the backward pass alone."""

ANSWERS = {"proposals.min_rate", "proposals.max_gap"}
"""Settings of what is made of the outputs, see test_grounding.py."""


def leaves(model, prefix=""):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def setting(name, value):
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def ran(*settings):
    """Shapes of the parameters, outputs and gradients of one training step."""
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse(merge(TINY, {"input_dropout": 0.0}, *settings)), 20, 12)
    lengths = torch.tensor([[30], [20], [7]])
    video, tokens = torch.randn(3, 30, 20, generator=seeded(1)), torch.randn(3, 9, 12, generator=seeded(2))
    torch.manual_seed(1)  # of dropout
    found = model(Batch(video, torch.arange(30) < lengths, tokens, torch.ones(3, 9, dtype=torch.bool)))
    smooth = (found.foreground_logits, found.boundaries, found.saliency_logits, found.clip_embeddings)
    sum((out * torch.randn(out.shape, generator=seeded(3))).sum() for out in smooth).backward()
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return shapes, (*smooth, found.proposal_spikes), gradients


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def equal(first, second):
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_no_setting_is_forgotten_here():
    named = [*PARAMETERS, *OUTPUTS, *GRADIENTS, *ANSWERS]
    assert sorted(named) == sorted(leaves(SpikeMbaConfig))


@pytest.mark.parametrize("name", PARAMETERS)
def test_settings_of_the_structure_change_the_parameters(name):
    base, changed = (SpikeMba(SpikeMbaConfig.parse(tree), 20, 12) for tree in trees(name, PARAMETERS[name]))
    shapes, others = ({n: p.shape for n, p in model.named_parameters()} for model in (base, changed))
    assert shapes != others


def trees(name, value):
    base = merge(TINY, MAMBA2 if name in ("mixer.head_width", "mixer.n_groups") else {})
    return base, merge(base, setting(name, value))


@pytest.mark.parametrize("name", OUTPUTS)
def test_settings_of_the_computation_change_the_outputs_of_equal_parameters(name):
    value, context = OUTPUTS[name]
    (shapes, outputs, _), (same, others, _) = ran(context), ran(context, setting(name, value))
    assert same == shapes
    assert not equal(outputs, others)


@pytest.mark.parametrize("name", GRADIENTS)
def test_settings_of_the_way_back_change_gradients_and_no_output(name):
    (shapes, outputs, gradients), (same, others, changed) = ran(), ran(setting(name, GRADIENTS[name]))
    assert same == shapes
    assert equal(outputs, others)
    assert not equal(gradients.values(), changed.values())


def test_the_same_settings_change_nothing():
    """What the tests above take for an effect is none of chance."""
    (_, outputs, gradients), (_, again, same) = ran({"dropout": 0.3}), ran({"dropout": 0.3})
    assert equal(outputs, again)
    assert equal(gradients.values(), same.values())
