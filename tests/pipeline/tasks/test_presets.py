"""What each preset trains, and that the page of methods says the same of preset `paper`."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from pipelines.tasks.grounding.config import PRESETS, RunConfig
from spikemba.batch import Batch, Targets
from spikemba.config import flat, merge
from spikemba.losses import grounding_loss
from spikemba.model import SpikeMba, SpikeMbaConfig

B, L, W = 4, 20, 9
TINY = {"width": 32, "n_blocks": 2, "input_dropout": 0, "spiking_saliency": {"n_spike_steps": 4, "n_heads": 4}}
METHODS = Path(__file__).parents[3] / "docs" / "methods.md"


def learned(preset):
    """Parameters of a network, and those of them that one step of a preset's losses teaches."""
    config = RunConfig.parse({"preset": preset, "model": TINY})
    torch.manual_seed(0)
    model = SpikeMba(config.model, 20, 12)
    foreground = torch.zeros(B, L, dtype=torch.bool)
    foreground[:, 3:9] = True
    windows = torch.tensor([0.15, 0.45]).expand(B, L, 2)
    groups = torch.arange(B)
    targets = Targets(foreground, windows, foreground.float(), foreground.any(1), groups, groups, 1)
    masks = (torch.ones(B, n, dtype=torch.bool) for n in (L, W))
    batch = Batch(torch.randn(B, L, 20), next(masks), torch.randn(B, W, 12), next(masks), targets)
    total, _ = grounding_loss(model(batch), batch, config.loss)
    total.backward()
    named = {name: one for name, one in model.named_parameters() if one.numel()}  # of no slots there are none
    return set(named), {name for name, one in named.items() if one.grad is not None and one.grad.any()}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_teaches_every_parameter_but_the_foreground_that_paper_does_without(preset):
    every, taught = learned(preset)
    assert not any(name.startswith("heads.proposal_neuron") for name in every) or preset == "full"
    idle = {name for name in every if name.startswith("heads.foreground.")} if preset == "paper" else set()
    assert every - taught == idle


def test_the_page_of_methods_lists_preset_paper():
    block = re.search(r"```yaml\n# preset: paper\n(.*?)```", METHODS.read_text("utf-8"), re.DOTALL)
    assert block is not None
    assert yaml.safe_load(block[1]) == PRESETS["paper"]


def test_every_setting_that_the_page_of_methods_gives_to_the_source_is_one():
    """The rows of the table of the source's forms: `section.key: value`."""
    table = METHODS.read_text("utf-8").split("## The source's form by settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+): (\w+)` \|", table, re.MULTILINE)
    assert len(rows) > 5
    trees = []
    for key, value in rows:
        tree = yaml.safe_load(value)
        for part in reversed(key.removeprefix("model.").split(".")):
            tree = {part: tree}
        trees.append(tree)
    found = flat(SpikeMbaConfig.parse(merge(*trees)).model_dump())
    for key, value in rows:
        assert found[key.removeprefix("model.")] == yaml.safe_load(value)
