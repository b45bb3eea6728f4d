"""Rows about a whole corpus: written and read to the same, and every fault in one line."""

import json
from math import inf

import pytest

from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.corpus_rows import (
    CorpusAnswer,
    CorpusQuery,
    read_corpus_answers,
    read_corpus_truth,
    write_corpus_answers,
    write_corpus_truth,
)
from spikemba.errors import AnnotationError
from spikemba.metrics.corpus import CorpusMoment, TrueMoment

TRUTH = [
    CorpusQuery(1, "a star spins", (TrueMoment("a", 0.0, 4.0), TrueMoment("b", 2.0, 6.5, 3.0)), "a", "plain"),
    CorpusQuery("q2", "nothing", ()),
]
ANSWERS = [
    CorpusAnswer(1, "a star spins", (CorpusMoment("b", 2.0, 6.0, 0.75), CorpusMoment("a", 0.0, 4.0, 0.5))),
    CorpusAnswer("q2", "nothing", (), exist_score=0.125),
]


def test_what_is_written_is_read(tmp_path):
    write_corpus_truth(tmp_path / "t.jsonl", TRUTH)
    write_corpus_answers(tmp_path / "p.jsonl", ANSWERS)
    assert read_corpus_truth(tmp_path / "t.jsonl") == TRUTH
    assert read_corpus_answers(tmp_path / "p.jsonl") == ANSWERS


def test_the_form_is_the_documented_one():
    assert TRUTH[0].to_row() == {
        "qid": 1, "query": "a star spins", "vid": "a", "kind": "plain",
        "truth": [{"vid": "a", "window": [0, 4]}, {"vid": "b", "window": [2, 6.5], "grade": 3}],
    }  # fmt: skip
    assert ANSWERS[0].to_row() == {
        "qid": 1, "query": "a star spins", "pred_corpus_moments": [["b", 2, 6, 0.75], ["a", 0, 4, 0.5]],
    }  # fmt: skip


def test_existence_is_the_score_of_its_own_then_the_best_moments_then_none():
    assert [one.existence for one in ANSWERS] == [0.75, 0.125]
    assert CorpusAnswer(3, "", ()).existence == -inf


def fault(tmp_path, read, row):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    with pytest.raises(AnnotationError) as caught:
        read(path)
    (one,) = caught.value.faults
    assert "\n" not in str(caught.value)
    return one


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (None, "truth is None; expected list"),
        (["a"], 'truth holds \'a\'; expected {"vid": name, "window": [start, end]}'),
        ([{"window": [0, 1]}], "has no 'vid'"),
        ([{"vid": "a"}], "window holds None; expected lists of 2 finite numbers"),
        ([{"vid": "a", "window": [5, 5]}], "truth holds the window [5, 5]; expected seconds, 0 <= start < end"),
        ([{"vid": "a", "window": [0, 1], "grade": 0}], "truth holds grade 0; expected a number above 0, at most 30"),
        (
            [{"vid": "a", "window": [0, 1], "grade": "4"}],
            "truth holds grade '4'; expected a number above 0, at most 30",
        ),
    ],
)
def test_a_truth_that_is_none_is_named(tmp_path, truth, said):
    assert fault(tmp_path, read_corpus_truth, {"qid": 1, "query": "x", "truth": truth}) == f"line 1: {said}"


@pytest.mark.parametrize(
    "moment",
    [["a", 0, 1], [3, 0, 1, 0.5], ["a", 0, "1", 0.5], ["a", 0, 1, None], ["a", 0, 1e999, 1], "a", {"vid": "a"}],
)
def test_an_answer_that_is_none_is_named(tmp_path, moment):
    said = fault(tmp_path, read_corpus_answers, {"qid": 1, "pred_corpus_moments": [moment]})
    assert "expected [video's name, start, end, score], numbers finite" in said or "Infinity" in said


def test_rows_about_one_video_are_told_from_those_about_all(tmp_path):
    one_video = {"qid": 1, "query": "x", "vid": "a", "duration": 9, "relevant_windows": [], "pred_relevant_windows": []}
    assert "has 'relevant_windows' and no 'truth'" in fault(tmp_path, read_corpus_truth, one_video)
    assert "leave --corpus out" in fault(tmp_path, read_corpus_answers, one_video)
    assert "give --corpus to `evaluate`" in fault(tmp_path, read_annotations, TRUTH[0].to_row())


def test_a_query_stands_once(tmp_path):
    write_corpus_answers(tmp_path / "p.jsonl", [ANSWERS[0], ANSWERS[0]])
    with pytest.raises(AnnotationError, match="line 2: qid 1 stands on line 1 already"):
        read_corpus_answers(tmp_path / "p.jsonl")
