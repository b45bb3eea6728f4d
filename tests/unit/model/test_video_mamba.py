"""VideoMamba: published sizes, the order of the scans, and what a class token can see."""

import pytest
import torch

from spikemba.errors import ConfigError, ShapeError
from spikemba.model.mamba_block import MambaMixer, MixerConfig
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.model.video_mamba.token_grid import TokenGrid

TINY = {"width": 32, "n_blocks": 2, "n_frames": 4, "size_px": 16, "tubelet": [2, 8, 8], "n_classes": 5}
REVERSALS = ("spatio_temporal", "spatial", "temporal")


def make(**changes):
    torch.manual_seed(0)
    return VideoMamba(VideoMambaConfig.parse({**TINY, **changes})).eval()


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({"preset": "park-s", "n_classes": 51}, 26.3),
        ({"preset": "park-s", "n_classes": 51, "n_frames": 32}, 26.9),
        ({"preset": "opengvlab-ti"}, 7.03),
        ({"preset": "opengvlab-s"}, 25.6),
        ({"preset": "opengvlab-m"}, 73.9),
    ],
)
def test_parameters_are_as_many_as_published(settings, millions):
    with torch.device("meta"):
        model = VideoMamba(VideoMambaConfig.parse(settings))
    n = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert round(n, 2 if millions < 10 else 1) == millions


def test_a_video_of_16_frames_has_1568_patches_and_a_class_token():
    assert VideoMambaConfig.parse({"preset": "park-s"}).grid.n_tokens == 1 + 1568
    assert VideoMambaConfig.parse({"preset": "opengvlab-m"}).grid.n_tokens == 1 + 8 * 196


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("n_prompts", [0, 2])
def test_every_order_of_the_backward_scan_can_be_undone(class_token, n_prompts):
    grid = TokenGrid(3, 2, 2, class_token, n_prompts)
    names = torch.arange(grid.n_tokens)
    for reversal in ("spatial", "temporal"):
        order = grid.backward_order(reversal)
        assert order[order.argsort()].equal(names)
        if not class_token:
            assert order[order].equal(names)
    assert grid.backward_order("spatio_temporal") is None


def test_the_orders_are_the_papers():
    grid = TokenGrid(2, 1, 3, class_token=False)  # tokens 0 1 2 of the first slice, 3 4 5 of the second
    assert grid.backward_order("spatial").tolist() == [2, 1, 0, 5, 4, 3]
    assert grid.backward_order("temporal").tolist() == [3, 4, 5, 0, 1, 2]
    with_class = TokenGrid(2, 1, 3, class_token=True)
    assert with_class.backward_order("temporal").tolist() == [4, 5, 6, 1, 2, 3, 0]


def test_the_full_reversal_given_as_an_order_is_the_reversed_scan():
    torch.manual_seed(0)
    mixer, x = MambaMixer(16, MixerConfig()), torch.randn(2, 7, 16)
    order = torch.arange(6, -1, -1)
    torch.testing.assert_close(mixer(x, order=order), mixer(x))
    torch.testing.assert_close(mixer.step_sizes(x, order), mixer.step_sizes(x))


def test_an_order_reads_the_positions_in_that_order():
    """The backward direction along an order is the forward direction of a sequence put into that order."""
    torch.manual_seed(0)
    mixer, u, order = MambaMixer(16, MixerConfig()), torch.randn(2, 7, 32), torch.randperm(7)
    torch.testing.assert_close(
        mixer.backward_scan.along(u, None, order)[:, order],
        mixer.backward_scan.along(u[:, order], None, torch.arange(7)),
    )


@pytest.mark.parametrize("position", ["joint", "separate"])
@pytest.mark.parametrize("reversal", REVERSALS)
def test_every_form_has_a_gradient_everywhere(position, reversal):
    model = make(position=position, reversal=reversal, norm="rms" if position == "separate" else "layer").train()
    model(torch.randn(2, 3, 4, 16, 16)).square().sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # the class token stands first: in the last block nothing that came before it reaches it from the front
    assert still == ["layers.1.mixer.forward_scan.A_log"]


