"""A person's own table: what its features are made with exists, and what few videos cannot give is said."""

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from spikemba.datasets.annotations import read_annotations
from spikemba.moments import Window
from spikemba.video.files import write_video
from spikemba_cli.main import app


@pytest.fixture
def prepare(tmp_path):
    def run(n_videos, *more):
        for i in range(n_videos):
            write_video(tmp_path / f"v{i}.mp4", np.zeros((20, 16, 16, 3), np.uint8), fps=5)
        rows = [f"v{i}.mp4,0,2,a dog" for i in range(n_videos)]
        (tmp_path / "t.csv").write_text("\n".join(["video,start,end,query", *rows]) + "\n")
        command = ["prepare", "custom", "--source", tmp_path / "t.csv", "--out", tmp_path / "out", *more]
        return CliRunner().invoke(app, [str(part) for part in command])

    return run


def test_an_encoder_that_there_is_not_is_refused(prepare, tmp_path):
    for name in ("mimi", "clip+mimi", ""):
        result = prepare(3, "--encoder", name)
        assert result.exit_code == 1
        assert "no encoder is called" in result.stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("encoder", "text", "video"),
    [("slowfast+clip", "clip_text", ["slowfast", "clip"]), ("clip:ViT-L-14", "clip_ViT-L-14_text", ["clip_ViT-L-14"])],
)
def test_the_configuration_names_the_folders_that_extraction_makes(prepare, tmp_path, encoder, text, video):
    assert prepare(3, "--encoder", encoder).exit_code == 0
    data = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())["data"]
    assert data["text_features"] == str(tmp_path / "out" / "features" / text)
    assert data["video_features"] == [str(tmp_path / "out" / "features" / name) for name in video]


def test_encoders_that_read_no_text_ask_for_one_that_does(prepare):
    result = prepare(3, "--encoder", "slowfast")
    assert result.exit_code == 1
    assert "no encoder of slowfast reads text; add one that does, as in --encoder clip+slowfast" in result.stderr


@pytest.mark.parametrize(
    ("n", "said"), [(1, "one video cannot be split: there is no validation"), (2, "1 of the videos validate"), (20, "")]
)
def test_few_videos_are_said_to_be_few(prepare, n, said):
    result = prepare(n)
    assert result.exit_code == 0
    assert ("warning" in result.stderr) == bool(said)
    assert said in " ".join(result.stderr.split())
    assert "warning" not in prepare(n, "--val-share", "0").stderr


@pytest.fixture
def prepare_rows(tmp_path):
    def run(*rows, more=()):
        for i in range(4):
            write_video(tmp_path / f"v{i}.mp4", np.zeros((20, 16, 16, 3), np.uint8), fps=5)
        (tmp_path / "t.csv").write_text("\n".join(["video,start,end,query,rating", *rows]) + "\n")
        command = ["prepare", "custom", "--source", tmp_path / "t.csv", "--out", tmp_path / "out", *more]
        return CliRunner().invoke(app, [str(part) for part in command])

    return run


SHOWN = [f"v{i}.mp4,0,2,a dog," for i in range(4)]


def test_none_as_start_and_end_makes_a_null_query_and_is_counted(prepare_rows, tmp_path):
    result = prepare_rows(*SHOWN, *(f"v{i}.mp4,none,None,a cat," for i in range(4)), more=["--json"])
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)
    assert counts["queries"] == {"train": 6, "val": 2}
    assert counts["null_queries"] == {"train": 3, "val": 1}
    assert "4 of 8 queries are null: their video shows nothing of them" in counts["read"]
    rows = read_annotations(tmp_path / "out" / "train.jsonl")
    assert {row.query: row.windows for row in rows} == {"a dog": (Window(0.0, 2.0),), "a cat": ()}
    again = prepare_rows(*SHOWN, *(f"v{i}.mp4,none,none,a cat," for i in range(4)))
    assert "train 6 (3 null), val 2 (1 null)" in again.stderr


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("v0.mp4,,,a cat,", "line 6: has no start, end; where the video shows nothing of the query, write none as"),
        ("v0.mp4,none,2,a cat,", "line 6: start is 'none'; expected seconds"),
        ("v0.mp4,none,none,a cat,3", "line 6: has a rating of a moment that there is not"),
        ("v0.mp4,none,none,a dog,", "line 6: v0.mp4 shows nothing of 'a dog', and has a window of it at line 2"),
    ],
)
def test_what_is_no_clear_null_query_is_refused(prepare_rows, tmp_path, row, said):
    result = prepare_rows(*SHOWN, row)
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()
