"""Recognition from a folder per class to answers: training, resuming, adapting, evaluating, recognising."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines.recognition.recognize import Recognizer
from pipelines.runs.config import config_names, config_path
from pipelines.runs.run_dir import RunDir
from pipelines.scoring.evaluate_files import EvaluateOptions
from pipelines.tasks.recognition.config import RunConfig as RecognitionConfig
from pipelines.tasks.recognition.evaluate import evaluate_run
from pipelines.tasks.recognition.task import RecognitionTask, mixed
from pipelines.tasks.registry import load_run_config
from pipelines.tasks.train import train
from pipelines.training.batch_plan import MicroBatch
from pipelines.training.task import Task
from spikemba.config import to_yaml
from spikemba.datasets.labelled.video_augment import MixConfig
from spikemba.errors import CheckpointError, ConfigError, SpikeMbaError, VideoError, WeightsMissing
from spikemba.model.video_mamba.checkpoint import load_video_checkpoint

COLOURS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Three classes that differ in their colour, six training and two other videos of each."""
    from spikemba.video.files import write_video

    root, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for split, n in (("train", 6), ("val", 2)):
        for name, colour in COLOURS.items():
            for i in range(n):
                noise = rng.integers(0, 50, (8, 24, 32, 3))
                path = root / split / name / f"{i}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, (noise + np.array(colour)).clip(0, 255).astype(np.uint8), 8)
    return root


def config(footage, **changes):
    tree = {
        "name": "colours",
        "data": {
            **{"train": footage / "train", "val": footage / "val", "frames": {"n_frames": 4}, "size_px": 16},
            **{"short_side_px": 20, "memory_gb": 1, "augment": {"rand_augment_ops": 1, "rand_augment_magnitude": 2}},
        },
        "model": {"width": 16, "n_blocks": 2, "tubelet": [2, 8, 8], "drop_path": 0.0},
        "train": {"epochs": 4, "batch_size": 6, "learning_rate": 1e-2, "schedule": "constant", "warmup": 0},
    }
    for section, values in changes.items():
        tree[section] = {**tree.get(section, {}), **values} if isinstance(values, dict) else values
    return RecognitionConfig.parse(tree)


