"""Evaluating a run: equal to asking its videos, and refused where the features are others."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipelines.runs.run_dir import RunDir
from pipelines.scoring.evaluate_files import EvaluateOptions
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.grounding.evaluate import evaluate, evaluate_run, predict
from pipelines.tasks.train import train
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.annotations import read_annotations, read_predictions, write_annotations
from spikemba.datasets.base import DataConfig, GroundingDataset
from spikemba.errors import CheckpointError, ConfigError, FeaturesMismatch
from spikemba.features import RULES
from spikemba.grounder.grounder import load


def test_asking_a_file_gives_what_evaluation_gives_for_its_features(corpus, trained):
    row = read_annotations(corpus / "test.jsonl")[0]
    video = corpus / "videos" / f"{row.video_id}.mp4"
    found = load(trained).ground(video, row.query)
    checkpoint = load_checkpoint(trained)
    dataset = GroundingDataset(RunDir(trained).config(RunConfig).data, "test")
    predicted = predict(checkpoint.model, dataset, checkpoint.grounding)[0]
    assert found.duration_s == pytest.approx(row.duration_s)
    np.testing.assert_allclose(np.array(found.moments), np.array(predicted.moments), atol=1e-5)
    np.testing.assert_allclose(found.saliency, predicted.saliency, atol=1e-5)


def test_a_checkpoint_for_other_features_is_refused(corpus, trained, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(trained / "best", folder)
    config = json.loads((folder / "config.json").read_text())
    config["features"]["video"][0]["weights"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FeaturesMismatch, match=r"this installation has features mini .*weights 000000000000"):
        load(folder)
    with pytest.raises(FeaturesMismatch, match="split 'test' has features"):
        evaluate(folder, "test", data=RunDir(trained).config(RunConfig).data)


def test_evaluate_scores_a_run_and_writes_its_predictions(corpus, trained, tmp_path):
    document = evaluate(trained, "test", out=tmp_path / "p.jsonl")
    assert {"brief", "full", "HL-min-VeryGood"} <= set(document)
    assert len(read_predictions(tmp_path / "p.jsonl")) == len(read_annotations(corpus / "test.jsonl"))
    assert evaluate(trained / "best", "test") == document
    shutil.copytree(trained / "best", tmp_path / "alone")
    with pytest.raises(CheckpointError, match="holds no run"):
        evaluate(tmp_path / "alone", "test")


def test_a_real_model_learns_the_corpus(corpus, tmp_path):
    """Ten videos cannot teach grounding, but they can be learned by heart."""
    settings = ["model.width=32", "model.n_blocks=1", "model.slots.n_slots=2", "model.input_dropout=0"]
    settings += ["model.spiking_saliency={n_spike_steps: 4, n_heads: 4}", f"data.val={corpus / 'train.jsonl'}"]
    settings += ["train={epochs: 60, batch_size: 8, learning_rate: 3e-3, clip_norm: 1, validate_every: 60}"]
    result = train(load_config(corpus / "config.yaml", settings), tmp_path / "run")
    assert result.best["MR-full-R1@0.5"] > 60


OTHERWISE = {
    "clip_s": 4.0,
    "normalise_video": True,
    "normalise_text": False,
    "max_tokens": 2,
    "sentence_token": False,
    "max_clips": 3,
    "lengths": "stretch",
}
"""Every rule of reading, at another value than the checkpoint's."""


@pytest.fixture(scope="module")
def trained_otherwise(corpus, tiny, tmp_path_factory):
    """A run that reads features otherwise than a configuration does that says nothing about it."""
    out = tmp_path_factory.mktemp("runs") / "otherwise"
    rules = ["data.normalise_video=false", "data.sentence_token=true", "data.max_tokens=9", "data.max_clips=30"]
    train(load_config(corpus / "config.yaml", [*tiny, *rules]), out)
    return out


@pytest.mark.parametrize("name", OTHERWISE)
def test_how_features_are_read_is_the_checkpoints_to_say(trained_otherwise, name):
    own = RunDir(trained_otherwise).config(RunConfig).data
    assert {*RULES, "clip_s"} == set(OTHERWISE)
    assert getattr(own, name) != OTHERWISE[name]
    other = own.model_copy(update={name: OTHERWISE[name]})
    assert evaluate(trained_otherwise, "test", data=other) == evaluate(trained_otherwise, "test")


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_setting_that_the_checkpoint_decides_is_refused_with_both_values(trained_otherwise, name):
    asked = EvaluateOptions(settings={"data": {name: OTHERWISE[name]}})
    with pytest.raises(ConfigError, match=rf"data.{name}: .* was asked for, and the checkpoint was trained with "):
        evaluate_run(trained_otherwise, "test", asked)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"train": {"seed": 7}}, "train.seed: is settled by the training"),
        ({"model": {"width": 32}}, "model.width: is settled by the training"),
        ({"name": "other"}, "name: is settled by the training"),
        ({"grounding": {"n_momets": 1}}, "grounding.n_momets: no such key; did you mean 'n_moments'"),
        ({"grounding": {"max_iou": 2}}, "grounding.max_iou"),
        ({"data": {"vall": "x"}}, "data.vall: no such key; did you mean 'val'"),
        ({"data": {"domains": ["BK"]}}, "data.domains: is for training and changes nothing here"),
    ],
)
def test_a_setting_that_cannot_act_is_refused(trained, settings, problem):
    with pytest.raises(ConfigError, match=problem):
        evaluate_run(trained, "test", EvaluateOptions(settings=settings))


