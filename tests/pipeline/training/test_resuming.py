"""A training that is killed, stopped or crashes goes on to the weights of one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipelines.events import Quiet
from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from pipelines.training.stopping import Stopped
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.errors import CheckpointError, ConfigError, SpikeMbaError

ROOT = Path(__file__).parents[3]
TIMES = ("seconds", "pairs_per_s", "validation_seconds", "seconds_left", "peak_memory_mb")

# dropout, averaged weights, pieces of a batch: all that a state must hold. A state is written after every step
EVERYTHING = ["train.batch_size=4", "train.accumulate=2", "train.ema=0.9", "train.save_every_min=1e-9"]


@pytest.fixture(scope="module")
def settings(tiny):
    return [*tiny, *EVERYTHING, "train.epochs=3", "model.dropout=0.1"]


@pytest.fixture(scope="module")
def whole(corpus, settings, tmp_path_factory):
    """The run that nothing happened to."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(load_config(corpus / "config.yaml", settings), run)
    return run


def assert_same(run, whole):
    for part in ("best", "last"):
        mine, theirs = (load_checkpoint(folder / part).model.state_dict() for folder in (run, whole))
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs), part
    rows = [[{k: v for k, v in row.items() if k not in TIMES} for row in RunDir(r).rows()] for r in (run, whole)]
    assert rows[0] == rows[1]


def test_kill_9_at_random_moments(corpus, settings, whole, tmp_path):
    run = tmp_path / "run"
    sets = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-c", "from spikemba_cli.main import main; main()", "train", "--resume"]
    command += ["--config", str(corpus / "config.yaml"), *sets, "--out", str(run)]
    draw = random.Random(0)
    for _ in range(3):
        before = state_time(run)
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)
        while state_time(run) == before:  # so that each attempt gets on by a step at least
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    train(load_config(corpus / "config.yaml", settings), run, resume=True)
    assert_same(run, whole)
    assert not list(run.glob(".train_state.*"))


def state_time(run):
    path = run / "train_state.pt"
    return path.stat().st_mtime_ns if path.exists() else None


class Signalling(Quiet):
    """Sends this process a signal at a step, as a terminal or a scheduler would."""

    def __init__(self, signum, at):
        self.signum, self.left = signum, at

    def step(self, done, total):  # noqa: ARG002
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), self.signum)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_and_writes_the_state(corpus, settings, whole, tmp_path, signum, code):
    config = load_config(corpus / "config.yaml", [*settings, "train.save_every_min=1000"])
    before = signal.getsignal(signum)
    with pytest.raises(Stopped, match="go on with --resume") as stopped:
        train(config, tmp_path / "run", events=Signalling(signum, at=8))
    assert stopped.value.exit_code == code
    assert signal.getsignal(signum) is before
    progress = RunDir(tmp_path / "run").load_state()["progress"]
    assert (progress["epoch"], progress["step"]) == (1, 2)  # 6 steps of 4 pairs are an epoch of 21
    train(config, tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", whole)


def test_how_often_states_are_written_may_change_and_what_is_computed_may_not(corpus, settings, whole):
    config = load_config(corpus / "config.yaml", [*settings, "train.save_every_min=5", "train.workers=1"])
    assert train(config, whole, resume=True).epochs == 3
    with pytest.raises(ConfigError, match=r"train.ema: the run was started with 0.9, now it is None"):
        train(load_config(corpus / "config.yaml", [*settings, "train.ema=null"]), whole, resume=True)


def test_a_state_that_version_0_1_0_wrote_within_an_epoch_goes_on_to_the_same_weights(
    corpus, settings, whole, tmp_path
):
    config = load_config(corpus / "config.yaml", [*settings, "train.save_every_min=1000"])
    with pytest.raises(Stopped):
        train(config, tmp_path / "run", events=Signalling(signal.SIGTERM, at=8))
    run = RunDir(tmp_path / "run")
    state = run.load_state()
    assert {*state["sums"]["terms"], *state["sums"]["diagnostics"]}
    prefixes = {"totals": "", "terms": "terms.", "diagnostics": "watched."}
    flat = {prefix + name: value for of, prefix in prefixes.items() for name, value in state["sums"][of].items()}
    run.save_state({**state, "format": 2, "sums": flat, "average": state.pop("ema")})
    train(config, run.path, resume=True)
    assert_same(run.path, whole)


@pytest.mark.parametrize("state", [{"progress": {}}, {"format": 99}], ids=["earlier", "later"])
def test_a_state_of_another_version_is_named(corpus, settings, tmp_path, state):
    config = load_config(corpus / "config.yaml", settings)
    run = RunDir(tmp_path)
    run.start(config, resume=False)
    run.save_state(state)
    with pytest.raises(CheckpointError, match="holds a run of another version; choose another folder with --out"):
        train(config, tmp_path, resume=True)


def test_patience_ends_a_training_and_resuming_does_not_begin_it_again(corpus, tiny, tmp_path):
    # with a rate this small nothing changes after the first epoch, which is then the best
    still = [*tiny, "train.learning_rate=1e-30", "train.weight_decay=0", "train.epochs=9", "train.patience=2"]
    config = load_config(corpus / "config.yaml", [*still, "train.best_metric=MR-full-mAP"])
    result = train(config, tmp_path / "run")
    assert result.out_of_patience
    assert result.epochs == result.best_epoch + 2
    assert train(config, tmp_path / "run", resume=True) == result


def test_patience_needs_a_validation(corpus, tiny, tmp_path):
    config = load_config(corpus / "config.yaml", [*tiny, "data.val=null", "train.patience=2"])
    with pytest.raises(ConfigError, match="patience: there is no validation to wait for"):
        train(config, tmp_path / "run")


def test_a_loss_that_is_no_number_ends_its_own_step_and_spoils_nothing(corpus, tiny, tmp_path, monkeypatch):
    from pipelines.tasks.grounding import task as grounding_task

    real, calls = grounding_task.grounding_loss, []

    def third_is_nan(*given):
        calls.append(given)
        total, terms = real(*given)
        return (total * torch.nan, terms) if len(calls) == 3 else (total, terms)

    monkeypatch.setattr(grounding_task, "grounding_loss", third_is_nan)
    settings = [*tiny, "train.batch_size=2", "train.save_every_min=1e-9"]  # a state after every step
    run = tmp_path / "run"
    with pytest.raises(SpikeMbaError, match="loss became no finite number in epoch 1, step 3; what was saved before"):
        train(load_config(corpus / "config.yaml", settings), run)
    assert len(calls) == 3
    assert not (run / "last").exists()
    state = RunDir(run).load_state()
    assert state["progress"]["step"] == 2
    assert all(value.isfinite().all() for value in state["module"].values() if value.is_floating_point())
