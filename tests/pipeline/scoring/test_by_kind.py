"""Scores by kind of query: those of its queries alone, and nothing where no row has a kind."""

import json

import pytest
from typer.testing import CliRunner

from pipelines.runs.study_folder import seeds_document
from pipelines.scoring.by_kind import scores_by_kind
from pipelines.scoring.scores import protocol_of
from spikemba.datasets.annotations import (
    Annotation,
    PredictedRow,
    read_annotations,
    read_predictions,
    write_annotations,
    write_predictions,
)
from spikemba.moments import Moment, Window
from spikemba_cli.main import app

KINDS = ("plain", "plain", "first/last", None, "plain")
TRUTH = [Annotation(i, "q", f"v{i}", 100.0, (Window(10, 20),), kind=kind) for i, kind in enumerate(KINDS)]
STARTS = (10, 50, 10, 50, 10)
ROWS = [PredictedRow(i, f"v{i}", "q", (Moment(start, start + 10, 1.0),), ()) for i, start in enumerate(STARTS)]
PROTOCOL = protocol_of("qvhighlights")


def test_a_kind_has_the_scores_of_its_queries():
    found = scores_by_kind(ROWS, TRUTH, PROTOCOL)
    assert list(found) == ["plain", "first/last"]  # and none for the query that has no kind
    assert [one["n_queries"] for one in found.values()] == [3, 1]
    assert [one["brief"]["MR-full-R1@0.5"] for one in found.values()] == [66.67, 100]


def test_a_kind_without_truth_or_answers_has_no_numbers():
    hidden = [*TRUTH, Annotation(9, "q", "v9", 100.0, kind="hidden"), Annotation(8, "q", "v8", 9.0, kind="no answer")]
    rows = [*ROWS, PredictedRow(9, "v9", "q", (), ()), PredictedRow(8, "v8", "q", (), ())]
    found = scores_by_kind(rows, hidden, PROTOCOL)
    assert found["hidden"] == found["no answer"] == {"n_queries": 1, "brief": {}}


def test_kinds_of_several_seeds_are_their_means():
    wrong = [PredictedRow(row.query_id, row.video_id, "q", (Moment(50, 60, 1.0),), ()) for row in ROWS]
    documents = [{"by_kind": scores_by_kind(rows, TRUTH, PROTOCOL)} for rows in (ROWS, wrong)]
    document = seeds_document(documents, {}, {})
    assert document["by_kind"]["first/last"]["n_queries"] == 1
    assert document["by_kind"]["first/last"]["brief"]["MR-full-R1@0.5"] == 50
    assert "by_kind" not in seeds_document([{}, {}], {}, {})


def evaluated(tmp_path, truth, *options):
    write_predictions(tmp_path / "p.jsonl", ROWS)
    write_annotations(tmp_path / "a.jsonl", truth)
    files = ["--predictions", str(tmp_path / "p.jsonl"), "--annotations", str(tmp_path / "a.jsonl")]
    found = CliRunner().invoke(app, ["evaluate", *files, *options])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_evaluate_adds_kinds_and_changes_nothing_else(tmp_path):
    plain = [Annotation(one.query_id, one.query, one.video_id, one.duration_s, one.windows) for one in TRUTH]
    without, document = (json.loads(evaluated(tmp_path, rows, "--json")) for rows in (plain, TRUTH))
    assert document.pop("by_kind") == scores_by_kind(read_predictions(tmp_path / "p.jsonl"), TRUTH, PROTOCOL)
    assert document == without
    first, second = evaluated(tmp_path, TRUTH).split("\n\n")
    assert first + "\n" == evaluated(tmp_path, plain)
    assert second.splitlines()[:2] == ["kind\tqueries\tmAP\tR1@0.5\tR1@0.7", "plain\t3\t66.67\t66.67\t66.67"]


@pytest.mark.parametrize(("written", "kind"), [("plain ", "plain"), ("\tplain", "plain"), ("", None), ("  ", None)])
def test_a_kind_is_read_without_the_spaces_around_it(tmp_path, written, kind):
    (tmp_path / "a.jsonl").write_text(json.dumps(TRUTH[0].to_row() | {"kind": written}) + "\n")
    assert read_annotations(tmp_path / "a.jsonl")[0].kind == kind


def test_it_is_said_how_many_queries_have_no_kind(tmp_path):
    write_predictions(tmp_path / "p.jsonl", ROWS)
    write_annotations(tmp_path / "a.jsonl", TRUTH)
    files = ["--predictions", str(tmp_path / "p.jsonl"), "--annotations", str(tmp_path / "a.jsonl")]
    said = CliRunner().invoke(app, ["evaluate", *files]).stderr
    assert f"1 query of {len(TRUTH)} without a kind" in said
