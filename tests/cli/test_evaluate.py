"""`spikemba evaluate`: what is typed acts or is refused, and own data stand beside no published numbers."""

import json

import pytest
from typer.testing import CliRunner

from spikemba.datasets.registry import benchmark_names
from spikemba_cli.main import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_configuration_that_says_nothing_of_reading_gives_the_runs_own_numbers(corpus, tiny, tmp_path):
    settings = [*tiny, "data.normalise_video=false", "data.sentence_token=true", "train.epochs=1"]
    given = [part for one in settings for part in ("--set", one)]
    assert run("train", "--config", corpus / "config.yaml", *given, "--out", tmp_path / "run").exit_code == 0
    own = run("evaluate", tmp_path / "run", "--split", "test", "--json")
    other = run("evaluate", tmp_path / "run", "--split", "test", "--json", "--config", corpus / "config.yaml")
    assert json.loads(other.stdout) == json.loads(own.stdout)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("train.seed=7", "train.seed: is settled by the training and cannot change now"),
        ("data.clip_s=1", "data.clip_s: 1.0 was asked for, and the checkpoint was trained with 2.0"),
        ("grounding.n_momets=1", "did you mean 'n_moments'"),
    ],
)
def test_a_setting_that_cannot_act_is_refused_in_a_line(trained, setting, problem):
    result = run("evaluate", trained, "--split", "test", "--set", setting)
    assert result.exit_code == 1
    assert problem in result.stderr.replace("\n", " ")


def test_options_of_runs_do_not_go_with_a_file_of_predictions(corpus, tmp_path):
    files = ("--predictions", corpus / "test.jsonl", "--annotations", corpus / "test.jsonl")
    for option in (("--set", "grounding.n_moments=1"), ("--config", "x.yaml"), ("--out", tmp_path / "p.jsonl")):
        result = run("evaluate", *files, *option)
        assert result.exit_code == 2
        assert "is for a checkpoint" in " ".join(result.stderr.split())


def test_own_data_stand_alone_unless_a_benchmark_is_named(trained):
    alone = run("evaluate", trained, "--split", "test", "--table", "csv")
    assert len(alone.stdout.splitlines()) == 2
    assert "these are your own data" in alone.stderr
    named = run("evaluate", trained, "--split", "test", "--table", "csv", "--dataset", "qvhighlights")
    assert "Moment-DETR" in named.stdout
    assert "queries and QVHighlights has 7218 in train" in " ".join(named.stderr.split())


@pytest.mark.parametrize("name", benchmark_names())
def test_the_configuration_of_a_benchmark_says_which_it_is(name):
    from pipelines.runs.config import config_path
    from pipelines.tasks.grounding.config import load_config

    data = load_config(config_path(name)).data
    assert data.benchmark == data.published() == name
