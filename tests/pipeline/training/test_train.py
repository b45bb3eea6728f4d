"""Training: the run folder, equal seeds, resuming."""

import itertools
import json
import sys
import types

import pytest
import torch

from pipelines.events import Quiet
from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding import task as grounding_task
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.train import train
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.errors import CheckpointError, ConfigError, OutputError


@pytest.fixture
def config(corpus, tiny):
    return load_config(corpus / "config.yaml", tiny)


def weights(folder):
    return load_checkpoint(folder).model.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_folder_holds_all_that_was_promised(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "best", "last", "train_state.pt"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    rows = RunDir(trained).rows()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["loss"] < rows[0]["loss"]
    for row in rows:
        assert set(row["terms"]) == {
            *("contrastive", "boundary", "entropy", "foreground", "overlap", "proposal"),
        }
        assert 0 <= row["firing"]["block0.saliency"]["rate"] <= 1
        assert "MR-full-mAP" in row["val"]
    best = max(rows, key=lambda row: row["val"]["MR-full-mAP"])
    assert load_checkpoint(trained).trained["epoch"] == best["epoch"]


@pytest.mark.parametrize("broken", [False, True])
def test_without_tensorboard_training_writes_its_rows_and_says_so_once(config, tmp_path, monkeypatch, broken):
    """`None` in sys.modules is how Python sees a package that is not there; the other is there and raises."""
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard") if broken else None)
    heard = []
    events = Quiet()
    events.warn = heard.append
    train(config, tmp_path, events=events)
    assert len(RunDir(tmp_path).rows()) == 2
    assert not list(tmp_path.glob("events.out.*"))
    (said,) = [message for message in heard if "TensorBoard" in message]
    assert "metrics.jsonl" in said
    assert ("spikemba doctor" if broken else "pip install tensorboard") in said


def test_the_run_keeps_its_resolved_configuration(trained, config):
    assert RunDir(trained).config(RunConfig) == config
    stored = json.loads((trained / "best" / "config.json").read_text())
    longest = stored["grounding"]["chunk_clips"]
    assert longest >= 45  # filled in from the training videos of 90 s and more


def test_equal_seeds_give_equal_runs(config, trained, tmp_path):
    train(config, tmp_path / "again")
    assert same(weights(trained / "last"), weights(tmp_path / "again" / "last"))
    other = config.model_copy(update={"train": config.train.model_copy(update={"seed": 1, "epochs": 1})})
    train(other, tmp_path / "other")
    assert not same(weights(trained / "last"), weights(tmp_path / "other" / "last"))


class Interrupt(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("after_steps", [1, 5])
def test_a_run_that_was_broken_off_goes_on_to_the_same_weights(config, trained, tmp_path, monkeypatch, after_steps):
    real, count = grounding_task.grounding_loss, itertools.count()

    def dying(*args):
        if next(count) == after_steps:
            raise Interrupt
        return real(*args)

    monkeypatch.setattr(grounding_task, "grounding_loss", dying)
    with pytest.raises(Interrupt):
        train(config, tmp_path / "run")
    monkeypatch.setattr(grounding_task, "grounding_loss", real)
    result = train(config, tmp_path / "run", resume=True)
    assert result.epochs == 2
    assert same(weights(trained / "last"), weights(tmp_path / "run" / "last"))
    assert same(weights(trained / "best"), weights(tmp_path / "run" / "best"))
    dropped = ("seconds", "pairs_per_s", "validation_seconds", "seconds_left", "peak_memory_mb")
    for mine, theirs in zip(RunDir(tmp_path / "run").rows(), RunDir(trained).rows(), strict=True):
        assert {k: v for k, v in mine.items() if k not in dropped} == {
            k: v for k, v in theirs.items() if k not in dropped
        }


def test_a_finished_run_resumes_to_nothing_left_to_do(config, trained):
    before = (trained / "last" / "model.safetensors").read_bytes()
    assert train(config, trained, resume=True).epochs == 2
    assert (trained / "last" / "model.safetensors").read_bytes() == before


def test_a_folder_that_holds_a_run_is_not_overwritten(config, trained):
    with pytest.raises(OutputError, match="it holds a run already; go on with --resume"):
        train(config, trained)


def test_a_run_cannot_go_on_with_other_settings(config, trained):
    other = config.model_copy(update={"train": config.train.model_copy(update={"learning_rate": 0.5})})
    with pytest.raises(ConfigError, match=r"train.learning_rate: the run was started with 0.003, now it is 0.5"):
        train(other, trained, resume=True)


def test_a_damaged_state_is_named(config, trained, tmp_path):
    run = RunDir(tmp_path)
    run.start(config, resume=False)
    (tmp_path / "train_state.pt").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"train_state.pt is damaged"):
        train(config, tmp_path, resume=True)


def test_a_best_metric_that_is_not_measured_lists_what_is(config, tmp_path):
    other = config.model_copy(update={"train": config.train.model_copy(update={"best_metric": "mAP"})})
    with pytest.raises(ConfigError, match=r"'mAP' is not measured here; did you mean 'MR-full-mAP'\? there"):
        train(other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_validation_the_last_checkpoint_is_what_is_left(config, tmp_path):
    blind = config.model_copy(update={"data": config.data.model_copy(update={"val": None})})
    result = train(blind, tmp_path / "run")
    assert result.best_epoch is None
    assert load_checkpoint(tmp_path / "run").trained["epoch"] == 2
