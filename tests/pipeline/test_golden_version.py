"""Files of version 0.1.0 are read by today's code to the values that 0.1.0 read from them; see tests/golden/HOW.md."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from golden import inputs, today
from golden.files import (
    ANSWER,
    BUNDLED_BEFORE,
    NETWORK,
    PREDICTIONS,
    SCORES,
    TRAINING,
    VERSION,
    differences,
    flat,
    read,
)

VIDEO = VERSION.parents[2] / "examples" / "shapes.mp4"
QUERY = "a red circle enters"
PHASES = {"run": 59, "checkpoint": 2, "adaptation_run": 52}
"""Checkpoint -> the fixed batch whose neurons stay far from their thresholds in it."""
ENCODER = ("--weights", "mini=encoder")


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the files of version 0.1.0, and the current folder: their paths are relative to it."""
    folder = tmp_path / "old"
    shutil.copytree(VERSION, folder)
    monkeypatch.chdir(folder)
    return folder


def expected(name):
    return read(VERSION / "expected" / name)


def rows(run):
    """The rows of a run's metrics.jsonl."""
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_same_epoch(found, name):
    """Compare a row of metrics.jsonl with the one that version 0.1.0 wrote."""
    golden = expected("rows.json")[name]
    scores = {split: golden.pop(split) for split in ("val", "test")}
    for key, value in today.MENDED.get(name, {}).items():
        split, metric = key.split(".", 1)
        scores[split][metric] = value
    assert differences(found, golden, TRAINING) == []
    assert differences(found, scores, SCORES) == []


def printed(*arguments):
    """The JSON document that a command prints."""
    return json.loads(today.spikemba(*arguments, "--json"))


@pytest.mark.parametrize("task", ["grounding", "recognition", "adaptation"])
def test_every_setting_keeps_its_value_under_its_old_name(task):
    path = VERSION / "settings" / f"{task}.yaml"
    wanted = flat(yaml.safe_load(path.read_text(encoding="utf-8")))
    lost = differences(today.settings(path), wanted)
    assert not lost, (
        f"{lost}; a file of version 0.1.0 must keep its meaning: go on reading a renamed setting under its old name, "
        "and name the two in RENAMED of tests/golden/today.py"
    )


@pytest.mark.parametrize("run", ["run", "recognition_run", "adaptation_run"])
def test_the_configuration_in_a_run_folder_keeps_its_values(run):
    path = VERSION / run / "config.yaml"
    assert differences(today.settings(path), flat(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("kernels", ["plain", "compiled"])
@pytest.mark.parametrize("name", PHASES)
def test_a_grounding_checkpoint_gives_its_outputs(name, kernels):
    if kernels == "compiled" and (reason := today.can_compile()):
        pytest.skip(f"the kernels cannot be compiled here: {reason}")
    batch = inputs.fixed_batch(*today.feature_widths(VERSION / name), phase=PHASES[name])
    with today.kernels(compiled=kernels == "compiled"):
        found = today.grounding_outputs(VERSION / name, batch)
    assert differences(found, expected(f"{name}.npz"), NETWORK) == []


@pytest.mark.parametrize("name", ["video_encoder", "recognition_run", "adaptation_run"])
def test_a_video_checkpoint_gives_its_outputs_and_finds_its_backbone(name):
    found = today.video_outputs(VERSION / name, inputs.pictures(3, 4, 16))
    assert differences(found, expected(f"{name}_video.npz"), NETWORK) == []


def test_a_mini_encoder_in_a_folder_gives_its_features():
    sentences = (QUERY, "Circle", "the purple elephant leaves")
    found = today.mini_outputs(VERSION / "encoder", inputs.pictures(3, 4, 32), sentences)
    assert differences(found, expected("encoder.npz"), NETWORK) == []


@pytest.mark.parametrize("name", PHASES)
def test_a_checkpoint_answers_what_it_answered(old, name):
    shutil.copy(VIDEO, old)
    found = printed("ground", VIDEO.name, QUERY, "--checkpoint", name, *ENCODER)
    assert differences(found, expected("answers.json")[name], ANSWER) == []


def test_the_bundled_checkpoint_of_before_answers_on_todays_encoder_what_it_answered():
    found = printed("ground", VIDEO, QUERY, "--checkpoint", BUNDLED_BEFORE, "--no-cache")
    golden = {
        key: value for key, value in read(BUNDLED_BEFORE / "answer.json").items() if key not in ("model", "video")
    }
    assert differences(found, golden, ANSWER) == []


def test_a_recogniser_names_what_it_named(old):
    shutil.copy(VIDEO, old)
    found = printed("recognize", VIDEO.name, "--checkpoint", "recognition_run")
    assert differences(found, expected("answers.json")["recognition_run"], ANSWER) == []


def test_the_settings_of_a_user_name_checkpoint_and_weights(old, monkeypatch):
    monkeypatch.setenv("SPIKEMBA_HOME", str(old / "home"))
    shutil.copy(VIDEO, old)
    assert differences(printed("ground", VIDEO.name, QUERY), expected("answers.json")["run"], ANSWER) == []


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_run_folder_evaluates_to_its_metrics(old, split):
    found = printed("evaluate", "run", "--split", split)
    assert differences(found, expected("evaluation.json")[split], SCORES) == []
    best = max(rows("run"), key=lambda row: row["val"]["MR-full-mIoU"])
    assert differences(found["brief"], best[split], SCORES) == []


def test_predictions_score_what_they_scored_and_are_predicted_again(old):
    given = "--predictions", "predictions.jsonl", "--annotations", "annotations/val.jsonl"
    assert (
        differences(printed("evaluate", *given, "--dataset", "charades_sta"), expected("evaluation.json")["val"]) == []
    )
    today.spikemba("evaluate", "run", "--split", "val", "--out", "again.jsonl")
    now, then = (
        [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]
        for name in ("again.jsonl", "predictions.jsonl")
    )
    assert differences(now, then, PREDICTIONS) == []


def test_runs_lists_the_run_folders(old):
    found = {one["run"]: one for one in printed("runs", ".")}
    assert differences(found, expected("runs.json")) == []


def test_the_curves_of_a_run_are_drawn(old):
    today.spikemba("runs", "run", "--curves", "curves.html")
    text = Path("curves.html").read_text(encoding="utf-8")
    assert "<svg" in text
    assert "MR-full-mIoU" in text


def test_a_run_goes_on_with_resume(old):
    before = rows("run")
    today.spikemba("train", "--config", "run/config.yaml", "--set", "train.epochs=4", "--resume", "--out", "run")
    after = rows("run")
    assert after[:3] == before
    if not today.draws_with_mkl():
        pytest.skip("this torch was built without MKL, so its dropout draws other numbers")
    assert_same_epoch(after[3], "resumed")


def test_features_and_settings_of_a_run_train_again_to_its_losses(old):
    if not today.draws_with_mkl():
        pytest.skip("this torch was built without MKL, so its dropout draws other numbers")
    today.spikemba("train", "--config", "run/config.yaml", "--set", "train.epochs=1", "--out", "again")
    assert_same_epoch(rows("again")[0], "again")


def test_a_folder_of_features_takes_more_videos_of_the_same_encoder(old):
    kept = sorted(Path("features/mini").iterdir())
    today.spikemba("extract", VIDEO, "--encoder", "mini", *ENCODER, "--out", "features")
    assert sorted(Path("features/mini").iterdir()) == sorted([*kept, Path("features/mini") / f"{VIDEO.stem}.npz"])
    with np.load(f"features/mini/{VIDEO.stem}.npz") as arrays:
        assert arrays["features"].shape == (30, 12)
