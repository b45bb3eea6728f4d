"""Grounding a video file: the cache, the checks, equality with evaluation."""

import json
import shutil

import numpy as np
import pytest

from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.grounding.evaluate import evaluate, predict
from pipelines.tasks.train import train
from spikemba import grounder as ground_module
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.annotations import read_annotations, read_predictions
from spikemba.datasets.base import GroundingDataset
from spikemba.errors import CheckpointError, FeaturesMismatch, QueryError, VideoError, WeightsMissing
from spikemba.grounder import Grounder


def first_query(corpus):
    row = read_annotations(corpus / "test.jsonl")[0]
    return corpus / "videos" / f"{row.video_id}.mp4", row


def test_asking_a_file_gives_what_evaluation_gives_for_its_features(corpus, trained):
    video, row = first_query(corpus)
    (found,) = Grounder(trained).ground(video, [row.query])
    checkpoint = load_checkpoint(trained)
    dataset = GroundingDataset(RunDir(trained).config(RunConfig).data, "test")
    predicted = predict(checkpoint.model, dataset, checkpoint.grounding)[0]
    assert found.duration_s == pytest.approx(row.duration_s)
    np.testing.assert_allclose(np.array(found.answer.moments), np.array(predicted.moments), atol=1e-5)
    np.testing.assert_allclose(found.answer.saliency, predicted.saliency, atol=1e-5)


def test_a_second_question_does_not_decode(corpus, trained, monkeypatch):
    video, row = first_query(corpus)
    (first,) = Grounder(trained).ground(video, [row.query])

    def refuse(*args):
        raise AssertionError

    monkeypatch.setattr(ground_module, "encode_video", refuse)
    (second,) = Grounder(trained).ground(video, [row.query], top=2)
    assert second.answer.moments == first.answer.moments[:2]
    assert second.duration_s == first.duration_s
    with pytest.raises(AssertionError):
        Grounder(trained).ground(video, [row.query], cache=False)


def test_a_file_that_changed_is_read_again(corpus, trained, tmp_path, monkeypatch):
    video, row = first_query(corpus)
    copy = tmp_path / "a.mp4"
    shutil.copy(video, copy)
    (before,) = Grounder(trained).ground(copy, [row.query])
    others = sorted((corpus / "videos").glob("*.mp4"))
    shutil.copy(next(path for path in others if path != video), copy)
    (changed,) = Grounder(trained).ground(copy, [row.query])
    assert changed.answer.moments != before.answer.moments
    (fresh,) = Grounder(trained).ground(copy, [row.query], cache=False)
    assert changed.answer.moments == fresh.answer.moments


def test_a_damaged_or_forbidden_cache_costs_time_only(corpus, trained, tmp_path, monkeypatch):
    video, row = first_query(corpus)
    (first,) = Grounder(trained).ground(video, [row.query])
    for path in (ground_module.cache_folder() / "features").glob("*.npz"):
        path.write_bytes(b"PK broken")
    (again,) = Grounder(trained).ground(video, [row.query])
    assert again.answer.moments == first.answer.moments
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPIKEMBA_CACHE", str(tmp_path / "file"))
    (uncached,) = Grounder(trained).ground(video, [row.query])
    assert uncached.answer.moments == first.answer.moments


def test_the_json_has_the_promised_keys(corpus, trained):
    video, row = first_query(corpus)
    (found,) = Grounder(trained).ground(video, [row.query], top=3)
    document = json.loads(json.dumps(found.to_json()))
    assert list(document) == ["video", "query", "duration_s", "clip_s", "moments", "saliency", "model"]
    assert [list(moment) for moment in document["moments"]] == [["start_s", "end_s", "score"]] * 3
    assert len(document["saliency"]) == round(row.duration_s / 2 + 0.01)


def test_several_queries_decode_once(corpus, trained, monkeypatch):
    video, row = first_query(corpus)
    queries, decoded, encode = [row.query, "a green ring leaves"], [], ground_module.encode_video
    monkeypatch.setattr(ground_module, "encode_video", lambda path, *how: decoded.append(path) or encode(path, *how))
    found = Grounder(trained).ground(video, queries, cache=False)
    assert decoded == [video]
    assert [one.query for one in found] == queries
    for query, together in zip(queries, found, strict=True):
        (alone,) = Grounder(trained).ground(video, [query], cache=False)
        np.testing.assert_allclose(together.answer.saliency, alone.answer.saliency, atol=1e-5)


@pytest.mark.parametrize(
    ("query", "problem"), [("", "the query is empty"), (" \n", "empty"), ("word " * 10_000, "has 10000 words")]
)
def test_queries_that_cannot_be_asked_are_refused_before_decoding(corpus, trained, query, problem):
    with pytest.raises(QueryError, match=problem):
        Grounder(trained).ground(corpus / "no such file.mp4", [query])


def test_a_video_that_is_not_there_is_named(corpus, trained):
    with pytest.raises(VideoError, match="no such file"):
        Grounder(trained).ground(corpus / "none.mp4", ["a red circle enters"])


def test_without_a_checkpoint_the_user_is_told_what_to_do():
    with pytest.raises(WeightsMissing, match="--checkpoint mini"):
        Grounder()


def test_the_users_settings_name_the_default_checkpoint(corpus, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEMBA_HOME", str(tmp_path))
    (tmp_path / "settings.yaml").write_text(f"checkpoint: {trained}\n")
    assert Grounder().name == str(trained)


def test_a_checkpoint_for_other_features_is_refused(corpus, trained, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(trained / "best", folder)
    config = json.loads((folder / "config.json").read_text())
    config["features"]["video"][0]["weights"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FeaturesMismatch, match=r"this installation has features mini .*weights 000000000000"):
        Grounder(folder)
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
