"""A test split that hides its truth, as published ones do: the answers are what is wanted."""

import json

import pytest
from typer.testing import CliRunner

from spikemba.datasets.annotations import read_predictions
from spikemba_cli.main import app


@pytest.fixture
def hidden(corpus, tmp_path):
    rows = [json.loads(line) for line in (corpus / "test.jsonl").read_text().splitlines()]
    for row in rows:
        for name in ("relevant_windows", "relevant_clip_ids", "saliency_scores"):
            row.pop(name, None)
    path = tmp_path / "hidden.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def evaluate(trained, hidden, *more):
    command = ["evaluate", trained, "--split", "test", "--set", f"data.test={hidden}", *more]
    return CliRunner().invoke(app, [str(part) for part in command])


@pytest.mark.parametrize("more", [[], ["--json"], ["--table", "text"], ["--bootstrap", "100"]])
def test_the_answers_are_written_and_said_to_be_unscored(trained, hidden, tmp_path, more):
    out = tmp_path / "hl_test_submission.jsonl"
    result = evaluate(trained, hidden, "--out", out, *more)
    assert (result.exit_code, result.stdout) == (0, "")
    rows = read_predictions(out)
    assert len(rows) == len(hidden.read_text().splitlines())
    assert f"its {len(rows)} answers are in" in " ".join(result.stderr.split())
    assert all(row.moments and row.saliency for row in rows)


def test_without_a_file_to_write_there_is_nothing_to_do(trained, hidden):
    result = evaluate(trained, hidden)
    assert result.exit_code == 1
    assert "hold neither windows nor ratings" in result.stderr