@pytest.mark.parametrize(
    ("name", "value"), [("n_moments", 1), ("round_to_s", 5.0), ("score", "saliency"), ("max_iou", 0.0)]
)
def test_how_predictions_become_moments_can_be_changed_after_training(corpus, trained, tmp_path, name, value):
    def moments(settings):
        evaluate_run(trained, "test", EvaluateOptions(settings=settings, out=tmp_path / "p.jsonl"))
        return [row.moments for row in read_predictions(tmp_path / "p.jsonl")]

    usual, found = moments({}), moments({"grounding": {name: value}})
    checkpoint = load_checkpoint(trained)
    dataset = GroundingDataset(RunDir(trained).config(RunConfig).data, "test")
    changed = checkpoint.grounding.model_copy(update={name: value})
    assert found == [row.moments for row in predict(checkpoint.model, dataset, changed)]
    assert found != usual


def test_a_place_can_be_set_and_a_checkpoint_alone_needs_no_run(corpus, trained, tmp_path):
    shutil.copytree(trained / "best", tmp_path / "alone")
    data = RunDir(trained).config(RunConfig).data
    places = {"test": str(data.test), "text_features": str(data.text_features)}
    places["video_features"] = [str(folder) for folder in data.video_features]
    found = evaluate_run(tmp_path / "alone", "test", EvaluateOptions(settings={"data": places}))
    assert found.document == evaluate(trained, "test")


@pytest.mark.parametrize("rated_s", [1.0, 2.0, 4.0])
def test_saliency_is_written_in_clips_of_the_length_that_was_rated(corpus, trained, tmp_path, rated_s):
    rows = [
        replace(row, rating_clip_s=rated_s, relevant_clips=(1,), ratings=((4, 4, 4),))
        for row in read_annotations(corpus / "test.jsonl")
    ]
    write_annotations(tmp_path / "rated.jsonl", rows)
    own = RunDir(trained).config(RunConfig).data
    asked = EvaluateOptions(data=own.model_copy(update={"test": tmp_path / "rated.jsonl"}), out=tmp_path / "p.jsonl")
    evaluate_run(trained, "test", asked)
    checkpoint, dataset = load_checkpoint(trained), GroundingDataset(own, "test")
    own_length = predict(checkpoint.model, dataset, checkpoint.grounding)
    for row, found, usual in zip(rows, read_predictions(tmp_path / "p.jsonl"), own_length, strict=True):
        assert len(found.saliency) - int(row.duration_s / rated_s) in ((0, 1) if rated_s == 2.0 else (0,))
        assert np.mean(found.saliency) == pytest.approx(np.mean(usual.saliency), rel=0.05)


@pytest.mark.parametrize(
    ("name", "run", "benchmark", "published"),
    [
        (None, "run", "qvhighlights", None),
        (None, "qvhighlights", "qvhighlights", "qvhighlights"),
        ("QVHighlights", "mine", "qvhighlights", "qvhighlights"),
        ("kitchens", "qvhighlights", "qvhighlights", None),
        (None, "mine", "charades_sta", None),
        ("Charades-STA", "mine", "charades_sta", "charades_sta"),
        ("Charades-STA", "mine", "qvhighlights", None),
    ],
)
def test_data_are_a_benchmark_only_where_they_say_so(name, run, benchmark, published):
    assert DataConfig(name=name, benchmark=benchmark).published(run) == published


def test_the_training_split_is_evaluated_whole_however_long_videos_were_cut(corpus, trained, tmp_path):
    own = RunDir(trained).config(RunConfig).data
    short = own.model_copy(update={"max_clips": 3})
    assert max(len(GroundingDataset(short, "train")[i].video) for i in range(5)) == 3
    whole = GroundingDataset(short, "train", to_train=False)
    assert all(len(whole[i].video) == round(whole.annotations[i].duration_s / 2) for i in range(5))
