"""Answers over a corpus from files: `evaluate --corpus`, `compare --corpus`, and what they refuse."""

import json

import pytest
from typer.testing import CliRunner

from pipelines.scoring.corpus_scores import compare_corpus, evaluate_corpus
from spikemba.datasets.corpus_rows import CorpusAnswer, CorpusQuery, write_corpus_answers, write_corpus_truth
from spikemba.errors import AnnotationError
from spikemba.metrics.corpus import CorpusMoment, TrueMoment
from spikemba_cli.main import app

N = 8
"""Queries that something fits; one more fits nothing."""


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(i, right, score=0.9):
    """Of query i: its moment first, or second behind one of another video."""
    true, other = CorpusMoment(f"v{i}", 0, 10, score), CorpusMoment("elsewhere", 0, 10, score)
    return CorpusAnswer(i, f"sentence {i}", (true, other) if right else (other, true))


@pytest.fixture
def truth(tmp_path):
    rows = [CorpusQuery(i, f"sentence {i}", (TrueMoment(f"v{i}", 0, 10),), f"v{i}", "plain") for i in range(N)]
    write_corpus_truth(tmp_path / "truth.jsonl", [*rows, CorpusQuery(N, "nothing", (), "v0", "order")])
    return tmp_path / "truth.jsonl"


def answers(path, n_right, null=()):
    rows = [answer(i, right=i < n_right) for i in range(N)]
    write_corpus_answers(path, [*rows, CorpusAnswer(N, "nothing", tuple(null))])
    return path


def test_the_numbers_are_those_of_the_file(truth, tmp_path):
    path = answers(tmp_path / "p.jsonl", n_right=6)
    done = run("evaluate", "--corpus", "--predictions", path, "--annotations", truth, "--json")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["brief"]["VCMR-R1@0.5"] == document["VR"]["r1"] == 75
    assert document["brief"]["VCMR-R5@0.7"] == 100
    assert document["null"]["per_threshold"]["empty"]["Rej-R"] == 100
    assert document["by_kind"]["plain"]["brief"]["VCMR-R1@0.5"] == 75
    assert document["by_kind"]["order"] == {"n_queries": 1, "brief": {}}
    assert "1 of 9 queries is true of no video" in done.stderr
    assert "intervals" not in document


def test_a_table_shows_them_with_intervals_that_hold_them(truth, tmp_path):
    path = answers(tmp_path / "p.jsonl", n_right=6)
    done = run("evaluate", "--corpus", "--predictions", path, "--annotations", truth, "--bootstrap", 500)
    first, *rest = done.stdout.splitlines()
    assert first.split("\t") == ["metric", "%", "low", "high"]
    by_name = {line.split("\t")[0]: line.split("\t")[1:] for line in rest if "\t" in line}
    mean, low, high = map(float, by_name["VCMR-R1@0.5"])
    assert low < mean == 75 < high
    assert by_name["VCMR-R10@0.5"] == ["100.00", "100.00", "100.00"]
    assert by_name["AUROC"] == ["100.00", "", ""]


def test_queries_of_a_video_are_drawn_together(tmp_path):
    moment = (TrueMoment("v", 0, 10),)
    for name, video_id in {"alone": None, "together": "v"}.items():
        queries = [CorpusQuery(i, "x", moment, video_id) for i in range(N)]
        write_corpus_truth(tmp_path / f"{name}.jsonl", queries)
    rows = [CorpusAnswer(i, "x", (CorpusMoment("v" if i % 2 else "w", 0, 10, 1),)) for i in range(N)]
    write_corpus_answers(tmp_path / "p.jsonl", rows)
    alone, together = (
        evaluate_corpus(tmp_path / "p.jsonl", tmp_path / f"{name}.jsonl", 200) for name in ("alone", "together")
    )
    assert alone.intervals["VCMR-R1@0.5"].low < 50
    assert together.intervals["VCMR-R1@0.5"].low is None
    assert any("expected 6 or more" in fault for fault in together.faults)
    assert not alone.faults