@pytest.fixture(scope="module")
def trained(footage, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "colours"
    train(config(footage), out)
    return out


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_learns_what_tells_the_classes_apart(trained):
    rows = RunDir(trained).rows()
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert max(row["val"]["top1"] for row in rows) == 100
    assert "parameters are trained" in rows[0]["parameters"]
    loaded = load_video_checkpoint(trained)
    assert loaded.labels == ("blue", "green", "red")
    assert loaded.config.n_classes == 3
    assert loaded.preprocessing.sampling == "uniform"


def test_evaluation_finds_what_training_found(trained, footage, tmp_path):
    best = max(RunDir(trained).rows(), key=lambda row: row["val"]["top1"])
    found = evaluate_run(trained, "val", EvaluateOptions(out=tmp_path / "p.jsonl"))
    assert found.brief == best["val"]
    assert {name: row["videos"] for name, row in found.document["per_class"].items()} == dict.fromkeys(COLOURS, 2)
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == ["blue"] * 2 + ["green"] * 2 + ["red"] * 2
    assert all(abs(sum(one["probability"] for one in row["top"]) - 1) < 1e-3 for row in rows)
    more = config(footage, data={"test_segments": 2, "test_crops": 3}).data
    assert evaluate_run(trained, "val", EvaluateOptions(data=more)).document["videos"] == 6
    with pytest.raises(ConfigError, match="leave it out for recognition"):
        evaluate_run(trained, "val", EvaluateOptions(resamples=10))
    with pytest.raises(ConfigError, match="--precision has 1 fault: bf16 is there for grounding on features only"):
        evaluate_run(trained, "val", EvaluateOptions(precision="bf16"))
    for settings in ({"train": {"seed": 1}}, {"data": {"size_px": 999}}, {"data": {"repeats": 3}}, {"data": {"x": 1}}):
        with pytest.raises(ConfigError, match="--set has 1 fault"):
            evaluate_run(trained, "val", EvaluateOptions(settings=settings))
    views = evaluate_run(trained, "val", EvaluateOptions(settings={"data": {"test_crops": 3}}))
    assert views.document["videos"] == found.document["videos"]


def test_a_run_that_was_broken_off_goes_on_to_the_same_weights(trained, footage, tmp_path):
    train(config(footage, train={"epochs": 2}), tmp_path / "run")
    train(config(footage), tmp_path / "run", resume=True)
    assert same(weights(trained / "last"), weights(tmp_path / "run" / "last"))


def test_loading_processes_draw_the_same_clips(trained, footage, tmp_path):
    train(config(footage, train={"workers": 2, "epochs": 1}), tmp_path / "run")
    train(config(footage, train={"epochs": 1}), tmp_path / "alone")
    assert same(weights(tmp_path / "run" / "last"), weights(tmp_path / "alone" / "last"))


@pytest.mark.parametrize("n_parts", [2, 4])
def test_parts_of_a_batch_add_up_to_it(footage, n_parts):
    torch.manual_seed(0)
    task = RecognitionTask(config(footage, data={"repeats": 2}))
    whole = MicroBatch(0, (3, 9, 17), 0, 3, seed=1)

    def gradient(parts):
        task.module.zero_grad()
        losses = [task.loss(task.load(part)).loss for part in parts]
        for loss in losses:
            loss.backward()
        return sum(losses).detach(), task.module.backbone.head.weight.grad.clone()

    borders = np.linspace(0, 3, n_parts + 1).round().astype(int)  # of four parts, one is empty
    parts = [replace(whole, start=a, stop=b) for a, b in pairwise(borders)]
    torch.testing.assert_close(gradient(parts), gradient([whole]))


def test_blocks_that_run_again_on_the_way_back_have_the_same_gradients(footage):
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        task = RecognitionTask(config(footage, train={"checkpoint_blocks": again}, model={"drop_path": 0.5}))
        task.module.train()
        task.loss(task.load(MicroBatch(0, (3, 9, 17), 0, 3))).loss.backward()
        gradients.append({name: p.grad for name, p in task.module.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])


def test_mixing_makes_targets_of_two_classes_that_sum_to_one():
    torch.manual_seed(0)
    clips = torch.arange(4.0)[:, None, None, None, None].expand(4, 3, 2, 8, 8)
    labels = torch.arange(4)
    assert mixed(clips, labels, MixConfig(), 5)[1] is labels
    for mix in (MixConfig(mixup=0.8), MixConfig(cutmix=1.0)):
        video, targets = mixed(clips, labels, mix, 5)
        assert video.shape == clips.shape
        torch.testing.assert_close(targets.sum(1), torch.ones(4))
        # a clip's mean says how much of its neighbour is in it, as its target does
        share = (targets * torch.arange(5.0)).sum(1)
        torch.testing.assert_close(video.mean((1, 2, 3, 4)), share)


@pytest.mark.parametrize("method", ["linear", "prompts", "adapter", "ssp"])
def test_an_adapted_run_stores_what_was_trained_and_names_its_backbone(trained, footage, tmp_path, method):
    small = {"ssp": {"gathering_width": 8, "attention_width": 8, "n_heads": 2}, "adapter": {"inner_width": 4}}
    changed = {"weights": trained, "adapt": {"method": method, **small}, "train": {"epochs": 2}}
    out = tmp_path / method
    train(config(footage, model=None, **changed), out)
    stored, backbone = weights(out / "last"), weights(trained / "best")
    assert "backbone.head.weight" in stored
    assert not any(name.startswith("backbone.layers") for name in stored)
    loaded = load_video_checkpoint(out / "last")
    assert loaded.model.config.method == method
    for name, tensor in backbone.items():
        if name.startswith("layers."):
            assert torch.equal(loaded.model.backbone.state_dict()[name], tensor)
    assert (
        evaluate_run(out / "last", "val", EvaluateOptions(data=config(footage).data)).brief
        == RunDir(out).rows()[-1]["val"]
    )


def test_a_pretrained_network_gets_a_head_for_other_classes(trained, footage, tmp_path):
    two = tmp_path / "two"
    two.mkdir()
    for name in ("red", "green"):
        (two / name).symlink_to(footage / "train" / name)
    train(config(footage, model=None, weights=trained, data={"train": two, "val": None}), tmp_path / "run")
    assert load_video_checkpoint(tmp_path / "run").labels == ("green", "red")
    assert weights(tmp_path / "run" / "last")["head.weight"].shape == (2, 16)


def test_recognize_tells_the_class_of_a_video_and_of_its_parts(trained, make_video):
    images = [np.full((24, 40, 3), COLOURS[name], np.uint8) for name in ("red", "green", "blue") for _ in range(24)]
    path = make_video("film.mp4", images, fps=8)
    found = Recognizer(trained, crops=2).recognize(path, top=2, window_s=3)
    assert [part.top[0]["label"] for part in found.over_time] == ["red", "green", "blue"]
    assert [(part.start_s, part.end_s) for part in found.over_time] == [(0, 3), (3, 6), (6, 9)]
    assert len(found.top) == 2
    assert found.to_dict()["duration_s"] == 9
    assert Recognizer(trained).recognize(path, window_s=None).over_time == []
    assert Recognizer(trained).recognize(path, window_s=7).over_time == []
    every = Recognizer(trained).recognize(path, top=99).top
    assert sum(one["probability"] for one in every) == pytest.approx(1, abs=1e-3)


def test_what_cannot_be_used_is_said(trained, footage, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match="is not a video"):
        Recognizer(trained).recognize(tmp_path / "text.mp4")
    with pytest.raises(CheckpointError, match="no video checkpoint in"):
        Recognizer(tmp_path / "none")
    with pytest.raises(WeightsMissing, match="no weights gone.pth"):
        train(config(footage, weights="gone.pth"), tmp_path / "run")
    broken = tmp_path / "broken"
    for name in COLOURS:
        (broken / name).mkdir(parents=True)
        (broken / name / "a.mp4").write_text("no video")
    with pytest.raises(SpikeMbaError, match="a.mp4: is not a video that FFmpeg can read") as raised:
        train(config(footage, data={"train": broken}), tmp_path / "other")
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_two_processes_train_what_one_does(footage, tmp_path):
    """Through the launcher, so each process starts anew; a batch of 5 is cut unevenly, the last has 3 videos."""
    path, same_batches = tmp_path / "config.yaml", config(footage, train={"epochs": 2, "batch_size": 5})
    path.write_text(to_yaml(same_batches))
    train(same_batches, tmp_path / "one")
    code = "from spikemba_cli.main import main; main()"
    arguments = ["train", "--config", path, "--processes", 2, "--out", tmp_path / "two"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True)
    one, two = (weights(tmp_path / name / "last") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], atol=1e-4, rtol=1e-4)
    assert RunDir(tmp_path / "one").rows()[-1]["val"] == RunDir(tmp_path / "two").rows()[-1]["val"]


