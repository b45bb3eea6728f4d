"""`prepare shapes --corpus`: files of truth beside the others, which stay as they are."""

import json

import pytest
from typer.testing import CliRunner

from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.corpus_rows import read_corpus_truth
from spikemba_cli.main import app

SIZES = {"train": 2, "val": 1, "test": 2}
NEW = {"train_corpus.jsonl", "val_corpus.jsonl", "test_corpus.jsonl"}


def written(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder, and what was in it before the truth was asked for."""
    out = tmp_path_factory.mktemp("shapes")
    assert prepare_shapes(out, ShapesConfig(**SIZES)).corpus == {}
    before = written(out)
    prepare_shapes(out, ShapesConfig(**SIZES), corpus=True)
    return out, before


def test_the_truth_is_added_and_nothing_else_changes_however_often(prepared):
    out, before = prepared
    after = written(out)
    assert {name: content for name, content in after.items() if name not in NEW} == before
    assert after.keys() >= NEW
    prepare_shapes(out, ShapesConfig(**SIZES), corpus=True)
    assert written(out) == after


def test_every_sentence_of_a_split_is_asked_of_its_videos(prepared):
    out, _ = prepared
    for split in SIZES:
        rows = read_annotations(out / f"{split}.jsonl") + read_annotations(out / f"{split}_nulls.jsonl")
        queries = read_corpus_truth(out / f"{split}_corpus.jsonl")
        assert [(one.query_id, one.query, one.video_id) for one in queries] == [
            (row.query_id, row.query, row.video_id) for row in rows
        ]
        videos = {row.video_id for row in rows}
        for row, query in zip(rows, queries, strict=True):
            own = tuple((moment.start_s, moment.end_s) for moment in query.truth if moment.video_id == row.video_id)
            assert own == row.windows
            assert {moment.video_id for moment in query.truth} <= videos


def test_the_command_says_what_it_wrote(prepared):
    out, _ = prepared
    sizes = [part for name, n in SIZES.items() for part in (f"--{name}", str(n))]
    told = CliRunner().invoke(app, ["prepare", "shapes", "--out", str(out), *sizes, "--corpus"])
    counts = {f"{split}_corpus": len(read_corpus_truth(out / f"{split}_corpus.jsonl")) for split in SIZES}
    assert told.exit_code == 0
    assert f"of all videos: {', '.join(f'{name} {n}' for name, n in counts.items())}" in told.stderr
    assert "_corpus.jsonl" not in told.stderr.partition("next:")[2]  # it is nothing to extract
    as_json = CliRunner().invoke(app, ["prepare", "shapes", "--out", str(out), *sizes, "--corpus", "--json"])
    assert json.loads(as_json.stdout)["corpus"] == counts
    without = CliRunner().invoke(app, ["prepare", "shapes", "--out", str(out), *sizes, "--json"])
    assert "corpus" not in json.loads(without.stdout)