def test_two_files_are_compared_query_by_query(truth, tmp_path):
    a, b = answers(tmp_path / "a.jsonl", n_right=0), answers(tmp_path / "b.jsonl", n_right=N)
    found = compare_corpus(a, b, truth)["VCMR-R1@0.5"]
    assert (found.a, found.b, found.difference.mean, found.better, found.worse) == (0, 100, 100, N, 0)
    assert found.p == 2 / 2**N
    done = run("compare", a, b, "--annotations", truth, "--corpus", "--json")
    assert json.loads(done.stdout)["VCMR-R1@0.5"]["p"] == found.p


def test_queries_that_one_file_lacks_are_refused(truth, tmp_path):
    write_corpus_answers(tmp_path / "p.jsonl", [answer(i, right=True) for i in range(1, N)])
    done = run("evaluate", "--corpus", "--predictions", tmp_path / "p.jsonl", "--annotations", truth)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "2 annotated queries have no prediction, as qid 0" in done.stderr
    write_corpus_answers(tmp_path / "p.jsonl", [answer(i, right=True) for i in range(N + 2)])
    with pytest.raises(AnnotationError, match="1 predicted query is not annotated, as qid 9"):
        evaluate_corpus(tmp_path / "p.jsonl", truth)


def test_answers_to_other_sentences_are_refused(truth, tmp_path):
    rows = [answer(i, right=True) for i in range(N)]
    write_corpus_answers(tmp_path / "p.jsonl", [*rows, CorpusAnswer(N, "of another table", ())])
    with pytest.raises(
        AnnotationError, match=r"1 of 9 rows .* as qid 8: sentence 'of another table', annotated 'nothing'"
    ):
        evaluate_corpus(tmp_path / "p.jsonl", truth)


def test_names_of_another_form_are_refused(truth, tmp_path):
    rows = [CorpusAnswer(i, "x", (CorpusMoment(f"videos/v{i}.mp4", 0, 10, 1),)) for i in range(N + 1)]
    write_corpus_answers(tmp_path / "p.jsonl", rows)
    with pytest.raises(AnnotationError, match=r"as qid 0: 'videos/v0.mp4'; expected names such as 'v0'"):
        evaluate_corpus(tmp_path / "p.jsonl", truth)


def test_check_names_what_is_odd_and_scores_nothing(truth, tmp_path):
    odd = [
        CorpusAnswer(0, "", ()),
        CorpusAnswer(1, "", (CorpusMoment("v1", 5, 5, 0.5), CorpusMoment("v1", 0, 9, 0.8))),
        CorpusAnswer(2, "", (CorpusMoment("v2", 0, 9, 0.5),) * 101),
        *(answer(i, right=True) for i in range(3, N)),
        CorpusAnswer(N, "", ()),
    ]
    write_corpus_answers(tmp_path / "p.jsonl", odd)
    files = ("--corpus", "--predictions", tmp_path / "p.jsonl", "--annotations", truth)
    done = run("evaluate", *files, "--check")
    assert (done.exit_code, done.stdout) == (1, "")
    for said in (
        "1 query has no answer although something fits; they count as 0, as qid 0: no answer",
        "1 query has windows that begin before 0 or do not end after they begin, as qid 1: [5, 5] of 'v1'",
        "1 query is not sorted by score; the order of the list counts, not the score, as qid 1",
        "1 query has a window twice; it takes a place each time, as qid 2: [0, 9] of 'v2'",
        "1 query has more than 100 answers; after these only new videos count, for VR, as qid 2: 101 answers",
    ):
        assert said in done.stderr
    assert run("evaluate", *files).exit_code == 0  # they are warnings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("mini",), "scores a file of predictions; give --predictions"),
        (("--predictions", "p", "--annotations", "t", "--dataset", "tvsum"), "is for a published set"),
        (("--predictions", "p", "--annotations", "t", "--table", "csv"), "is for a published set"),
    ],
)
def test_what_does_not_go_with_a_corpus_is_wrong_usage(options, said):
    done = run("evaluate", "--corpus", *options)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
