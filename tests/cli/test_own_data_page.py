"""The page that leads from a person's own CSV to moments: its table is used and its commands are run."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spikemba.datasets.annotations import read_annotations
from spikemba_cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def footage(make_video, tmp_path, monkeypatch):
    """A folder as the page describes it: the table, videos of the names in it, and what somebody corrected."""
    (table,) = blocks("csv")
    (tmp_path / "moments.csv").write_text(table)
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "Ana.jsonl").write_text("".join(blocks("json")))
    rng = np.random.default_rng(0)
    for name in sorted({line.split(",")[0] for line in table.splitlines()[1:]}):
        make_video(f"footage/{name}", rng.integers(0, 255, (80, 64, 64, 3), dtype=np.uint8), fps=4)
    monkeypatch.chdir(tmp_path)


def test_the_commands_of_the_page_lead_from_a_table_to_moments(footage, tiny):
    commands = [line for block in blocks("sh") for line in block.splitlines() if line]
    assert len(commands) == 13
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "spikemba"
        if words[0] == "train":  # a network that trains in a second, instead of what the page advises
            words = [word for word in words if word != "train.epochs=30"]
            words.remove("--set")
            words += [part for setting in tiny for part in ("--set", setting)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{command}\n{result.output}"
    assert json.loads(result.stdout)["query"] == "she cracks two eggs"
    rows = {row.query: row for name in ("train", "val") for row in read_annotations(Path(f"data/mine/{name}.jsonl"))}
    assert rows["she cracks two eggs"].windows == ((2.5, 8.0),)
    assert rows["the pan is washed"].is_null
