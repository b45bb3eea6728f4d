"""A query's identifier names a file: of the folder of features, or of none."""

import json

import pytest
from typer.testing import CliRunner

from spikemba.datasets.base import DataConfig, GroundingDataset
from spikemba.errors import QueryError
from spikemba_cli.main import app

BAD = ["x/../../evil", "../evil", "/tmp/evil", "a\\b", "q" * 300, "ü" * 101, "", "nul\0"]


@pytest.mark.parametrize("query_id", BAD)
def test_an_identifier_that_cannot_name_a_file_is_one_line_and_writes_nothing(random_mini, tmp_path, query_id):
    inside = tmp_path / "work" / "deep"
    inside.mkdir(parents=True)
    rows = [
        {"qid": qid, "query": "a red dog", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]]}
        for qid in (query_id, "fine", 7)
    ]
    (inside / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["extract", "--queries", inside / "train.jsonl", "--encoder", "mini", "--out", inside / "features"]
    result = CliRunner().invoke(app, [*map(str, command), "--weights", f"mini={random_mini}"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot name a file of features; expected 1 to 200 bytes without / and" in " ".join(result.stderr.split())
    assert len(result.stderr) < 600
    written = {path.name for path in tmp_path.rglob("*.npz")}
    assert written == {"qidfine.npz", "qid7.npz"}


def test_training_says_the_same(corpus, tmp_path):
    row = {"qid": "x/../../evil", "query": "a", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]]}
    row["vid"] = next((corpus / "features" / "mini").glob("[!.]*.npz")).stem
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    features = {"video_features": [corpus / "features" / "mini"], "text_features": corpus / "features" / "mini_text"}
    with pytest.raises(QueryError, match=r"qid 'x/\.\./\.\./evil' cannot name a file"):
        GroundingDataset(DataConfig.parse({"train": tmp_path / "train.jsonl", **features}), "train")
