"""State Space Prompting and what it is compared with: sizes, first steps, and what stays frozen."""

import math

import pytest
import torch
import torch.nn.functional as F

from spikemba.model.video_mamba.adaptation import AdaptationConfig, adapt_model
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.model.video_mamba.state_space_prompting import InterFrameSpreading, IntraFrameGathering, SSPConfig
from spikemba.model.video_mamba.token_grid import TokenGrid

SMALL = {"n_prompts": 2, "gathering_width": 8, "attention_width": 8, "n_heads": 2}
TINY = {"width": 16, "n_blocks": 3, "n_frames": 3, "size_px": 16, "tubelet": [1, 8, 8], "n_classes": 4}
HOW = {
    "ssp": {"method": "ssp", "ssp": SMALL},
    "prompts": {"method": "prompts", "prompts": {"n_prompts": 2}},
    "adapter": {"method": "adapter", "adapter": {"inner_width": 4}},
    "linear": {"method": "linear"},
    "full": {"method": "full"},
}


def backbone(**changes):
    torch.manual_seed(0)
    settings = {"preset": "opengvlab-ti", "drop_path": 0.0, **TINY, **changes}
    return VideoMamba(VideoMambaConfig.parse(settings)).eval()


def adapted(method, **changes):
    model = backbone()
    torch.manual_seed(1)
    how = {**HOW[method], **({"ssp": {**SMALL, **changes}} if method == "ssp" else {})}
    return adapt_model(model, AdaptationConfig.parse(how))


