"""The table of settings that do nothing: each is true of what is computed, and said where it is typed."""

import pytest
import torch

from pipelines.runs.effects import TABLE, in_effect, said_in_vain, untaught, without_effect
from pipelines.tasks.grounding.config import load_config
from spikemba.batch import Batch, Targets
from spikemba.errors import ConfigError
from spikemba.losses import grounding_loss
from spikemba.model import SpikeMba

SMALL = ["model.width=8", "model.mixer.n_heads=2", "model.spiking_saliency.n_heads=2", "model.n_blocks=2"]
SMALL += ["model.slots.n_slots=2", "model.input_dropout=0", "model.spiking_saliency.n_spike_steps=2"]

IDLE = [  # what silences a setting, and the setting with another value than its own
    ("model.slots.n_slots=0", "model.slots.per_block=true"),
    ("model.slots.n_slots=0", "model.slots.carry=true"),
    ("model.slots.n_slots=0", "model.slots.place=both"),
    ("model.slots.n_slots=0", "model.slots.step_offset=4"),
    ("model.n_blocks=1", "model.slots.carry=true"),
    ("model.n_blocks=1", "model.slots.per_block=true"),
    ("model.mixer.kind=conv", "model.slots.step_offset=4"),
    ("model.mixer.kind=attention", "model.mixer.state_size=4"),
    ("model.mixer.kind=attention_conv", "model.mixer.step_rank=3"),
    ("model.mixer.kind=attention", "model.mixer.directions=forward"),
    ("model.mixer.kind=attention", "model.mixer.conv_width=2"),
    ("model.mixer.kind=conv", "model.mixer.n_heads=4"),
    ("model.mixer.kind=mamba2", "model.mixer.step_rank=3"),
    ("model.mixer.kind=scan", "model.mixer.head_width=4"),
    ("model.mixer.kind=attention", "model.mixer.n_groups=2"),
    ("model.spiking_saliency.enabled=false", "model.spiking_saliency.silent=true"),
    ("model.spiking_saliency.enabled=false", "model.heads.reads=states"),
    ("model.spiking_saliency.enabled=false", "model.spiking_saliency.n_spike_steps=3"),
    ("model.spiking_saliency.silent=true", "model.spiking_saliency.norm=layer"),
    ("model.spiking_saliency.silent=true", "model.spiking_saliency.share=once"),
    ("model.spiking_saliency.silent=true", "model.spiking_saliency.attention_neurons=true"),
    ("model.spiking_saliency.silent=true", "loss.firing_rate=1"),
    ("model.joint_from=2", "model.spiking_saliency.share=once"),
    ("model.spiking_saliency.silent=true model.proposals.read=rates", "model.spiking_saliency.neuron.tau=3"),
    ("model.relevant_mamba.spike_norm=none", "model.relevant_mamba.spike_norm_eps=0.1"),
    ("model.moment_reasoner.position=none", "model.moment_reasoner.position_scale=2"),
    ("loss.contrastive=0", "loss.contrastive_temperature=1"),
    ("loss.boundary=0", "loss.boundary_unit=window"),
    ("loss.entropy=0", "loss.entropy_form=outside"),
    ("loss.foreground=0 loss.proposal=0", "loss.background_weight=1"),
    ("loss.negative_pair=0", "loss.negatives_norm=batch"),
    ("model.heads.quality=false", "loss.quality=3"),
    ("model.proposals.read=rates", "loss.proposal=3"),
]


def computed(config):
    """A loss and all gradients of a small batch, from weights of one seed."""
    torch.manual_seed(0)
    model = SpikeMba(config.model, 6, 5).train()
    generator = torch.Generator().manual_seed(1)
    video, tokens = (torch.randn(2, n, f, generator=generator) for n, f in ((7, 6), (3, 5)))
    inside = torch.zeros(2, 7, dtype=torch.bool)
    inside[:, 2:4] = True
    ends = torch.tensor([2 / 7, 4 / 7]).expand(2, 7, 2).contiguous()
    targets = Targets(
        inside, ends, inside.float(), torch.ones(2, dtype=torch.bool), torch.arange(2), torch.arange(2), 1
    )
    masks = torch.ones(2, 7, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    batch = Batch(video, masks[0], tokens, masks[1], targets)
    prediction = model(batch)
    loss, _ = grounding_loss(prediction, batch, config.loss)
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None and p.numel())]


@pytest.mark.parametrize(("silencer", "setting"), IDLE)
def test_a_setting_of_the_table_changes_nothing_that_is_computed(silencer, setting):
    name = setting.partition("=")[0]
    one = load_config(None, [*SMALL, *silencer.split()])
    other = load_config(None, [*SMALL, *silencer.split(), setting])
    assert name in without_effect(one)
    assert one != other
    assert in_effect(one) == in_effect(other)
    for a, b in zip(computed(one), computed(other), strict=True):
        assert torch.equal(a, b)
    (line,) = said_in_vain([other], [setting])
    assert line.startswith(f"{name} has no effect unless ")
    assert said_in_vain([other, load_config(None, [*SMALL, "model.heads.quality=true"])], ["loss.boundary=1"]) == []


def test_every_rule_is_about_settings_that_there_are():
    from spikemba.config import flat

    names = flat(load_config(None).model_dump())
    for rule in TABLE:
        for name in rule.names:
            assert any(one.startswith(name) for one in names), name


def test_what_acts_is_not_in_vain():
    given = [*SMALL, "model.slots.place=both", "model.slots.carry=true", "loss.boundary_unit=window"]
    assert said_in_vain([load_config(None, given)], given[3:]) == []


@pytest.mark.parametrize(
    ("score", "loss"), [("quality", "quality"), ("foreground", "foreground"), ("both", "foreground")]
)
def test_a_ranking_that_learns_nothing_is_said(score, loss):
    given = [f"grounding.score={score}", "model.heads.quality=true"]
    assert untaught(load_config(None, given)) == []
    (line,) = untaught(load_config(None, [*given, f"loss.{loss}=0"]))
    assert line == f"grounding.score is {score}, and while loss.{loss} is 0 what it ranks by learns nothing"


@pytest.mark.parametrize(
    "setting",
    [
        *("model.slots.step_offset=1e30", "model.relevant_mamba.gate_bias=-1e30"),
        *("model.moment_reasoner.position_scale=1e30", "model.relevant_mamba.spike_norm_eps=-1"),
        *("model.spiking_saliency.attention_scale=1e30", "model.spiking_saliency.neuron.threshold=1e30"),
        *("model.spiking_saliency.neuron.tau=1e30", "model.spiking_saliency.neuron.surrogate_alpha=1e30"),
    ],
)
def test_numbers_that_no_network_can_compute_with_are_refused(setting):
    with pytest.raises(ConfigError, match=r"input should be (less|greater) than"):
        load_config(None, [setting])
