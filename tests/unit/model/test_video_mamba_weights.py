"""Public weights by their names: everything is accounted for, and sizes are changed as the sources say."""

import argparse

import pytest
import torch

from spikemba.errors import CheckpointError
from spikemba.model.video_mamba.network import PRESETS, VideoMamba, VideoMambaConfig
from spikemba.model.video_mamba.published_weights import initialise, load_video_mamba, read_weights


def save(tree, path):
    torch.save(tree, path)
    return path


@pytest.fixture(scope="module")
def image_file(published, tmp_path_factory):
    """Image weights of a small network, 32 pixels."""
    return save(published(32, 2, n_places=4, n_classes=6, image=True), tmp_path_factory.mktemp("w") / "image.pth")


@pytest.mark.parametrize("preset", ["opengvlab-ti", "opengvlab-s", "opengvlab-m"])
def test_the_published_layout_loads_with_nothing_missing_or_left_over(published, preset, tmp_path):
    sizes = PRESETS[preset]
    width, n_blocks = sizes["width"], sizes["n_blocks"]
    state = published(width, n_blocks)
    model, notes = load_video_mamba(save(state, tmp_path / "a.pth"))
    assert notes == []
    assert model.config == VideoMambaConfig.parse({"preset": preset, "mixer": {"step_rank": width // 16}})
    assert sum(v.numel() for v in state.values()) == sum(p.numel() for p in model.parameters())
    own = model.state_dict()
    last = f"layers.{n_blocks - 1}.mixer"
    for theirs, ours in {
        "A_log": "forward_scan.A_log",
        "A_b_log": "backward_scan.A_log",
        "D_b": "backward_scan.D",
        "conv1d_b.weight": "backward_scan.conv1d.weight",
        "dt_proj.bias": "forward_scan.dt_proj.bias",
        "x_proj.weight": "forward_scan.x_proj.weight",
        "out_proj.weight": "out_proj.weight",
    }.items():
        assert own[f"{last}.{ours}"].equal(state[f"{last}.{theirs}"]), theirs


@pytest.mark.parametrize("key", ["model", "module", "state_dict", None])
@pytest.mark.parametrize("prefix", ["", "backbone.", "encoder.", "module.encoder."])
def test_tables_below_a_key_and_prefixes_are_read(published, key, prefix, tmp_path):
    state = published(32, 1, n_places=4)
    named = {prefix + name: value for name, value in state.items()}
    tree = named if key is None else {key: named, "epoch": 3, "args": argparse.Namespace(lr=1e-3)}
    model, _ = load_video_mamba(save(tree, tmp_path / "a.pth"))
    assert model.state_dict()["layers.0.norm.weight"].equal(state["layers.0.norm.weight"])


def test_what_does_not_fit_is_named(published, tmp_path):
    state = published(32, 2, n_places=4)
    del state["layers.1.mixer.D_b"]
    state["extra"] = torch.zeros(1)
    state["layers.0.mixer.x_proj.weight"] = torch.zeros(9, 64)
    with pytest.raises(CheckpointError) as caught:
        load_video_mamba(save(state, tmp_path / "a.pth"))
    message = str(caught.value)
    assert "missing: layers.1.mixer.backward_scan.D" in message
    assert "left over: extra" in message
    assert "layers.0.mixer.forward_scan.x_proj.weight (9, 64), not (34, 64)" in message
    with pytest.raises(CheckpointError, match="no weights of VideoMamba"):
        read_weights(save({"a": torch.zeros(1)}, tmp_path / "b.pth"))
    del state["pos_embed"]
    with pytest.raises(CheckpointError, match="not the tensors of a VideoMamba"):
        read_weights(save(state, tmp_path / "c.pth"))


def test_a_file_that_would_run_code_is_refused(published, tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w').close()",)

    path = save({"model": published(32, 1, n_places=4), "x": Evil()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="not a file of weights that can be read safely"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


def test_heads_of_other_classes_are_cut_or_new(published, tmp_path):
    state = published(32, 1, n_places=4, n_classes=710)
    path = save(state, tmp_path / "a.pth")
    model, notes = load_video_mamba(path, n_classes=400)
    assert notes == ["head cut from 710 to the first 400 classes"]
    assert model.head.weight.equal(state["head.weight"][:400])
    model, notes = load_video_mamba(path, n_classes=51)
    assert notes == ["head is new: the weights' head has 710 classes, the model 51"]
    assert load_video_mamba(path, n_classes=0)[1] == []


def test_positions_are_resized_over_places_and_over_time(published, tmp_path):
    state = published(8, 1, n_frames=4, n_places=9)
    ramp = torch.arange(4.0)[None, :, None].expand(1, 4, 8)
    state["temporal_pos_embedding"] = ramp
    columns = torch.arange(3.0).repeat(3)[None, :, None].expand(1, 9, 8)
    state["pos_embed"] = torch.cat((torch.full((1, 1, 8), 7.0), columns), dim=1)
    model, notes = load_video_mamba(save(state, tmp_path / "a.pth"), n_frames=8, size_px=96)
    assert notes == [
        "pos_embed resized from 3 x 3 to 6 x 6 places",
        "temporal_pos_embedding resized from 4 to 8 slices",
    ]
    times = model.temporal_pos_embedding[0, :, 0]
    torch.testing.assert_close(times, torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]))
    places = model.pos_embed[0, 1:, 0].view(6, 6)
    assert model.pos_embed[0, 0].eq(7).all()  # the class token's vector is kept
    torch.testing.assert_close(places, places[:1].expand(6, 6))  # nothing changes from row to row
    assert (places[0].diff() > 0).all()
    torch.testing.assert_close(places[0] + places[0].flip(0), torch.full((6,), 2.0))


@pytest.mark.parametrize(("preset", "inflation"), [("park-ti", "mean"), ("opengvlab-ti", "centre")])
def test_a_static_clip_through_inflated_weights_is_the_image(image_file, preset, inflation):
    image_model, _ = load_video_mamba(image_file)
    image_model.eval()
    weights = read_weights(image_file)
    assert weights.of_images
    image = torch.randn(2, 3, 1, 32, 32)
    sizes = {"preset": preset, "width": 32, "n_blocks": 2, "size_px": 32, "n_classes": 6, "norm": "rms"}
    for frames in (2, 3):
        config = VideoMambaConfig.parse({**sizes, "n_frames": frames, "tubelet": [frames, 16, 16]})
        model = VideoMamba(config).eval()
        notes = initialise(model, weights)
        assert notes[0] == f"patch_embed.proj.weight inflated from 1 to {frames} frames ({inflation})"
        with torch.no_grad():
            still = image.expand(-1, -1, frames, -1, -1)
            torch.testing.assert_close(model(still), image_model(image), rtol=1e-4, atol=1e-5)


def test_every_slice_of_a_static_clip_begins_as_the_image_does(image_file):
    """Temporal expanding: each slice has the image's positions, so its tokens are the image's."""
    image_model, _ = load_video_mamba(image_file)
    config = VideoMambaConfig.parse(
        {"preset": "park-ti", "width": 32, "n_blocks": 2, "size_px": 32, "n_classes": 6, "norm": "rms", "n_frames": 6}
    )
    model = VideoMamba(config)
    notes = initialise(model, read_weights(image_file))
    assert "pos_embed expanded over 3 slices" in notes
    image = torch.randn(1, 3, 1, 32, 32)
    with torch.no_grad():
        tokens, grid = model.embed(image.expand(-1, -1, 6, -1, -1))
        wanted, image_grid = image_model.embed(image)
    class_token, slices = grid.split(tokens)
    torch.testing.assert_close(class_token, image_grid.split(wanted)[0])
    for t in range(3):
        torch.testing.assert_close(slices[:, t], image_grid.split(wanted)[1][:, 0], rtol=1e-4, atol=1e-5)


def test_a_model_with_layer_norm_starts_from_weights_of_rms_norm(image_file):
    sizes = {"preset": "park-ti", "width": 32, "n_blocks": 2, "size_px": 32, "n_classes": 6}
    model = VideoMamba(VideoMambaConfig.parse(sizes))
    notes = initialise(model, read_weights(image_file))
    assert "norms begin without a shift: the weights are of RMSNorm" in notes
    assert model.norm_f.bias.eq(0).all()
    assert model.norm_f.weight.equal(read_weights(image_file).state["norm_f.weight"])


def test_vims_class_token_stands_in_the_middle_and_its_sum_is_halved(image_file):
    plain, vim = read_weights(image_file), read_weights(image_file, "vim")
    table = plain.state["pos_embed"]
    order = [2, 0, 1, 3, 4]  # five rows, the class token's is the third
    assert vim.state["pos_embed"].equal(table[:, order])
    name = "layers.1.mixer.out_proj.weight"
    assert vim.state[name].equal(plain.state[name] / 2)


@pytest.mark.parametrize("layout", ["vim", "opengvlab"])
@pytest.mark.parametrize(("side", "size_px"), [(27, 224), (47, 384)])
def test_weights_of_overlapping_patches_are_refused(published, tmp_path, layout, side, size_px):
    """27 x 27 places are 224 pixels in steps of 8, and not 432 pixels in steps of 16."""
    path = save(published(32, 1, n_places=side * side, image=True), tmp_path / "vim_s_stride8.pth")
    with pytest.raises(
        CheckpointError, match=f"{side} x {side} places are .* stride 8 for {size_px} pixels; .*stride 16"
    ):
        read_weights(path, layout)


@pytest.mark.parametrize(("side", "size_px"), [(14, 224), (24, 384), (28, 448)])
def test_weights_of_patches_side_by_side_are_read(published, tmp_path, side, size_px):
    path = save(published(32, 1, n_places=side * side, image=True), tmp_path / "vim_s.pth")
    assert read_weights(path, "vim").config.size_px == size_px


def test_joint_tables_are_resized_but_not_taken_apart(image_file):
    sizes = {"preset": "park-ti", "width": 32, "n_blocks": 2, "size_px": 32, "n_classes": 6, "norm": "rms"}
    model = VideoMamba(VideoMambaConfig.parse({**sizes, "n_frames": 4}))
    weights = read_weights(image_file)
    initialise(model, weights)
    from spikemba.model.video_mamba.published_weights import Weights

    saved = Weights(image_file, model.state_dict(), model.config)
    longer = VideoMamba(VideoMambaConfig.parse({**sizes, "n_frames": 8, "size_px": 64}))
    assert initialise(longer, saved) == ["pos_embed resized from 2 x 2 x 2 to 4 x 4 x 4"]
    assert longer.pos_embed.shape == (1, 64, 32)
    separate = VideoMamba(VideoMambaConfig.parse({**sizes, "n_frames": 4, "position": "separate"}))
    with pytest.raises(CheckpointError, match="cannot be taken apart"):
        initialise(separate, saved)
