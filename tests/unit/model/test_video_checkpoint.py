"""Checkpoints of video encoders: what is stored, and that an adapted one finds its own backbone and no other."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from spikemba.errors import CheckpointError
from spikemba.model.video_mamba.adaptation import AdaptationConfig, adapt_model
from spikemba.model.video_mamba.checkpoint import (
    Preprocessing,
    VideoCheckpoint,
    initialise_from,
    load_video_checkpoint,
    open_video_model,
    save_video_checkpoint,
)
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig

TINY = {"preset": "opengvlab-ti", "width": 16, "n_blocks": 2, "n_frames": 3, "size_px": 16, "tubelet": [1, 8, 8]}
SSP = {"n_prompts": 1, "gathering_width": 8, "attention_width": 8, "n_heads": 2}


def video():
    return torch.randn(1, 3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def new_model(seed=0, **changes):
    torch.manual_seed(seed)
    return VideoMamba(VideoMambaConfig.parse({**TINY, "n_classes": 4, **changes})).eval()


@pytest.fixture
def base(tmp_path):
    save_video_checkpoint(tmp_path / "base", VideoCheckpoint(new_model(), labels=("a", "b", "c", "d")))
    return tmp_path / "base"


def adapt(base, folder, method="ssp", **how):
    """An adaptation whose trained tensors were moved a little, saved in `folder`."""
    model = load_video_checkpoint(base).model
    config = AdaptationConfig.parse({"method": method, "ssp": SSP, "prompts": {"n_prompts": 2}})
    adapted = adapt_model(model, config, n_classes=6)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    save_video_checkpoint(folder, VideoCheckpoint(adapted, labels=tuple("uvwxyz"), backbone=base, **how))
    return adapted.eval()


@pytest.mark.parametrize("kind", ["mamba2", "hydra"])
def test_a_checkpoint_keeps_its_kind_of_mixer(kind, tmp_path):
    model, base = new_model(mixer={"kind": kind}), tmp_path / "base"
    save_video_checkpoint(base, VideoCheckpoint(model))
    found = load_video_checkpoint(base).model
    assert found.config.mixer.kind == kind
    adapted = adapt(base, tmp_path / "adapted")
    again = load_video_checkpoint(tmp_path / "adapted").model.eval()
    with torch.no_grad():
        torch.testing.assert_close(found(video()), model(video()), rtol=0, atol=0)
        torch.testing.assert_close(again(video()), adapted(video()), rtol=0, atol=0)


def test_a_checkpoint_gives_the_model_back(base):
    found = load_video_checkpoint(base)
    with torch.no_grad():
        torch.testing.assert_close(found.model(video()), new_model()(video()), rtol=0, atol=0)
    assert found.labels == ("a", "b", "c", "d")
    assert json.loads((base / "config.json").read_text())["kind"] == "video"


@pytest.mark.parametrize("method", ["ssp", "prompts", "adapter", "linear", "full"])
def test_an_adapted_model_comes_back_from_its_new_tensors_and_its_backbone(base, tmp_path, method):
    adapted = adapt(base, tmp_path / "new", method)
    found = load_video_checkpoint(tmp_path / "new")
    with torch.no_grad():
        torch.testing.assert_close(found.model(video()), adapted(video()), rtol=0, atol=0)
    stored = load_file(tmp_path / "new" / "model.safetensors")
    if method == "full":
        assert set(stored) == set(new_model().state_dict())
        assert json.loads((tmp_path / "new" / "config.json").read_text())["backbone"] is None
        return
    assert set(stored) == set(adapted.trained_state())
    assert not [name for name in stored if "layers" in name]
    reference = json.loads((tmp_path / "new" / "config.json").read_text())["backbone"]
    assert reference["path"] == "../base"
    assert len(reference["sha256"]) == 64


def test_an_encoder_that_was_only_used_is_stored_as_it_was_trained(base, tmp_path):
    adapted = adapt(base, tmp_path / "new")
    found = load_video_checkpoint(tmp_path / "new")
    found.model.requires_grad_(False)
    save_video_checkpoint(tmp_path / "again", found)
    with torch.no_grad():
        torch.testing.assert_close(load_video_checkpoint(tmp_path / "again").model(video()), adapted(video()))


def test_both_folders_can_be_moved_together(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the backbone's place is also looked for from where one stands
    adapted = adapt(base, tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "moved" / "new")
    shutil.move(base, tmp_path / "moved" / "base")
    with torch.no_grad():
        torch.testing.assert_close(load_video_checkpoint(tmp_path / "moved" / "new").model(video()), adapted(video()))
    with pytest.raises(CheckpointError, match=r"new stands on the backbone \.\./base, which is not there"):
        load_video_checkpoint(tmp_path / "new")
    load_video_checkpoint(tmp_path / "new", backbone=tmp_path / "moved" / "base")
    load_video_checkpoint(tmp_path / "new", folders=[tmp_path / "moved"])
    with pytest.raises(CheckpointError, match=r"nor base in .*; put it there, or write its place into backbone.path"):
        load_video_checkpoint(tmp_path / "new", folders=[tmp_path])


def test_another_backbone_is_refused(base, tmp_path):
    adapt(base, tmp_path / "new")
    save_video_checkpoint(tmp_path / "other", VideoCheckpoint(new_model(seed=5)))
    with pytest.raises(CheckpointError, match="other is not the backbone of .*new: its tensors have the SHA-256"):
        load_video_checkpoint(tmp_path / "new", backbone=tmp_path / "other")


def test_an_adapted_model_is_no_backbone(base, tmp_path):
    adapt(base, tmp_path / "new")
    with pytest.raises(CheckpointError, match="is an adapted model itself; start from its backbone"):
        initialise_from(new_model(), tmp_path / "new")


def test_a_backbone_may_be_a_public_file(published, tmp_path):
    path = tmp_path / "public.pth"
    torch.save({"model": published(16, 2, n_frames=3, n_places=4)}, path)
    model = open_video_model(path).model
    assert model.config.n_classes == 400
    adapted = adapt_model(model, AdaptationConfig.parse({"ssp": SSP}), n_classes=3)
    save_video_checkpoint(tmp_path / "new", VideoCheckpoint(adapted, backbone=path))
    found = load_video_checkpoint(tmp_path / "new")
    clip = torch.randn(1, 3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(found.model(clip), adapted.eval()(clip))


def test_weights_of_a_checkpoint_start_a_model_of_other_sizes(base):
    longer = new_model(n_frames=6, n_classes=9)
    notes = initialise_from(longer, base)
    assert notes == [
        "temporal_pos_embedding resized from 3 to 6 slices",
        "head is new: the weights' head has 4 classes, the model 9",
    ]


def test_the_best_checkpoint_of_a_run_is_taken(base, tmp_path):
    shutil.copytree(base, tmp_path / "run" / "best")
    assert load_video_checkpoint(tmp_path / "run").labels == ("a", "b", "c", "d")


def test_what_is_no_checkpoint_is_named(base, tmp_path):
    with pytest.raises(CheckpointError, match=r"no video checkpoint in .*nowhere: no such folder"):
        load_video_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"expected config.json and model.safetensors in it"):
        load_video_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="no such file or folder"):
        open_video_model(tmp_path / "nothing.pth")
    tree = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**tree, "kind": "grounding"}))
    with pytest.raises(CheckpointError, match="holds another kind of checkpoint"):
        load_video_checkpoint(base)
    (base / "config.json").write_text(json.dumps({**tree, "model": {"width": 0}}))
    with pytest.raises(CheckpointError, match="its config.json cannot be read"):
        load_video_checkpoint(base)
    (base / "config.json").write_text(json.dumps(tree))
    (base / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"its model.safetensors is damaged"):
        load_video_checkpoint(base)


def test_frames_become_what_the_model_reads():
    frames = torch.full((2, 3, 4, 4, 3), 255, dtype=torch.uint8)
    found = Preprocessing(mean=(0.5, 0.5, 0.0), std=(0.5, 0.25, 1.0)).normalised(frames)
    assert found.shape == (2, 3, 3, 4, 4)
    assert found[0, :, 0, 0, 0].tolist() == [1.0, 2.0, 1.0]
