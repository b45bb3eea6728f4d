"""The network as a model of the hub: one format, nothing that runs."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import yaml

from spikemba import Checkpoint, GroundingConfig, PretrainedSpikeMba, SpikeMbaConfig, load_checkpoint, save_checkpoint
from spikemba.checkpoints.hub import is_hub_name
from spikemba.checkpoints.model_card import model_card
from spikemba.errors import CheckpointError
from spikemba.features import FeatureSpec, Manifest

SMALL = SpikeMbaConfig.parse({"width": 16, "n_blocks": 1, "spiking_saliency": {"n_heads": 4, "n_spike_steps": 2}})
SPEC = FeatureSpec(
    video=(Manifest(encoder="a", dim=4, clip_s=2.0, weights="ab" * 32),),
    text=Manifest(encoder="a_text", kind="text", dim=3),
    clip_s=2.0,
)
TRAINED = {
    "epoch": 3,
    "version": "0.1.0",
    "data": {"benchmark": "tvsum", "train": "40 pairs of train.jsonl"},
    "val": {"mAP": 51.25},
    "test": {"mAP": 50.5, "mAP-BK": 70.0},
    "settings": {"train.epochs": 7},
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = PretrainedSpikeMba(SMALL, 4, 3)
    model.features, model.grounding, model.trained = SPEC, GroundingConfig(max_iou=0.4), TRAINED
    return model.eval()


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_what_is_saved_is_a_checkpoint_and_loads_to_the_same_model(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded = PretrainedSpikeMba.from_pretrained(tmp_path / "m")
    assert same(loaded, model)
    assert not loaded.training
    assert (loaded.features, loaded.grounding, loaded.trained) == (SPEC, model.grounding, TRAINED)
    checkpoint = load_checkpoint(tmp_path / "m")
    assert same(checkpoint.model, model)
    assert checkpoint.features == SPEC


def test_a_checkpoint_of_training_loads_without_being_converted(model, tmp_path):
    save_checkpoint(tmp_path / "run" / "best", Checkpoint(model, SPEC, GroundingConfig(), {"epoch": 1}))
    assert same(PretrainedSpikeMba.from_pretrained(tmp_path / "run"), model)
    assert PretrainedSpikeMba.from_pretrained("mini").features is not None


def test_saving_keeps_a_card_that_was_written_by_hand(model, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_network_that_does_not_know_its_features_is_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match=r"does not know its features; set `model.features`"):
        PretrainedSpikeMba(SMALL, 4, 3).save_pretrained(tmp_path / "m")


def test_loading_runs_nothing_that_lies_in_the_folder(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    mark = tmp_path / "mark"
    bomb = pickle.dumps(Bomb(mark))
    for name in ("pytorch_model.bin", "model.pt", "train_state.pt", "model.pkl"):
        (tmp_path / "m" / name).write_bytes(bomb)
    for name in ("__init__.py", "modeling.py", "config.py"):
        (tmp_path / "m" / name).write_text(f"open({str(mark)!r}, 'w')")
    assert same(PretrainedSpikeMba.from_pretrained(tmp_path / "m"), model)
    (tmp_path / "m" / "model.safetensors").write_bytes(bomb)
    with pytest.raises(CheckpointError, match=r"its model.safetensors is damaged"):
        PretrainedSpikeMba.from_pretrained(tmp_path / "m")
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists()  # the bomb does go off where it is unpickled


def test_encoders_that_were_trained_with_it_are_saved_with_it(model, tmp_path):
    own = {"kind": "video", "backbone": {"path": "../../../home/me/m16.pth", "sha256": "cd" * 32}}
    encoder = tmp_path / "run" / "best" / "encoders" / "videomamba"
    save_checkpoint(tmp_path / "run" / "best", Checkpoint(model, SPEC, GroundingConfig(), {}))
    encoder.mkdir(parents=True)
    (encoder / "config.json").write_text(json.dumps(own))
    with pytest.raises(CheckpointError, match="the encoder is incomplete"):
        PretrainedSpikeMba.from_pretrained(tmp_path / "run").save_pretrained(tmp_path / "half")
    (encoder / "model.safetensors").write_bytes(b"tensors")
    PretrainedSpikeMba.from_pretrained(tmp_path / "run").save_pretrained(tmp_path / "m")
    copied = tmp_path / "m" / "encoders" / "videomamba"
    assert (copied / "model.safetensors").read_bytes() == b"tensors"
    assert json.loads((copied / "config.json").read_text())["backbone"] == {"path": "m16.pth", "sha256": "cd" * 32}
    card = (tmp_path / "m" / "README.md").read_text()
    assert "adapts a backbone that is not here: m16.pth, SHA-256 of its tensors cdcdcdcdcdcdcdcd" in card
    assert "/home" not in card


def test_settings_are_not_taken_from_the_caller(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(TypeError, match=r"takes no width: config.json decides"):
        PretrainedSpikeMba.from_pretrained(tmp_path, width=3)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda config: config.update(model={"width": "wide"}), "its config.json cannot be read"),
        (lambda config: config["model"].update(width=32), "its tensors do not fit this network"),
        (lambda config: config.update(auto_map={"AutoModel": "modeling.Evil"}), "auto_map: no such key"),
    ],
)
def test_a_config_that_does_not_fit_is_one_clear_line(model, tmp_path, change, problem):
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    change(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=problem) as caught:
        PretrainedSpikeMba.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_names_of_the_hub_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(map(is_hub_name, ("me/model", "me/model@v1.0", "a-b/c.d_e")))
    assert not any(map(is_hub_name, ("model", "/me/model", "./me/model", "../model", "a/b/c", "me/", "", "me/mo del")))
    Path("runs").mkdir()
    assert not is_hub_name("runs/typo")


def test_offline_a_repository_that_is_not_in_the_cache_is_one_clear_line():
    with pytest.raises(
        CheckpointError, match=r"no checkpoint 'me/model': it is no folder here, .* cannot reach huggingface.co"
    ):
        load_checkpoint("me/model")


def test_the_card_says_where_the_model_comes_from(model):
    card = model_card(model.checkpoint, name="me/model", licence="apache-2.0")
    _, head, text = card.split("---\n", 2)
    data = yaml.safe_load(head)
    assert (data["library_name"], data["license"]) == ("spikemba", "apache-2.0")
    validation, test = data["model-index"][0]["results"]
    assert validation["dataset"] == {"type": "tvsum", "name": "tvsum", "split": "validation"}
    assert {"type": "mAP-BK", "value": 70.0} in test["metrics"]
    for part in (
        *("# model\n", "--checkpoint me/model", 'from_pretrained("me/model")', "| clips | a | 4 | abababababababab |"),
        *(
            "| query | a_text | 3 | not recorded |",
            "| benchmark | tvsum |",
            "| epoch | 3 |",
            "| `train.epochs` | `7` |",
        ),
        *("| mAP | 51.25 | 50.50 |", "| mAP-BK |  | 70.00 |"),
    ):
        assert part in text, part


def test_a_card_without_a_past_says_so(model):
    model.trained = {}
    card = model_card(model.checkpoint)
    assert "What it was trained on was not recorded." in card
    assert "## Results" not in card
