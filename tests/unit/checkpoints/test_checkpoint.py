import json

import pytest
import torch

from spikemba.checkpoints.grounding import Checkpoint, load_checkpoint, save_checkpoint
from spikemba.errors import CheckpointError, OutputError
from spikemba.features import FeatureSpec, Manifest
from spikemba.grounding import GroundingConfig
from spikemba.model import SpikeMba, SpikeMbaConfig

SMALL = {"width": 16, "n_blocks": 1, "spiking_saliency": {"n_heads": 4, "n_spike_steps": 2}}
SPEC = FeatureSpec(
    video=(Manifest(encoder="a", dim=4, clip_s=2.0),), text=Manifest(encoder="a_text", kind="text", dim=3), clip_s=2.0
)


@pytest.fixture
def folder(tmp_path):
    """A run folder with a best checkpoint."""
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse(SMALL), 4, 3)
    save_checkpoint(tmp_path / "best", Checkpoint(model, SPEC, GroundingConfig(max_iou=0.4), {"epoch": 3}))
    return tmp_path


def test_a_checkpoint_rebuilds_its_model_alone(folder):
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse(SMALL), 4, 3)
    loaded = load_checkpoint(folder / "best")
    assert loaded.features == SPEC
    assert loaded.grounding.max_iou == 0.4
    assert loaded.trained == {"epoch": 3}
    assert not loaded.model.training
    for (name, mine), theirs in zip(loaded.model.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name


def test_a_run_folder_stands_for_its_best_checkpoint(folder):
    assert load_checkpoint(folder).trained == load_checkpoint(str(folder / "best")).trained


def test_saving_again_replaces_the_files(folder):
    loaded = load_checkpoint(folder)
    with torch.no_grad():
        next(loaded.model.parameters()).fill_(7.0)
    save_checkpoint(folder / "best", loaded)
    assert (next(load_checkpoint(folder).model.parameters()) == 7).all()
    assert sorted(p.name for p in (folder / "best").iterdir()) == ["config.json", "model.safetensors"]


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"no checkpoint 'nothing': it is neither a folder nor a bundled model \(mini\)"
    ):
        load_checkpoint("nothing")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*: expected config.json and model.safetensors"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.json", b"{", "its config.json cannot be read"),
        ("config.json", b"\xff\xff", "its config.json cannot be read"),
        ("config.json", b'{"format": 1}', "its config.json cannot be read"),
        ("model.safetensors", b"", "its model.safetensors is damaged"),
        ("model.safetensors", b"x" * 300, "its model.safetensors is damaged"),
    ],
)
def test_a_corrupt_checkpoint_is_one_clear_line(folder, name, content, problem):
    (folder / "best" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=problem) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_a_cut_weight_file_is_damaged(folder):
    path = folder / "best" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)


def test_weights_of_another_model_do_not_load(folder):
    path = folder / "best" / "config.json"
    config = json.loads(path.read_text())
    config["model"]["width"] = 32
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="its tensors do not fit this network"):
        load_checkpoint(folder)


def test_a_place_that_cannot_be_written_is_named(folder):
    (folder / "file").touch()
    with pytest.raises(OutputError, match="file/model.safetensors"):
        save_checkpoint(folder / "file", load_checkpoint(folder))
