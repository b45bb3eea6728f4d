"""Overlays of step sizes: their shapes, what they follow, and what is said when nothing can be drawn."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipelines.recognition.explain import explain, overlaid, scaled, spread, step_maps
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.model.video_mamba.adaptation import AdaptationConfig, adapt_model
from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, open_video_model, save_video_checkpoint
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.video.sampling import probe
from spikemba_cli.main import app

TINY = {"width": 16, "n_blocks": 4, "n_frames": 4, "size_px": 32, "tubelet": [2, 8, 8], "n_classes": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("w")
    base = VideoMamba(VideoMambaConfig.parse(TINY))
    save_video_checkpoint(place / "base", VideoCheckpoint(base, labels=("left", "right")))
    ssp = {"n_prompts": 1, "gathering_width": 8, "attention_width": 8, "n_heads": 2}
    adapted = adapt_model(base, AdaptationConfig.parse({"ssp": ssp}))
    save_video_checkpoint(place / "adapted", VideoCheckpoint(adapted, backbone=place / "base"))
    return place


@pytest.fixture
def clip(make_video):
    rng = np.random.default_rng(0)
    return make_video("clip.mp4", rng.integers(0, 255, (50, 48, 64, 3), dtype=np.uint8), fps=10)


@pytest.mark.parametrize("kind", ["base", "adapted"])
def test_a_picture_shows_frames_and_three_depths(weights, clip, tmp_path, kind):
    found = explain(clip, weights / kind, tmp_path / "a.png")
    assert (found.blocks, found.n_frames) == ((1, 2, 3), 4)
    assert Image.open(tmp_path / "a.png").size[0] > 300
    assert [label for label, _ in found.classes] == [] if kind == "adapted" else ["left", "right"]


def test_a_video_shows_the_frames_and_the_overlay_beside_them(weights, clip, tmp_path):
    found = explain(clip, weights / "base", tmp_path / "a.mp4", blocks=[0, 3], clip_s=2.0)
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.fps) == (2 * 224, 224, 2.0)
    assert found.n_frames == 12  # five seconds, at two frames a second, filled to whole clips
    assert info.duration_s == pytest.approx(6.0, abs=0.1)


def test_a_part_of_a_video_can_be_shown(weights, clip, tmp_path):
    assert explain(clip, weights / "base", tmp_path / "a.png", start_s=1.0, end_s=2.0).n_frames == 4
    with pytest.raises(VideoError, match="has nothing from 6 s to 5 s"):
        explain(clip, weights / "base", tmp_path / "a.png", start_s=6.0)


def test_maps_are_the_models_step_sizes_at_the_frames_size(weights):
    opened = open_video_model(weights / "base")
    frames = np.random.default_rng(1).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    maps = step_maps(opened, frames, [1, 3])
    wanted = opened.model.step_maps(opened.preprocessing.normalised(torch.from_numpy(frames)[None]))[0, [1, 3]]
    np.testing.assert_array_equal(maps, wanted.numpy())
    fine = spread(maps[0], opened, 4)
    assert fine.shape == (4, 224, 224)  # frames are shown larger than they are seen
    assert (fine[0] == fine[1]).all()  # both frames of a tubelet
    np.testing.assert_allclose(fine[::2].mean((1, 2)), maps[0].mean((1, 2)), rtol=1e-3)


def test_heat_is_relative_to_its_block():
    maps = np.stack((np.linspace(0, 1, 1000), np.linspace(50, 70, 1000))).reshape(2, 10, 10, 10).astype(np.float32)
    heat = scaled(maps)
    np.testing.assert_allclose(heat[0], heat[1], atol=1e-3)
    assert (heat.min(), heat.max()) == (0, 1)
    frames = np.full((10, 10, 10, 3), 100, np.uint8)
    shown = overlaid(frames, heat[0])
    assert shown.shape == frames.shape
    assert shown[-1, -1, -1].sum() > shown[0, 0, 0].sum()


def test_what_cannot_be_drawn_is_named(weights, clip, tmp_path):
    with pytest.raises(SpikeMbaError, match="expected a name that ends in .mp4 or .png"):
        explain(clip, weights / "base", tmp_path / "a.gif")
    with pytest.raises(SpikeMbaError, match="clip.mp4 is the video itself"):
        explain(clip, weights / "base", clip)
    with pytest.raises(SpikeMbaError, match="blocks 4: this encoder has 4, counted from 0"):
        explain(clip, weights / "base", tmp_path / "a.png", blocks=[4])


def test_the_command(weights, clip, tmp_path):
    arguments = ["explain", clip, "--checkpoint", weights / "base", "--out", tmp_path / "a.png", "--blocks", "3"]
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["blocks"] == [3]
    assert {c["label"] for c in json.loads(result.stdout)["classes"]} == {"left", "right"}
    result = CliRunner().invoke(app, [*map(str, arguments[:-1]), "x"])
    assert result.exit_code == 2
