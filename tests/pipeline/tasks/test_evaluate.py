"""Evaluating a run: equal to asking its videos, and refused where the features are others."""

import json
import shutil

import numpy as np
import pytest

from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.grounding.evaluate import evaluate, predict
from pipelines.tasks.train import train
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.annotations import read_annotations, read_predictions
from spikemba.datasets.base import GroundingDataset
from spikemba.errors import CheckpointError, FeaturesMismatch
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
