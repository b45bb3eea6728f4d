"""Listing runs, their states, and their curves."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.runs.overview import find_runs, read_run
from pipelines.runs.run_lock import LOCK, is_locked, locked
from pipelines.studies.curves import one_run, several_runs, write_curves
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from spikemba.errors import CheckpointError, OutputError
from spikemba_cli.main import app

ROOT = Path(__file__).parents[3]


def listed(*arguments):
    result = CliRunner().invoke(app, ["runs", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def two(trained, tmp_path):
    """A folder with a finished run, one that broke off, a prepared data set and something else."""
    root = tmp_path / "runs"
    shutil.copytree(trained, root / "a" / "done")
    shutil.copytree(trained, root / "b", ignore=shutil.ignore_patterns("best", "last"))
    first = (root / "b" / "metrics.jsonl").read_text().splitlines()[0]
    (root / "b" / "metrics.jsonl").write_text(first + "\n")
    (root / "prepared").mkdir()
    (root / "prepared" / "config.yaml").write_text("data: {train: x.jsonl}\n")
    (root / "notes.txt").touch()
    return root


def test_runs_are_listed_with_state_epochs_and_best_metric(two):
    rows = [json.loads((two / "a" / "done" / "metrics.jsonl").read_text().splitlines()[i]) for i in (0, 1)]
    head, *lines = (line.split("\t") for line in listed(two).stdout.splitlines())
    table = {Path(line[0]).name: dict(zip(head, line, strict=True)) for line in lines}
    assert set(table) == {"done", "b"}
    assert (table["done"]["state"], table["done"]["epochs"]) == ("finished", "2/2")
    assert (table["b"]["state"], table["b"]["epochs"]) == ("broken off", "1/2")
    best = max(rows, key=lambda row: row["val"]["MR-full-mAP"])
    assert table["done"]["best"] == f"{best['val']['MR-full-mAP']:.2f}"
    assert table["done"]["at epoch"] == str(best["epoch"])
    assert table["done"]["data"].startswith("corpus")
    document = json.loads(listed(two, "--json").stdout)
    assert [Path(one["run"]).name for one in document] == ["done", "b"]
    assert document[0]["val"] == best["val"]


def test_runs_can_be_sorted(two):
    os.utime(two / "b" / "metrics.jsonl", (2e9, 2e9))
    newest = listed(two, "--sort", "date").stdout.splitlines()[1]
    assert Path(newest.split("\t")[0]).name == "b"
    best = [float(line.split("\t")[5]) for line in listed(two, "--sort", "best").stdout.splitlines()[1:]]
    assert best == sorted(best, reverse=True)


def test_a_run_that_ran_out_of_patience_is_finished(two):
    path = two / "b" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["train"]["patience"], config["train"]["epochs"] = 1, 50
    path.write_text(yaml.safe_dump(config))
    row = json.loads((two / "b" / "metrics.jsonl").read_text())
    assert read_run(two / "b").state == "broken off"
    (two / "b" / "metrics.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps({**row, 'epoch': 2})}\n")
    assert read_run(two / "b").state == "finished"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "train: [1"),
        ("config.yaml", "train: 3"),
        ("metrics.jsonl", "{"),
        ("metrics.jsonl", '{"epoch": 1, "val": 3}\n'),
        ("metrics.jsonl", '{"val": {"MR-full-mAP": 3}}\n'),
    ],
)
def test_a_damaged_run_is_named_and_does_not_stop_the_others(two, name, text):
    (two / "b" / name).write_text(text)
    result = listed(two)
    assert [line.split("\t")[2] for line in result.stdout.splitlines()[1:]] == ["finished", "damaged"]
    assert result.stderr.startswith("warning: ")
    assert len(result.stderr.splitlines()) == 1


def test_where_there_is_no_run_that_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder"):
        find_runs(tmp_path / "none")
    with pytest.raises(CheckpointError, match="no run in"):
        find_runs(tmp_path)


def test_a_run_is_running_while_its_process_lives_and_broken_off_when_it_was_killed(two):
    code = (
        "import sys, time; from pathlib import Path; from pipelines.runs.run_lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen([sys.executable, "-c", code, str(two / "b")], env=own, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        assert read_run(two / "b").state == "running"
        assert read_run(two / "a" / "done").state == "finished"
        with pytest.raises(OutputError, match=rf"another process trains into it \(process {holder.pid} on"):
            locked(two / "b").__enter__()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    for _ in range(100):  # the system lets go of the lock a moment after the process ends
        if not is_locked(two / "b"):
            break
        time.sleep(0.05)
    assert read_run(two / "b").state == "broken off"


def test_training_holds_the_lock_of_its_folder(corpus, tiny, tmp_path):
    config = load_config(corpus / "config.yaml", [*tiny, "train.epochs=1"])
    with locked(tmp_path / "run"), pytest.raises(OutputError, match="another process trains into it"):
        train(config, tmp_path / "run")
    assert not is_locked(tmp_path / "run")
    train(config, tmp_path / "run")
    assert (tmp_path / "run" / LOCK).is_file()


@pytest.mark.parametrize(
    ("ending", "beginning"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("html", b"<!doctype html>")]
)
def test_curves_of_one_run_are_drawn(trained, tmp_path, ending, beginning):
    path = tmp_path / f"curves.{ending}"
    result = listed(trained, "--curves", path)
    assert f"wrote {path}" in result.stderr.replace("\n", "")
    assert path.read_bytes().startswith(beginning)
    (run,) = find_runs(trained)
    panels = {panel.title: panel for panel in one_run(run)}
    assert {"loss", "terms of the loss", "metrics, %", "learning rate", "norm of the gradient"} <= set(panels)
    for title, key in {
        "loss": "loss",
        "learning rate": "learning_rate",
        "norm of the gradient": "gradient_norm",
    }.items():
        (line,) = panels[title].lines
        assert (list(line.x), list(line.y)) == ([1, 2], [row[key] for row in run.rows])


def test_the_page_needs_no_other_file_and_holds_all_there_is(trained, tmp_path):
    write_curves(tmp_path / "c.html", find_runs(trained))
    text = (tmp_path / "c.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!#)""", text)
    assert "<script" not in text
    for part in ("<svg", "firing rates", "HL-min-VeryGood-mAP", "n_spike_steps: 2"):
        assert part in text or part.replace(" ", "&#160;") in text, part


