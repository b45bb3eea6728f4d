"""Footage as cameras leave it: two cards that repeat their names, from a person's table to training and asking."""

import json
import shlex

import numpy as np
from typer.testing import CliRunner

from spikemba_cli.main import app


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_two_cards_lead_from_a_table_to_moments(make_video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i, name in enumerate(
        ("my cards/A/C1.MP4", "my cards/B/C1.MP4", "my cards/C1.mov", "my cards/C1.mp4", "else/D 1.mp4")
    ):
        make_video(name, rng.integers(0, 255, (30 + 10 * i, 32, 32, 3), dtype=np.uint8), fps=5)
    (tmp_path / "m.csv").write_text(
        "Datei;Von;Bis;Satz\nA/C1.MP4;0:01;0:03,5;schneidet\nB\\C1.MP4;1,5;3;schneidet\nC1.mov;1;2;isst\n"
        "../else/D 1.mp4;1;2;isst\n"
    )
    prepared = run("prepare", "custom", "--source", "m.csv", "--videos", "my cards", "--out", "p", "--encoder", "mini")
    assert "read m.csv: semicolons between cells" in prepared.stderr
    rows = [json.loads(line) for name in ("train", "val") for line in (tmp_path / f"p/{name}.jsonl").open()]
    lengths = {row["vid"]: row["duration"] for row in rows}
    assert sorted(lengths.values()) == [6.0, 8.0, 10.0, 14.0]
    following = [line.partition(": ")[2] for line in prepared.stderr.splitlines() if ": spikemba " in line]
    for command in following:
        words = shlex.split(command)[1:]
        run(*words, *(["--dry-run"] if words[0] == "train" else []))
    for video_id, duration_s in lengths.items():
        with np.load(tmp_path / f"p/features/mini/{video_id}.npz") as arrays:
            assert len(arrays["features"]) == int(duration_s / 2 + 0.5)
