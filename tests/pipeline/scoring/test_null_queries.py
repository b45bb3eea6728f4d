"""Null queries in files of predictions: counted, compared, told by kind, and equal to the official tool's numbers."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from pipelines.runs.study_folder import seeds_document
from pipelines.scoring.by_kind import scores_by_kind
from pipelines.scoring.comparisons import compare_files, intervals
from pipelines.scoring.scores import protocol_of, score, short_name
from spikemba.datasets.annotations import (
    Annotation,
    PredictedRow,
    read_annotations,
    read_predictions,
    write_annotations,
    write_predictions,
)
from spikemba.errors import AnnotationError
from spikemba.moments import Moment, Window
from spikemba_cli.main import app

PROTOCOL = protocol_of("qvhighlights")
N = 8
TRUTH = [Annotation(i, "a goal", f"v{i}", 100.0, (Window(10, 20),) if i % 2 else ()) for i in range(N)]
RIGHT = Moment(10, 20, 0.9)
GOOD = [PredictedRow(i, f"v{i}", "a goal", (RIGHT,), (), 0.9 if i % 2 else 0.1) for i in range(N)]
EAGER = [replace(row, exist_score=0.9) for row in GOOD]


@pytest.fixture
def files(tmp_path):
    """Paths of the truth, of good predictions and of those that reject nothing."""
    write_annotations(tmp_path / "a.jsonl", TRUTH)
    write_predictions(tmp_path / "good.jsonl", GOOD)
    write_predictions(tmp_path / "eager.jsonl", EAGER)
    return [tmp_path / name for name in ("a.jsonl", "good.jsonl", "eager.jsonl")]


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_an_empty_list_of_windows_is_a_null_query_and_comes_back_as_one(files):
    assert [one.windows for one in read_annotations(files[0])][:2] == [(), (Window(10, 20),)]
    assert read_annotations(files[0]) == TRUTH
    assert TRUTH[0].is_null
    assert not replace(TRUTH[0], windows=None).is_null  # hidden
    assert not replace(TRUTH[0], ratings=((4, 4, 4),), relevant_clips=(1,)).is_null  # rated, without windows


def test_existence_scores_come_back_and_what_stands_in_for_them(files):
    assert [row.exist_score for row in read_predictions(files[1])][:2] == [0.1, 0.9]
    assert GOOD[0].existence == 0.1
    assert replace(GOOD[0], exist_score=None).existence == 0.9
    assert replace(GOOD[0], exist_score=None, moments=()).existence == 0
    assert "pred_exist_score" not in replace(GOOD[0], exist_score=None).to_row()


@pytest.mark.parametrize("value", ["high", True, [0.5], float("inf")])
def test_an_existence_score_that_is_no_number_is_refused(tmp_path, value):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(GOOD[0].to_row() | {"pred_exist_score": value}) + "\n")
    with pytest.raises(AnnotationError, match=r"line 1: .*"):
        read_predictions(path)


def test_the_old_numbers_are_of_queries_with_a_moment_and_the_new_ones_of_all():
    document = score(GOOD, TRUTH, protocol=PROTOCOL)
    assert document["left_out"] == {"null_queries": 4}
    brief = document["brief"]
    assert (brief["MR-full-R1@0.5"], brief["GMR-AUROC"], brief["GMR-G-mIoU@1"]) == (100, 100, 100)
    assert brief["GMR-Rej-P@0.4"] == brief["GMR-Rej-R@0.6"] == 100
    eager = score(EAGER, TRUTH, protocol=PROTOCOL)["brief"]
    assert (eager["MR-full-R1@0.5"], eager["GMR-AUROC"], eager["GMR-G-mIoU@1"]) == (100, 50, 50)
    assert document["GMR"]["GMR-CLS"]["score_sources"] == {"pred_exist_score": N}


def test_without_null_queries_nothing_is_new():
    shown = [one for one in TRUTH if one.windows]
    rows = [row for row in GOOD if row.query_id % 2]
    document = score(rows, shown, protocol=PROTOCOL)
    assert "GMR" not in document
    assert "left_out" not in document
    assert not any(name.startswith("GMR") for name in document["brief"])


def test_controls_need_existence_scores_of_the_predictions_own():
    assert "query_only" in score(GOOD, TRUTH, protocol=PROTOCOL)["GMR"]["beside"]
    silent = [replace(row, exist_score=None) for row in GOOD]
    found = score(silent, TRUTH, protocol=PROTOCOL)["GMR"]
    assert set(found["beside"]) == {"always_answer", "always_reject"}
    assert found["GMR-CLS"]["score_sources"] == {"window_score": N}


def test_rejecting_everything_without_a_window_is_an_answer():
    nothing = [PredictedRow(i, f"v{i}", "a goal", (), ()) for i in range(N)]
    brief = score(nothing, TRUTH, protocol=PROTOCOL)["brief"]
    assert brief["GMR-G-mIoU@1"] == brief["GMR-Acc@0.4"] == 50
    assert "MR-full-mAP" not in brief


def test_predictions_beyond_the_annotations_are_a_warning_beside_null_queries(files, tmp_path):
    rows = [*GOOD, PredictedRow(99, "v99", "more", (RIGHT,), ())]
    write_predictions(tmp_path / "more.jsonl", rows)
    given = "--annotations", files[0], "--json"
    result = run("evaluate", "--predictions", tmp_path / "more.jsonl", *given)
    assert result.exit_code == 0
    assert "1 predicted query is not annotated, as qid 99" in result.stderr
    assert json.loads(result.stdout) == json.loads(run("evaluate", "--predictions", files[1], *given).stdout)
    write_annotations(files[0], [one for one in TRUTH if one.windows])
    assert run("evaluate", "--predictions", tmp_path / "more.jsonl", *given).exit_code == 1
    write_annotations(files[0], [*TRUTH, replace(TRUTH[0], query_id=50)])  # missing ones are never let pass
    assert run("evaluate", "--predictions", tmp_path / "more.jsonl", *given).exit_code == 1


def test_null_queries_are_no_fault_of_the_predictions(files):
    assert run("evaluate", "--predictions", files[1], "--annotations", files[0], "--check").exit_code == 0


def test_the_terminal_shows_what_needs_no_model(files):
    result = run("evaluate", "--predictions", files[1], "--annotations", files[0])
    first, second = result.stdout.split("\n\n")
    assert "GMR-Rej-F1@0.4\t100.00" in first
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in second.splitlines()}
    assert rows["these predictions"][:2] == ["100.00", "100.00"]
    assert rows["always answer"][:2] == ["50.00", "0.00"]
    assert rows["always reject"][:2] == ["50.00", "66.67"]
    said = " ".join(result.stderr.split())
    assert "4 of 8 queries are null queries" in said
    assert "expected calibration error, existence of 8 queries: 10.00 %" in said


def test_intervals_and_comparisons_are_about_all_queries(files):
    found = intervals(GOOD, TRUTH, PROTOCOL, 200)
    assert found["GMR-G-mIoU@1"].mean == score(GOOD, TRUTH, protocol=PROTOCOL)["brief"]["GMR-G-mIoU@1"] == 100
    compared = compare_files(files[2], files[1], files[0], n=200)
    assert (compared["GMR-Acc@0.4"].a, compared["GMR-Acc@0.4"].b, compared["GMR-Acc@0.4"].better) == (50, 100, 4)
    assert compared["MR-full-R1@0.5"].difference.mean == 0
    shown = run("compare", files[2], files[1], "--annotations", files[0], "--resamples", "200")
    assert "GMR-G-mIoU@1\t50.00\t100.00" in shown.stdout
    assert "4 of 8 queries are null queries" in " ".join(shown.stderr.split())


def test_predictions_that_are_not_compared_are_said(files, tmp_path):
    write_predictions(files[2], [*EAGER, PredictedRow(99, "v99", "more", (RIGHT,), ())])
    shown = run("compare", files[2], files[1], "--annotations", files[0], "--resamples", "200")
    assert "1 predicted query is not annotated, as qid 99" in " ".join(shown.stderr.split())


def test_a_kind_of_null_queries_has_the_numbers_that_one_kind_can_have():
    kinds = [replace(one, kind="absent" if one.is_null else "shown") for one in TRUTH]
    found = scores_by_kind(EAGER, kinds, PROTOCOL)
    assert found["absent"]["brief"]["GMR-G-mIoU@1"] == 0
    assert "GMR-AUROC" not in found["absent"]["brief"]
    assert found["shown"]["brief"]["MR-full-R1@0.5"] == 100


def test_what_stands_beside_several_seeds_is_their_mean():
    documents = [score(rows, TRUTH, protocol=PROTOCOL) for rows in (GOOD, EAGER)]
    found = seeds_document(documents, {}, {})
    assert found["GMR"]["beside"]["always_reject"]["G-mIoU@1"] == 50


def test_published_rows_have_what_needs_no_model_above_them(files):
    given = "--predictions", files[1], "--annotations", files[0], "--dataset", "gmr", "--table", "csv"
    rows = [line.split(",") for line in run("evaluate", *given).stdout.splitlines()]
    assert rows[0][1:3] == ["AUROC", "Rej-F1@0.4"]
    assert [row[0] for row in rows[2:]] == ["always answer", "always reject", "sample predictions"]
    assert rows[3][1:4] == ["50.00", "66.67", "50.00"]


def test_names_in_narrow_columns_do_not_collide():
    brief = score(GOOD, TRUTH, protocol=protocol_of("charades_sta"))["brief"]
    main = [name for name in brief if not name.startswith(("MR-long", "MR-middle", "MR-short"))]
    assert len({short_name(name) for name in main}) == len(main)


def test_the_command_prints_every_number_of_the_official_tool(shared):
    predictions = shared / "predictions" / "soccer_gmr_sample_preds.jsonl"
    annotations = shared / "annotations" / "soccer_gmr_test.jsonl"
    result = run("evaluate", "--predictions", predictions, "--annotations", annotations, "--json")
    assert result.exit_code == 0
    assert "35 predicted queries are not annotated" in result.stderr
    official = json.loads((shared / "predictions" / "soccer_gmr_sample_preds_metrics.json").read_text())
    found = json.loads(result.stdout)
    assert {name: found["GMR"][name] for name in official} == official
    assert {name: found["brief"][f"GMR-{name}"] for name in official["brief"]} == official["brief"]
    assert found["brief"]["MR-full-mAP"] == official["brief"]["mAP"]  # which both evaluators have
    reject = found["GMR"]["beside"]["always_reject"]
    assert (reject["Rej-F1@0.4"], reject["G-mIoU@1"], reject["AUROC"]) == (64.4, 47.49, 50)
