"""Queries that have no moment, from the annotations through training to the scores: kept, counted, never in silence."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipelines.studies.dry_run import dry_run
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.tasks.train import train
from pipelines.training.batch_plan import MicroBatch
from spikemba.datasets.annotations import Annotation, read_predictions
from spikemba.datasets.base import GroundingDataset
from spikemba.datasets.targets import clip_targets
from spikemba_cli.main import app


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def without_moments(path, wanted):
    """Make null queries of the rows whose place `wanted` accepts, and say how many there are."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    chosen = [row for i, row in enumerate(rows) if wanted(i)]
    for row in chosen:
        row["relevant_windows"] = []
        for name in ("relevant_clip_ids", "saliency_scores"):
            row.pop(name, None)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return len(chosen)


@pytest.fixture(scope="module")
def data(corpus, tmp_path_factory):
    """The corpus with every third query a null one, and its configuration."""
    folder = tmp_path_factory.mktemp("null") / "data"
    shutil.copytree(corpus, folder, ignore=shutil.ignore_patterns("videos"))
    for split in ("train", "val", "test"):
        without_moments(folder / f"{split}.jsonl", lambda i: i % 3 == 0)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace(str(corpus), str(folder)))
    return folder


@pytest.fixture(scope="module")
def null_run(data, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "null"
    train(load_config(data / "config.yaml", tiny), out)
    return out


def test_a_null_query_has_targets_that_are_all_background():
    targets = clip_targets(Annotation(1, "q", "v", 10.0, ()), 5, 2.0)
    assert not targets.foreground.any()
    assert not targets.relevance.any()
    assert not targets.has_windows


def test_null_rows_are_trained_on_and_no_row_is_left_out(data, tiny):
    config = load_config(data / "config.yaml", tiny)
    dataset = GroundingDataset(config.data, "train")
    assert len(dataset) == len((data / "train.jsonl").read_text().splitlines())
    null = [i for i, one in enumerate(dataset.annotations) if one.is_null]
    assert null
    assert all(dataset[i].targets is not None for i in null)


@pytest.mark.parametrize("negative_pair", [0, 1])
def test_a_batch_of_null_queries_alone_has_a_finite_loss_and_gradients(data, tiny, negative_pair):
    task = GroundingTask(load_config(data / "config.yaml", [*tiny, f"loss.negative_pair={negative_pair}"]))
    null = tuple(i for i, one in enumerate(task.training.annotations) if one.is_null)[:3]
    loss = task.loss(task.load(MicroBatch(epoch=0, indices=null, start=0, stop=len(null))))
    loss.loss.backward()
    assert loss.terms["boundary"] == loss.terms["overlap"] == loss.terms["contrastive"] == 0
    assert loss.terms["entropy"] > 0
    assert loss.terms["foreground"] > 0
    gradients = [p.grad for p in task.module.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_a_dry_run_takes_them(data, tiny):
    found = dry_run(load_config(data / "config.yaml", tiny))
    assert found.n_examples == len((data / "train.jsonl").read_text().splitlines())


def test_validation_measures_rejection_beside_the_moments(null_run):
    rows = [json.loads(line) for line in (null_run / "metrics.jsonl").read_text().splitlines()]
    assert {"MR-full-mAP", "GMR-AUROC", "GMR-G-mIoU@1"} <= set(rows[-1]["val"])
    assert all(np.isfinite(value) for row in rows for value in row["terms"].values())


def test_the_rejection_can_choose_the_epoch(data, tiny, tmp_path):
    settings = [*tiny, "train.epochs=1", "train.best_metric=GMR-AUROC"]
    assert "GMR-AUROC" in train(load_config(data / "config.yaml", settings), tmp_path / "run").best


def test_evaluate_says_how_many_it_leaves_out_and_scores_them_beside(data, null_run, tmp_path):
    result = run("evaluate", null_run, "--split", "test", "--json", "--out", tmp_path / "p.jsonl")
    document = json.loads(result.stdout)
    n = document["GMR"]["stats"]["num_negative"]
    assert document["left_out"]["null_queries"] == n > 0
    n_all = document["GMR"]["stats"]["num_total"]
    assert f"{n} of {n_all} queries are null queries" in " ".join(result.stderr.split())
    assert len(read_predictions(tmp_path / "p.jsonl")) == n_all
    again = run("evaluate", "--predictions", tmp_path / "p.jsonl", "--annotations", data / "test.jsonl", "--json")
    assert json.loads(again.stdout)["GMR"] == document["GMR"]
    shown = run("evaluate", null_run, "--split", "test").stdout
    assert "\nalways reject\t50.00\t" in shown


def test_a_split_of_null_queries_alone_is_scored_and_said_to_be_one(data, null_run, tmp_path):
    path = tmp_path / "all.jsonl"
    shutil.copy(data / "test.jsonl", path)
    n = without_moments(path, lambda i: True)
    result = run("evaluate", null_run, "--split", "test", "--set", f"data.test={path}", "--json")
    document = json.loads(result.stdout)
    assert f"all {n} queries are null queries" in " ".join(result.stderr.split())
    assert "GMR-AUROC" not in document["brief"]
    assert document["brief"]["GMR-G-mIoU@1"] == document["brief"]["GMR-Acc@0.4"]