def test_several_runs_are_drawn_side_by_side(two, tmp_path):
    runs = find_runs(two)
    panels = {panel.title: panel for panel in several_runs(runs)}
    assert set(panels) == {"loss", "mAP on validation, %", "mean firing rate of all layers"}
    assert [len(line.x) for line in panels["loss"].lines] == [2, 1]
    assert list(panels["loss"].lines[0].y) == [row["loss"] for row in runs[0].rows]
    write_curves(tmp_path / "c.png", runs)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_said(trained, two, tmp_path):
    with pytest.raises(OutputError, match=r"'.gif' is none of .png, .svg, .pdf, .html"):
        write_curves(tmp_path / "c.gif", find_runs(trained))
    (two / "b" / "metrics.jsonl").write_text("")
    with pytest.raises(CheckpointError, match="has no finished epoch yet"):
        write_curves(tmp_path / "c.png", [read_run(two / "b")])


def test_rows_of_another_task_are_drawn_with_what_they_have(two, tmp_path):
    rows = [{"epoch": e, "loss": 1 / e, "val": {"top1": 10.0 * e, "top5": 20.0 * e}} for e in (1, 2, 3)]
    (two / "b" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = yaml.safe_load((two / "b" / "config.yaml").read_text())
    config = {"task": "recognition", "train": {**config["train"], "best_metric": "top1"}, "data": {"root": "x"}}
    (two / "b" / "config.yaml").write_text(yaml.safe_dump(config))
    run = read_run(two / "b")
    assert (run.data_set, run.best["epoch"]) == ("recognition", 3)
    write_curves(tmp_path / "c.html", [run])
