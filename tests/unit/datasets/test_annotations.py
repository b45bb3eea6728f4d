import json

import pytest

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

ROW = {"qid": 1, "query": "a dog enters", "duration": 10, "vid": "v", "relevant_windows": [[2, 6]]}


def file_of(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_annotations_read_back_as_written(tmp_path):
    rows = [
        Annotation(1, "a dog enters", "v1", 10.0, (Window(2, 4), Window(6, 8)), (1, 3), ((4, 3, 2), (0, 1, 2))),
        Annotation("x_2", "it leaves", "v2", 33.67, (Window(0.0, 6.9),)),
        Annotation(3, "hidden", "v3", 5.5, None),
    ]
    write_annotations(tmp_path / "a.jsonl", rows)
    assert read_annotations(tmp_path / "a.jsonl") == rows


def test_predictions_read_back_as_written(tmp_path):
    rows = [
        PredictedRow(1, "v", "q", (Moment(0, 2.5, 0.9), Moment(3, 4, 0.1)), (0.1, -0.2)),
        PredictedRow(2, "", "", (), ()),
    ]
    write_predictions(tmp_path / "p.jsonl", rows)
    assert read_predictions(tmp_path / "p.jsonl") == rows


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"qid": None}, "qid is None; expected int or str"),
        ({"duration": 0}, "duration 0 is not a positive number"),
        ({"duration": "10"}, "duration is '10'"),
        ({"query": 3}, "query is 3; expected str"),
        ({"relevant_windows": [[1, 2, 3]]}, "lists of 2 finite numbers"),
        ({"relevant_windows": 5}, "lists of 2 finite numbers"),
        ({"relevant_clip_ids": [1, 2], "saliency_scores": [[1, 1, 1]]}, "1 saliency_scores for 2 relevant_clip_ids"),
        ({"relevant_clip_ids": [1], "saliency_scores": [[1, 1]]}, "lists of 3 finite numbers"),
    ],
)
def test_rows_that_cannot_be_used_are_named_by_line(tmp_path, change, problem):
    with pytest.raises(AnnotationError) as caught:
        read_annotations(file_of(tmp_path, {**ROW, "qid": 0}, {**ROW, **change}))
    assert "line 2: " in str(caught.value)
    assert problem in str(caught.value)


def test_a_missing_key_and_a_repeated_id_are_named_together(tmp_path):
    without = {key: value for key, value in ROW.items() if key != "vid"}
    with pytest.raises(AnnotationError) as caught:
        read_annotations(file_of(tmp_path, ROW, without, ROW))
    assert caught.value.faults == ["line 2: has no 'vid'", "line 3: qid 1 stands on line 1 already"]


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="no rows"):
        read_annotations(file_of(tmp_path))


def test_predictions_with_numbers_that_are_none_are_refused(tmp_path):
    bad = {"qid": 1, "pred_relevant_windows": [[0, 1, 0.5]], "pred_saliency_scores": [0.1, float("nan")]}
    with pytest.raises(AnnotationError, match="not a finite number"):
        read_predictions(file_of(tmp_path, bad))
    with pytest.raises(AnnotationError, match="lists of 3 finite numbers"):
        read_predictions(file_of(tmp_path, {"qid": 1, "pred_relevant_windows": [[0, 1]]}))


def test_long_lists_of_faults_are_cut(tmp_path):
    with pytest.raises(AnnotationError, match=r"25 bad rows:(?s:.*)and 15 more") as caught:
        read_annotations(file_of(tmp_path, *({"qid": i} for i in range(25))))
    assert len(caught.value.faults) == 25


def test_a_row_may_say_of_what_kind_its_query_is(tmp_path):
    (without, named) = read_annotations(file_of(tmp_path, ROW, {**ROW, "qid": 2, "kind": "before/after"}))
    assert (without.kind, named.kind) == (None, "before/after")
    assert "kind" not in without.to_row()
    assert named.to_row()["kind"] == "before/after"
    write_annotations(tmp_path / "again.jsonl", [without, named])
    assert read_annotations(tmp_path / "again.jsonl") == [without, named]
    with pytest.raises(AnnotationError, match="kind is 3; expected str"):
        read_annotations(file_of(tmp_path, {**ROW, "kind": 3}))


def test_a_prediction_without_a_name_has_none(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"qid": 1, "vid": null, "query": null, "pred_relevant_windows": [[0, 2, 0.5]]}\n')
    (row,) = read_predictions(path)
    assert (row.video_id, row.query) == ("", "")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"vid": ["v"]', r"vid is \['v'\]; expected str or int"),
        (
            '"pred_relevant_windows": [[1e300, 1e308, 0.9]]',
            r"holds \[1e\+300, 1e\+308, 0.9\]; expected times of at most",
        ),
        ('"duration": -5', "duration is -5; expected a positive number"),
    ],
)
def test_a_prediction_with_what_cannot_be_is_refused_by_its_line(tmp_path, value, said):
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"qid": 1, {value}}}\n')
    with pytest.raises(AnnotationError, match=rf"line 1: .*{said}"):
        read_predictions(path)
