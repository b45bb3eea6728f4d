"""Two files of predictions, and one beside the truth: what an answer that is missing counts."""

import json

import pytest
from typer.testing import CliRunner

from pipelines.scoring.comparisons import compare_files, intervals
from pipelines.scoring.scores import protocol_of, score, score_files
from spikemba.datasets.annotations import read_annotations, read_predictions
from spikemba.errors import AnnotationError
from spikemba.metrics import NothingToScore
from spikemba_cli.main import app

RIGHT, WRONG, NONE = [[10, 20, 0.9]], [[30, 40, 0.9]], []


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def truth(tmp_path):
    def make(n, **more):
        rows = [{"qid": i, "query": "q", "vid": f"v{i}", "duration": 150} for i in range(n)]
        return write(tmp_path / "truth.jsonl", [{**row, "relevant_windows": [[10, 20]], **more} for row in rows])

    return make


@pytest.fixture
def predicted(tmp_path):
    def make(name, windows, saliency=()):
        rows = [{"qid": i, "vid": f"v{i}", "query": "q", "pred_relevant_windows": w} for i, w in enumerate(windows)]
        return write(tmp_path / name, [{**row, "pred_saliency_scores": list(saliency)} for row in rows])

    return make


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_few_videos_prove_nothing(truth, predicted, n):
    files = predicted("a.jsonl", [WRONG] * n), predicted("b.jsonl", [RIGHT] * n)
    found = compare_files(*files, truth(n))
    assert {one.p for one in found.values()} == {2 / 2**n}
    said = CliRunner().invoke(app, ["compare", *map(str, files), "--annotations", str(truth(n))])
    assert ("one video has no 95 % interval" if n == 1 else f"{n} videos are few") in said.stderr
    row = said.stdout.splitlines()[1].split("\t")
    assert row[4] == ""  # and not +100.00 to +100.00


def test_a_file_without_any_window_is_worse_by_all_of_them(truth, predicted):
    found = compare_files(predicted("a.jsonl", [RIGHT] * 4), predicted("b.jsonl", [NONE] * 4), truth(4))
    assert found["MR-full-R1@0.5"].difference.mean == -100
    assert (found["MR-full-mAP"].a, found["MR-full-mAP"].b) == (100, 0)
    turned = compare_files(predicted("a.jsonl", [NONE] * 4), predicted("b.jsonl", [RIGHT] * 4), truth(4))
    assert turned["MR-full-R1@0.5"].difference.mean == 100


def test_a_missing_saliency_counts_as_0(tmp_path, truth, predicted):
    rated = truth(4, relevant_clip_ids=[5], saliency_scores=[[4, 4, 4]])
    best = [float(k == 5) for k in range(75)]
    files = predicted("a.jsonl", [RIGHT] * 4, best), predicted("b.jsonl", [RIGHT] * 4)
    found = compare_files(*files, rated)
    assert (found["HL-min-VeryGood-mAP"].a, found["HL-min-VeryGood-mAP"].b) == (100, 0)
    assert (found["HL-min-VeryGood-Hit1"].a, found["HL-min-VeryGood-Hit1"].b) == (100, 0)


def test_a_missing_saliency_of_a_highlight_set_counts_as_0(tmp_path, predicted):
    rows = [{"qid": i, "query": "q", "vid": f"v{i}", "duration": 6, "domain": "dog"} for i in range(2)]
    labelled = write(tmp_path / "truth.jsonl", [{**row, "label": [[1], [0], [0]]} for row in rows])
    a, b = predicted("a.jsonl", [NONE] * 2, [1, 0, 0]), predicted("b.jsonl", [NONE] * 2)
    found = compare_files(a, b, labelled, "youtube_highlights")["mAP"]
    assert (found.a, found.b) == (100, 0)


def test_where_neither_file_answers_there_is_nothing_to_compare(truth, predicted):
    with pytest.raises(NothingToScore, match=r"neither .*a\.jsonl nor .*b\.jsonl answers a query"):
        compare_files(predicted("a.jsonl", [NONE] * 3), predicted("b.jsonl", [NONE] * 3), truth(3))


def test_nothing_to_score_is_an_error(truth, predicted):
    nothing = predicted("a.jsonl", [NONE] * 3)
    with pytest.raises(NothingToScore, match="no window and no saliency score"):
        score_files(nothing, truth(3))
    for more in ((), ("--json",), ("--bootstrap", "100")):
        command = ["evaluate", "--predictions", str(nothing), "--annotations", str(truth(3)), *more]
        result = CliRunner().invoke(app, command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "nothing to score" in result.stderr


def test_the_official_numbers_stay_and_what_they_leave_out_stands_beside_them(truth, predicted):
    some = predicted("a.jsonl", [RIGHT, WRONG, NONE, NONE])
    document = score_files(some, truth(4))
    assert document["brief"]["MR-full-R1@0.5"] == 50
    assert document["left_out"] == {"MR": 2}
    all_answered = score_files(predicted("b.jsonl", [RIGHT, WRONG, WRONG, WRONG]), truth(4))
    assert "left_out" not in all_answered
    assert all_answered["brief"]["MR-full-R1@0.5"] == 25


def test_an_interval_is_about_the_number_that_it_stands_beside(truth, predicted):
    some = read_predictions(predicted("a.jsonl", [RIGHT] * 4 + [WRONG] * 4 + [NONE] * 40))
    answers, protocol = read_annotations(truth(48)), protocol_of("qvhighlights")
    found = intervals(some, answers, protocol, 500)["MR-full-R1@0.5"]
    assert found.mean == score(some, answers, protocol=protocol)["brief"]["MR-full-R1@0.5"] == 50
    assert found.low < 50 < found.high


def test_one_video_is_said_to_have_no_interval(truth, predicted):
    files = ["--predictions", str(predicted("a.jsonl", [RIGHT])), "--annotations", str(truth(1)), "--bootstrap", "100"]
    result = CliRunner().invoke(app, ["evaluate", *files])
    assert result.exit_code == 0
    assert "one video has no 95 % interval" in result.stderr
    assert "MR-full-R1@0.5\t100.00\t\t" in result.stdout
    document = json.loads(CliRunner().invoke(app, ["evaluate", *files, "--json"]).stdout)
    assert document["intervals"]["MR-full-R1@0.5"] == {"mean": 100.0, "low": None, "high": None}


def test_labels_of_a_highlight_set_ask_for_its_name(tmp_path, predicted):
    row = {"qid": 0, "query": "q", "vid": "v0", "duration": 6, "domain": "dog", "label": [[1], [0], [0]]}
    labelled, files = write(tmp_path / "truth.jsonl", [row]), predicted("a.jsonl", [NONE], [1, 0, 0])
    said = "the labels of a highlight set; give --dataset tvsum or --dataset youtube_highlights"
    with pytest.raises(AnnotationError, match=said):
        score_files(files, labelled)
    with pytest.raises(AnnotationError, match=said):
        compare_files(files, files, labelled)