def test_a_video_is_scored_alike_alone_and_among_others():
    model, video = make(), torch.randn(3, 3, 4, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(video)[1:2], model(video[1:2]), rtol=1e-5, atol=1e-6)


def test_the_answer_depends_on_the_order_of_the_frames():
    model, video = make(), torch.randn(1, 3, 4, 16, 16)
    with torch.no_grad():
        assert (model(video) - model(video.flip(2))).abs().max() > 1e-4


def test_reversals_give_different_models():
    video = torch.randn(1, 3, 4, 16, 16)
    with torch.no_grad():
        outputs = [make(reversal=r)(video) for r in REVERSALS]
    assert all((a - b).abs().max() > 1e-5 for a, b in zip(outputs, outputs[1:] + outputs[:1], strict=True))


def test_features_are_what_the_head_reads():
    model, video = make(), torch.randn(2, 3, 4, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.head(model.features(video)), model(video))
        tokens, grid = model.tokens(video)
        torch.testing.assert_close(model.features(video, readout="mean"), tokens[:, 1:].mean(1))
    assert tokens.shape == (2, grid.n_tokens, 32)


def test_without_a_class_token_the_mean_is_read():
    model = make(class_token=False, readout="mean", reversal="temporal")
    assert "cls_token" not in model.state_dict()
    video = torch.randn(2, 3, 4, 16, 16)
    tokens, grid = model.tokens(video)
    assert tokens.shape == (2, grid.n_patches * grid.n_slices, 32)
    torch.testing.assert_close(model(video), model.head(tokens.mean(1)))


def test_blocks_are_left_out_in_training_only():
    model, video = make(n_blocks=4, drop_path=0.9), torch.randn(4, 3, 4, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(video), model(video), rtol=0, atol=0)
        model.train()
        assert (model(video) - model(video)).abs().max() > 1e-4


def test_blocks_computed_again_give_the_same_gradients():
    gradients = []
    for again in (False, True):
        model = make(drop_path=0.5, n_blocks=3).train()
        model.recompute_blocks = again
        torch.manual_seed(1)
        model(torch.ones(4, 3, 4, 16, 16)).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_step_maps_are_positive_and_of_the_grids_shape():
    maps = make().step_maps(torch.randn(2, 3, 4, 16, 16))
    assert maps.shape == (2, 2, 2, 2, 2)
    assert (maps > 0).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"video is \(1, 3, 8, 16, 16\); this model expects \(B, 3, 4, 16, 16\)"):
        make()(torch.randn(1, 3, 8, 16, 16))
    with pytest.raises(ConfigError, match="choose readout 'mean'"):
        VideoMambaConfig.parse({"class_token": False})
    with pytest.raises(ConfigError, match="1 frames of 224 px hold no tubelet of 2 x 16 x 16"):
        VideoMambaConfig.parse({"n_frames": 1})
    with pytest.raises(ConfigError, match="scans in both directions"):
        VideoMambaConfig.parse({"mixer": {"directions": "forward"}})
    with pytest.raises(ConfigError, match="reversal is 'spatial', and hydra reads one order from both ends"):
        VideoMambaConfig.parse({"mixer": {"kind": "hydra"}, "reversal": "spatial"})
    with pytest.raises(ConfigError, match="mixer.head_width is 48; expected a divisor of the inner width 800"):
        VideoMambaConfig.parse({"mixer": {"kind": "mamba2", "head_width": 48, "expand": 2}, "width": 400})


@pytest.mark.parametrize("kind", ["mamba2", "hydra"])
def test_blocks_of_other_state_spaces_read_everything_and_learn(kind):
    model = make(mixer={"kind": kind, "state_size": 4}).train()
    video = torch.randn(2, 3, 4, 16, 16, requires_grad=True)
    model(video)[0].square().sum().backward()
    assert video.grad[0].abs().amax((0, 2, 3)).all()
    assert not video.grad[1].any()
    assert all(parameter.grad is not None for parameter in model.layers.parameters())
    maps = model.step_maps(video.detach())
    assert maps.shape == (2, 2, 2, 2, 2)
    assert (maps > 0).all()
