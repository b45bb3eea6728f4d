"""Mixers from files under published names: random weights, written as the public models have them."""

import pytest
import torch
from safetensors.torch import save_file

from spikemba.errors import CheckpointError
from spikemba.model.mamba_block import MixerConfig
from spikemba.model.mixers import make_mixer
from spikemba.model.published_mixers import load_mixer

MAMBA2 = {"conv1d.bias", "conv1d.weight", "dt_bias", "A_log", "D", "norm.weight", "in_proj.weight", "out_proj.weight"}
"""Of Mamba2 in mamba_ssm 2; Hydra has one more."""


def public(kind, groups=2):
    """Random weights at sizes of which no two are equal: D = 12, E = 24, P = 4, H = 6, N = 5."""
    taps = {"mamba2": 3, "hydra": 5}[kind]
    e, h, gn, ways = 24, 6, groups * 5, 2 if kind == "hydra" else 1
    channels = e + 2 * ways * gn
    shapes = {
        "in_proj.weight": (e + channels + ways * h, 12), "conv1d.weight": (channels, 1, taps),
        "conv1d.bias": (channels,), "dt_bias": (h,), "A_log": (h,), "D": (h,), "norm.weight": (e,),
        "out_proj.weight": (12, e), **({"fc_D.weight": (h, e)} if kind == "hydra" else {}),
    }  # fmt: skip
    assert set(shapes) - {"fc_D.weight"} == MAMBA2
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}


@pytest.mark.parametrize("kind", ["mamba2", "hydra"])
@pytest.mark.parametrize("prefix", ["", "backbone.layers.3.mixer."])
@torch.no_grad()
def test_sizes_and_tensors_are_those_of_the_file(kind, prefix, tmp_path):
    state = public(kind)
    beside = {"backbone.embedding.weight": torch.ones(2)} if prefix else {}
    save_file({prefix + name: value for name, value in state.items()} | beside, tmp_path / "a.safetensors")
    mixer = load_mixer(tmp_path / "a.safetensors", prefix, n_groups=2)
    sizes = {"state_size": 5, "head_width": 4, "n_groups": 2, "conv_width": {"mamba2": 3, "hydra": 5}[kind]}
    ways = {"mamba2": "forward", "hydra": "both"}[kind]
    same = make_mixer(12, MixerConfig(kind=kind, directions=ways, **sizes))
    same.load_state_dict(state)
    x = torch.randn(2, 7, 12)
    assert torch.equal(mixer(x), same(x))


def test_half_precision_becomes_float32(tmp_path):
    save_file({name: value.bfloat16() for name, value in public("mamba2").items()}, tmp_path / "a.safetensors")
    assert {one.dtype for one in load_mixer(tmp_path / "a.safetensors", n_groups=2).parameters()} == {torch.float32}


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"layers.0.mixer." + name: value for name, value in public("mamba2").items()}, path)
    with pytest.raises(
        CheckpointError, match=r"no tensor in_proj.weight of a mixer; its mixers stand below 'layers\.0"
    ):
        load_mixer(path)
    with pytest.raises(CheckpointError, match="mixer.n_groups is 4; expected a divisor of the 6 heads"):
        load_mixer(path, "layers.0.mixer.", n_groups=4)
    state = public("mamba2")
    save_file({**state, "in_proj.bias": torch.ones(3)}, path)
    with pytest.raises(CheckpointError, match=r"left over: in_proj\.bias"):
        load_mixer(path, n_groups=2)
    save_file({**state, "D": torch.ones(24)}, path)  # a number per channel, as mamba_ssm's D_has_hdim
    with pytest.raises(CheckpointError, match=r"of another shape: D \(24,\), not \(6,\)"):
        load_mixer(path, n_groups=2)
    del state["A_log"]
    save_file(state, path)
    with pytest.raises(CheckpointError, match="not the tensors of a mixer \\('A_log' is missing"):
        load_mixer(path)