def videos(n=2):
    return torch.randn(n, 3, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def steps(model, n, lr=0.1):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    for _ in range(n):
        optimizer.zero_grad()
        F.cross_entropy(model(videos()), torch.tensor([0, 3])).backward()
        optimizer.step()


class ZeroTokens:
    """Nothing but the zero tokens that prompting inserts."""

    n_prompts = 2

    def __call__(self, hidden, grid, n_done):
        if not n_done:
            return hidden
        class_token, slices = grid.split(hidden)
        slices = slices.clone()
        slices[:, :, grid.n_patches :] = 0
        return grid.join(class_token, slices)


def test_the_published_setting_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = VideoMamba(VideoMambaConfig.parse({"preset": "opengvlab-m"}))
        counts = {method: adapt_model(model, method, n_classes=51).count() for method in ("ssp", "prompts", "adapter")}
    assert counts["ssp"].new == 2_418_274
    assert counts["ssp"].norm == 576
    assert counts["ssp"].head == 577 * 51
    assert counts["ssp"].trained == 2_418_274 + 576 + 577 * 51
    assert "2,448,277 of " in str(counts["ssp"])
    assert str(adapted("full").count()).startswith("all ")
    assert round(counts["prompts"].new / 1e6, 1) == 1.5
    assert round(counts["adapter"].new / 1e6, 1) == 2.4


@pytest.mark.parametrize("start", ["one_zero", "released"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_prompting_begins_as_the_backbone_with_zero_tokens(start, kernel):
    model = adapted("ssp", start=start, kernel=kernel).eval()
    with torch.no_grad():
        if start == "released":
            wanted = backbone().head(backbone().features(videos(), edit=ZeroTokens()))
        else:
            wanted = model.backbone.head(model.backbone.features(videos(), edit=ZeroTokens()))
        torch.testing.assert_close(model(videos()), wanted)


@pytest.mark.parametrize("start", ["one_zero", "released"])
def test_after_two_steps_every_new_tensor_has_a_gradient(start):
    model = adapted("ssp", start=start)
    steps(model, 1)
    first = {name for name, p in model.edit.named_parameters() if not p.grad.any()}
    steps(model, 1)
    assert [name for name, p in model.edit.named_parameters() if not p.grad.any()] == []
    moved = {"spreading.prompts.0.up.weight", "gathering.up.weight"} if start == "one_zero" else {"gathering.up.bias"}
    assert not moved & first
    if start == "released":
        assert {"gathering.down.weight", "gathering.up.weight", "spreading.prompts.0.up.weight"} <= first


@pytest.mark.parametrize("method", HOW)
def test_what_is_frozen_does_not_move_and_the_rest_does(method):
    model = adapted(method)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    frozen, trained = model.frozen_state(), model.trained_state()
    assert set(frozen) | set(trained) == set(before)
    steps(model, 3)
    now = dict(model.named_parameters())
    assert all(before[name].equal(now[name]) for name in frozen)
    assert all(now[name].grad is None for name in frozen)
    still = {name for name in trained if before[name].equal(now[name])}
    # a class token at the front gives the last block's forward state nothing to forget, and steps that are hardly used
    assert all(name.startswith("backbone.layers.2.mixer.forward_scan.") for name in still)
    expected = {
        "full": set(),
        "linear": {n for n in before if "head" not in n},
    }.get(method, {n for n in before if n.startswith("backbone.") and "head" not in n and "norm_f" not in n})
    assert set(frozen) == expected


def test_adapters_begin_as_the_backbone():
    model = adapted("adapter").eval()
    with torch.no_grad():
        torch.testing.assert_close(model(videos()), backbone()(videos()))


def test_learned_prompts_stand_behind_each_slice_and_are_not_read_as_patches():
    model = adapted("prompts").eval()
    with torch.no_grad():
        tokens, grid = model.backbone.tokens(videos(), model.edit)
        assert tokens.shape[1] == grid.n_tokens == 1 + 3 * (4 + 2)
        _, slices = grid.split(tokens)
        torch.testing.assert_close(model.features(videos(), readout="mean"), slices[:, :, :4].mean((1, 2)))


def test_a_videos_weights_depend_on_its_neighbours_with_the_released_norm_only():
    torch.manual_seed(0)
    video, neighbour = 3 * torch.randn(1, 3, 4, 8), torch.zeros(1, 3, 4, 8)  # the neighbour is as even as can be
    for norm in ("logd", "batch"):
        spreading = InterFrameSpreading(8, 2, SSPConfig(**{**SMALL, "entropy_norm": norm}))
        alone, among = spreading.weights(video)[0], spreading.weights(torch.cat((video, neighbour)))[0]
        assert torch.equal(alone, among) == (norm == "logd")


def test_slices_are_weighted_by_how_uneven_their_channels_are():
    spreading = InterFrameSpreading(4, 2, SSPConfig(**{**SMALL, "attention_width": 4}))
    even, peaked = torch.zeros(1, 1, 2, 4), torch.tensor([50.0, 0, 0, 0]).expand(1, 1, 2, 4)
    weights = spreading.weights(torch.cat((even, peaked), dim=1))[0]
    torch.testing.assert_close(weights, torch.tensor([1.0, math.e]) / (1 + math.e))


def test_gathering_is_the_formula_with_convolutions():
    torch.manual_seed(0)
    grid, config = TokenGrid(3, 2, 4), SSPConfig(**SMALL)
    for kernel in (1, 3):
        gathering = IntraFrameGathering(6, grid, config.model_copy(update={"kernel": kernel}))
        for parameter in gathering.parameters():
            torch.nn.init.normal_(parameter)
        x = torch.randn(2, 3, 8, 6)
        added, gate = gathering(x, grid)
        images = gathering.down(x).view(6, 2, 4, 8).permute(0, 3, 1, 2)
        low = gathering.local(images)
        torch.testing.assert_close(added, gathering.up(low.permute(0, 2, 3, 1)).view(2, 3, 8, 6))
        torch.testing.assert_close(gate, gathering.gate(gathering.whole(low).view(2, 3, 8)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", HOW)
def test_half_precision_is_near_the_full(method):
    model = adapted(method).eval()
    steps(model, 1)
    with torch.no_grad():
        full = model(videos())
        with torch.autocast("cpu", torch.bfloat16):
            half = model(videos())
    torch.testing.assert_close(half.float(), full, atol=0.03, rtol=0.05)


def test_prompting_works_on_the_form_with_tubelets_too():
    plain = backbone(preset="park-ti", tubelet=[2, 8, 8], n_frames=4)
    how = {"method": "ssp", "ssp": {**SMALL, "start": "released"}}
    model = adapt_model(backbone(preset="park-ti", tubelet=[2, 8, 8], n_frames=4), AdaptationConfig.parse(how)).eval()
    video = torch.randn(1, 3, 4, 16, 16)
    assert model.step_maps(video).shape == (1, 3, 2, 2, 2)
    with torch.no_grad():
        torch.testing.assert_close(model(video), plain.head(plain.features(video, edit=ZeroTokens())))


def test_a_new_head_has_the_new_classes():
    model = adapt_model(backbone(), "linear", n_classes=7)
    assert model(videos()).shape == (2, 7)
    assert model.backbone.config.n_classes == 7
