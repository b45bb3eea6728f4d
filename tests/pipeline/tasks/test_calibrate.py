"""Calibration of a checkpoint: what is fitted, stored and left alone, and what is said where it cannot be done."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden.files import VERSION
from typer.testing import CliRunner

from pipelines.tasks.grounding import calibrate as module
from pipelines.tasks.grounding.calibrate import calibrate
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.training.batch_plan import MicroBatch
from spikemba.checkpoints.grounding import BUNDLED, CheckpointConfig, load_checkpoint, save_checkpoint
from spikemba.datasets.annotations import read_annotations, write_annotations
from spikemba.errors import CheckpointError
from spikemba.grounding import Answer, Question, answer_questions
from spikemba.moments import Moment
from spikemba_cli.main import app


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def copied(telling, tmp_path):
    """A copy of the run that may be changed."""
    return shutil.copytree(telling, tmp_path / "run")


@pytest.fixture
def knowing(monkeypatch):
    """In place of the network's answers: the better the score, the more often the moment is a true one."""

    def answers(model, questions, clip_s, config):
        rng = np.random.default_rng(0)
        for row in questions.annotations:
            scores = sorted(rng.random(4).tolist(), reverse=True)
            true = [bool(row.windows) and rng.random() < score**2 for score in scores]
            windows = [row.windows[0] if right else (0.0, 1e-3) for right in true]
            moments = tuple(Moment(*window, score) for window, score in zip(windows, scores, strict=True))
            none, exists = np.zeros(2, np.float32), 0.1 * rng.random() + 0.05 * bool(row.windows)
            yield Answer(
                moments, none, none, (), np.zeros((2, 1), np.bool_), exists if model.config.heads.exists else None
            )

    monkeypatch.setattr(module, "answer_questions", answers)


def data_of(run_folder):
    return load_config(run_folder / "config.yaml").data


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(folder):
    return json.loads((folder / "best" / "config.json").read_text("utf-8"))


def test_it_is_stored_in_config_json_and_nothing_else_changes(copied):
    before, settings = files(copied), stored(copied)
    found = calibrate(copied)
    after = files(copied)
    assert {path for path in after if after[path] != before.get(path)} == {
        (copied / "best" / "config.json").relative_to(copied)
    }
    now = stored(copied)
    assert now["grounding"].pop("calibration") == found.calibration.model_dump(mode="json")
    assert settings["grounding"].pop("calibration") is None
    assert now == settings
    CheckpointConfig.model_validate(stored(copied))
    assert load_checkpoint(copied).grounding.calibration == found.calibration
    assert found.n_nulls == len(read_annotations(data_of(copied).val_nulls))
    assert found.n_queries == found.n_nulls + len(read_annotations(data_of(copied).val))
    assert found.checkpoint == copied / "best"


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_twice_is_as_once(copied, method):
    once = calibrate(copied, method=method)
    settings = stored(copied)
    assert calibrate(copied, method=method).calibration == once.calibration
    assert stored(copied) == settings


def test_probabilities_are_nearer_to_the_truth_and_moments_stay_where_they_are(copied, tmp_path):
    def evaluated(name):
        document = json.loads(run("evaluate", copied, "--split", "train", "--json", "--out", tmp_path / name).stdout)
        rows = [json.loads(line) for line in (tmp_path / name).read_text("utf-8").splitlines()]
        return document, [[moment[:2] for moment in row["pred_relevant_windows"]] for row in rows]

    checkpoint = load_checkpoint(copied)
    with torch.no_grad():
        checkpoint.model.heads.existence.read[2].bias += 8  # far too sure
    save_checkpoint(copied / "best", checkpoint)
    before, windows = evaluated("before.jsonl")
    found = calibrate(copied, "train")
    assert "existence" in found.errors
    after, same = evaluated("after.jsonl")
    assert same == windows
    assert before["brief"]["MR-full-mAP"] == after["brief"]["MR-full-mAP"]
    assert before["brief"]["GMR-AUROC"] == after["brief"]["GMR-AUROC"]
    errors = [document["GMR"]["calibration"]["existence"]["ECE"] for document in (before, after)]
    assert errors[1] < errors[0] / 2
    assert errors == pytest.approx(found.errors["existence"], abs=0.01)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_scores_become_what_they_are_worth(copied, knowing, method):
    errors = calibrate(copied, "train", method=method).errors
    assert list(errors) == ["existence", "score", "score of the first"]
    assert all(after < before for before, after in errors.values())


def test_scores_that_say_less_the_higher_they_are_stay(copied, knowing, monkeypatch):
    monkeypatch.setattr(module, "_right", lambda row, answer: np.array([m.score < 0.5 for m in answer.moments], bool))
    found = calibrate(copied, "train")
    assert found.calibration.score is None
    assert any("score is not calibrated: a higher one is less often right here" in note for note in found.notes)