RECIPES = [name for name in config_names() if name.startswith(("videomamba_", "ssp_"))]
TINY = ["model.width=16", "model.n_blocks=2", "data.size_px=32", "data.short_side_px=36"]
FAST = ["train.epochs=1", "train.workers=0", "train.accumulate=2", "data.test_segments=1", "data.test_crops=2"]
NARROW = ["adapt.ssp.gathering_width=8", "adapt.ssp.attention_width=8"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_in_small(footage, tmp_path, name):
    from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, save_video_checkpoint
    from spikemba.model.video_mamba.network import VideoMamba

    places = [
        f"data.{split}={footage / folder}" for split, folder in (("train", "train"), ("val", "val"), ("test", "val"))
    ]
    small = load_run_config(config_path(name), [*places, *TINY, *FAST, *NARROW])
    if small.weights is not None:
        backbone = VideoMamba(small.model.model_copy(update={"size_px": 32}))
        save_video_checkpoint(tmp_path / "backbone", VideoCheckpoint(backbone))
        small = small.model_copy(update={"weights": tmp_path / "backbone"})
    train(small, tmp_path / "run")
    row = RunDir(tmp_path / "run").rows()[0]
    assert np.isfinite(row["loss"])
    assert ("test" in row) == small.train.watch_test
    assert evaluate_run(tmp_path / "run", "val").brief == row["val"]


def test_a_recogniser_is_all_that_the_loop_asks_for(footage):
    task: Task = RecognitionTask(config(footage))
    asked = {name for name in vars(Task) if not name.startswith("_")}
    assert {name for name in asked if not hasattr(task, name)} == set()
    assert task.splits == ("val",)
