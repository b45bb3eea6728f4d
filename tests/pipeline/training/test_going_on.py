"""Going on with a run loses nothing: what is missing, what has changed and what was asked for otherwise is said."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from pipelines.events import Quiet
from pipelines.runs.overview import read_run
from pipelines.runs.run_dir import RunDir
from pipelines.runs.run_lock import LOCK
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.train import train
from spikemba.errors import OutputError


@pytest.fixture
def config(corpus, tiny):
    return load_config(corpus / "config.yaml", tiny)


@pytest.fixture
def run(trained, tmp_path):
    """A finished run of two epochs."""
    return RunDir(shutil.copytree(trained, tmp_path / "run"))


def contents(folder):
    return {
        str(path): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK
    }


@pytest.mark.parametrize("epochs", [1, 2, 9])
def test_results_whose_state_is_gone_are_not_overwritten(config, run, epochs):
    (run.path / "train_state.pt").unlink()
    before = contents(run.path)
    other = config.model_copy(update={"train": config.train.model_copy(update={"epochs": epochs})})
    said = r"it holds best/ and last/ and metrics\.jsonl but no train_state\.pt.* choose another --out"
    with pytest.raises(OutputError, match=said):
        train(other, run.path, resume=True)
    assert contents(run.path) == before


@pytest.mark.parametrize("left", ["best", "last", "metrics.jsonl", "train_state.pt"])
@pytest.mark.parametrize("resume", [False, True])
def test_any_result_without_its_configuration_is_kept(config, run, left, resume):
    for path in run.path.iterdir():
        if path.name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = contents(run.path)
    with pytest.raises(OutputError, match=rf"it holds {left}/? but no config\.yaml"):
        train(config, run.path, resume=resume)
    assert contents(run.path) == before


def test_a_folder_with_nothing_but_a_configuration_begins(config, tmp_path):
    one_epoch = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 1})})
    RunDir(tmp_path).start(one_epoch, resume=False)
    assert train(one_epoch, tmp_path, resume=True).epochs == 1


class Heard(Quiet):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def changes(config, run):
    """What is said to have changed when the run goes on for one epoch more."""
    heard = Heard()
    settings = config.train.model_copy(update={"epochs": len(run.rows()) + 1})
    train(config.model_copy(update={"train": settings}), run.path, resume=True, events=heard)
    return [message.partition(" changed ")[0] for message in heard.warnings if " changed " in message]


@pytest.fixture
def own(corpus, tiny, tmp_path):
    """Data that may be changed, and a run on them that was asked for one epoch first."""
    data = shutil.copytree(corpus, tmp_path / "data")
    features = {
        "video_features": [str(data / "features" / "mini")],
        "text_features": str(data / "features" / "mini_text"),
    }
    sets = [f"data.{name}={data / name}.jsonl" for name in ("train", "val", "test")]
    sets += [f"data.{name}={json.dumps(value)}" for name, value in features.items()]
    config = load_config(corpus / "config.yaml", [*tiny, *sets, "train.epochs=1"])
    run = RunDir(tmp_path / "own")
    train(config, run.path)
    return data, config, run


def test_changed_training_data_are_said_and_the_same_are_not(own):
    data, config, run = own
    assert changes(config, run) == []

    rows = [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]
    rows[0]["relevant_windows"][0][1] -= 0.5
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert changes(config, run) == ["the training annotations"]
    assert changes(config, run) == []  # said once

    (data / "val.jsonl").write_text("".join((data / "val.jsonl").read_text().splitlines(keepends=True)[:1]))
    assert changes(config, run) == []  # nothing is learned from those

    for folder, name in (("mini", rows[0]["vid"]), ("mini_text", f"qid{rows[0]['qid']}")):
        path = data / "features" / folder / f"{name}.npz"
        arrays = {key: array.copy() for key, array in np.load(path).items()}
        next(iter(arrays.values())).flat[0] += 1  # the size stays the same
        np.savez(path, **arrays)
        assert changes(config, run) == [f"the features in {data / 'features' / folder}"]


def test_a_copy_of_the_data_with_other_dates_is_the_same_data(own, tmp_path):
    data, config, run = own
    shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(data)
    shutil.move(tmp_path / "copy", data)
    assert changes(config, run) == []


def test_kinds_of_queries_are_no_training_data(own):
    data, config, run = own
    rows = [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]
    assert all(row.pop("kind") for row in rows)
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert changes(config, run) == []


def test_a_run_that_goes_on_for_other_epochs_says_so_in_its_configuration(config, run):
    longer = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 40})})
    run.start(longer, resume=True)  # and is broken off
    assert (read_run(run.path).epochs, read_run(run.path).state) == ((2, 40), "broken off")
    train(config, run.path, resume=True)
    assert (read_run(run.path).epochs, read_run(run.path).state) == ((2, 2), "finished")
    assert run.config(RunConfig) == config