def test_where_the_first_is_right_less_often_its_score_alone_counts(copied, knowing, monkeypatch):
    def others(row, answer):
        return np.array([rank > 0 and m.score > 0.4 for rank, m in enumerate(answer.moments)], bool)

    monkeypatch.setattr(module, "_right", others)
    score = calibrate(copied, "train").calibration.score
    assert score.scale[0] > 0
    assert score.scale[1] == 0


def test_without_null_queries_it_says_why_existence_is_not_calibrated(copied, knowing):
    found = calibrate(copied, data=data_of(copied).model_copy(update={"val_nulls": None}))
    assert found.calibration.existence is None
    assert found.calibration.score is not None
    assert found.n_nulls == 0
    assert [note for note in found.notes if "existence is not calibrated: all" in note and "right" in note]


def test_a_checkpoint_that_does_not_tell_has_its_scores_calibrated(trained, knowing, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "run")
    found = calibrate(copy, "train")
    assert found.calibration.existence is None
    assert found.calibration.score is not None
    assert any("model.heads.exists" in note for note in found.notes)
    assert load_checkpoint(copy).grounding.min_exists is None


def test_where_nothing_can_be_fitted_nothing_is_stored(trained, copied, tmp_path):
    """Null queries alone: no moment is right, and a network without the head tells no existence."""
    copy, before = shutil.copytree(trained, tmp_path / "other"), files(trained)
    of_nulls = data_of(copied)
    data = of_nulls.model_copy(update={"val": of_nulls.val_nulls, "val_nulls": None})
    with pytest.raises(CheckpointError, match=r"model\.heads\.exists.*all \d+ answers are wrong"):
        calibrate(copy, data=data)
    assert files(copy) == before


def test_a_split_whose_answers_are_hidden_is_refused(copied, tmp_path):
    data = data_of(copied)
    hidden = [replace(row, windows=None, relevant_clips=(), ratings=()) for row in read_annotations(data.val)]
    write_annotations(tmp_path / "hidden.jsonl", hidden)
    before = files(copied)
    with pytest.raises(CheckpointError, match="tells of no query whether it has a moment"):
        calibrate(copied, data=data.model_copy(update={"val": tmp_path / "hidden.jsonl", "val_nulls": None}))
    assert files(copied) == before


def test_the_command_prints_the_errors_and_draws_them(copied, knowing):
    result = run("calibrate", copied, "--min-exists", 0.25)
    assert [line.partition("\t")[0] for line in result.stdout.splitlines()][1:] == [
        "existence",
        "score",
        "score of the first",
    ]
    picture = copied / "best" / "calibration.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"wrote {picture}" in result.stderr
    assert load_checkpoint(copied).grounding.min_exists == 0.25
    assert json.loads(run("calibrate", copied, "--json").stdout) == stored(copied)["grounding"]["calibration"]


SHUFFLED = "loss.existence_of=shuffled"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (["loss.existence_of=rows"], False),
        ([SHUFFLED], True),
        ([SHUFFLED, "loss.existence=0"], False),
        ([SHUFFLED, "model.heads.exists=false"], False),
    ],
)
def test_other_pairs_queries_are_read_only_where_something_learns_of_them(telling, settings, wanted):
    task = GroundingTask(load_config(telling / "config.yaml", settings))
    pairs = task.load(MicroBatch(epoch=0, indices=(0, 9), start=0, stop=2))
    assert (pairs.negative is not None) == wanted
    assert np.isfinite(task.loss(pairs).loss.item())


def test_old_checkpoints_answer_without_existence():
    checkpoint = load_checkpoint(VERSION / "checkpoint")
    assert not checkpoint.model.config.heads.exists
    assert checkpoint.grounding.calibration is None
    rng = np.random.default_rng(0)
    spec = checkpoint.features
    question = Question(
        rng.normal(size=(8, spec.n_video_features)).astype(np.float32),
        rng.normal(size=(3, spec.text.dim)).astype(np.float32),
        8 * spec.clip_s,
    )
    (answer,) = answer_questions(checkpoint.model, [question], spec.clip_s, checkpoint.grounding)
    assert answer.exists is None
    assert answer.moments


def test_without_null_queries_existence_keeps_the_calibration_that_it_had(copied, knowing):
    calibrate(copied)
    before = stored(copied)["grounding"]["calibration"]
    found = calibrate(copied, data=data_of(copied).model_copy(update={"val_nulls": None}))
    assert "existence keeps the calibration that it had" in found.notes
    assert stored(copied)["grounding"]["calibration"]["existence"] == before["existence"]
    assert before["existence"] is not None


def test_a_bundled_model_is_not_the_users_to_change(copied):
    before = files(BUNDLED["mini"])
    with pytest.raises(CheckpointError, match=r"mini comes with the package and is calibrated; copy .* --config DATA"):
        calibrate("mini", data=data_of(copied))
    assert files(BUNDLED["mini"]) == before


def test_a_checkpoint_of_no_run_is_told_how_to_name_its_data(copied, tmp_path):
    alone = shutil.copytree(copied / "best", tmp_path / "alone")
    with pytest.raises(CheckpointError, match=r"belongs to no run that names its data; .* --config DATA.yaml"):
        calibrate(alone)
