"""Any predictions on any benchmark, from the command line: the annotators' oracles and fixed orders, to the digit."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from spikemba_cli.main import app

ANNOTATIONS = {
    "qvhighlights": "highlight_val_release",
    "charades_sta": "charades_test_release",
    "tacos": "tacos_test_release",
    "tvsum": "tvsum_val_release",
    "youtube_highlights": "youtube_highlight_val_release",
}


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def evaluate(shared, tmp_path):
    """Scores what `answer` says to each row of a benchmark's real annotations; the JSON document."""

    def evaluate(dataset, answer, *options):
        annotations = shared / "annotations" / f"{ANNOTATIONS[dataset]}.jsonl"
        rows = [{"qid": row["qid"], "vid": row["vid"], **answer(row)} for row in rows_of(annotations)]
        files = ("--predictions", write(tmp_path / "p.jsonl", rows), "--annotations", annotations)
        result = run("evaluate", "--dataset", dataset, *files, "--json", *options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return evaluate


def saliency(of_row):
    return lambda row: {"pred_relevant_windows": [], "pred_saliency_scores": [float(x) for x in of_row(row)]}


def window(start, end):
    return lambda row: {"pred_relevant_windows": [[start * row["duration"], end * row["duration"], 1.0]]}


TVSUM_ORACLE = {
    "BK": 91.02,
    "BT": 84.33,
    "DS": 77.64,
    "FM": 74.68,
    "GA": 92.42,
    "MS": 77.85,
    "PK": 86.56,
    "PR": 82.39,
    "VT": 85.44,
    "VU": 91.13,
}
TVSUM_FORWARD = {
    "BK": 29.08,
    "BT": 37.53,
    "DS": 22.94,
    "FM": 46.88,
    "GA": 77.49,
    "MS": 9.35,
    "PK": 34.92,
    "PR": 12.57,
    "VT": 15.19,
    "VU": 75.19,
}
YOUTUBE_FORWARD = {
    "dog": 39.95,
    "gymnastics": 63.71,
    "parkour": 63.33,
    "skating": 33.48,
    "skiing": 66.05,
    "surfing": 46.76,
}


@pytest.mark.parametrize(
    ("dataset", "answer", "average", "domains"),
    [
        ("tvsum", lambda row: np.mean(row["label"], axis=1), 84.35, TVSUM_ORACLE),
        ("tvsum", lambda row: -np.arange(len(row["label"])), 36.11, TVSUM_FORWARD),
        ("tvsum", lambda row: np.arange(len(row["label"])), 26.44, None),
        ("youtube_highlights", lambda row: -np.arange(len(row["label"])), 52.21, YOUTUBE_FORWARD),
        ("youtube_highlights", lambda row: np.arange(len(row["label"])), 54.11, None),
    ],
)
def test_known_orders_of_the_highlight_sets(evaluate, dataset, answer, average, domains):
    document = evaluate(dataset, saliency(answer))
    assert set(document) == {"mAP", "domains"}
    assert document["mAP"] == pytest.approx(average, abs=0.005 + 1e-9)
    if domains:
        assert document["domains"] == pytest.approx(domains, abs=0.005 + 1e-9)


@pytest.mark.parametrize(
    ("dataset", "start", "end", "r1", "miou"),
    [
        ("charades_sta", 0, 1, [35.00, 0.43, 0.00], 27.13),
        ("charades_sta", 1 / 3, 2 / 3, [26.80, 14.57, 5.11], 19.11),
        ("tacos", 0, 1, [5.90, 1.55, 0.77], 8.76),
        ("tacos", 1 / 3, 2 / 3, [9.32, 4.60, 0.45], 7.71),
    ],
)
def test_a_fixed_part_of_each_video(evaluate, dataset, start, end, r1, miou):
    brief = evaluate(dataset, window(start, end))["brief"]
    assert [brief[f"MR-full-R1@{limit}"] for limit in (0.3, 0.5, 0.7)] == r1
    assert brief["MR-full-mIoU"] == miou


def test_the_mean_of_the_raters_on_qvhighlights(evaluate):
    def oracle(row):
        mean = np.zeros(int(row["duration"] / 2))
        mean[row["relevant_clip_ids"]] = np.mean(row["saliency_scores"], axis=1)
        return mean - 1e-6 * np.arange(len(mean))  # of equal clips the earlier first

    document = evaluate("qvhighlights", saliency(oracle))
    assert document["HL-min-VeryGood"] == {"HL-mAP": 63.61, "HL-Hit1": 95.68}
    assert set(document) == {"brief", "HL-min-Fair", "HL-min-Good", "HL-min-VeryGood"}


def test_qvhighlights_is_scored_without_its_server(shared, tmp_path):
    annotations = shared / "annotations" / "highlight_test_with_gt.jsonl"
    rows = [{"qid": row["qid"], "vid": row["vid"], **window(0, 1)(row)} for row in rows_of(annotations)]
    files = ("--predictions", write(tmp_path / "p.jsonl", rows), "--annotations", annotations)
    brief = json.loads(run("evaluate", *files, "--json").stdout)["brief"]
    assert (brief["MR-full-R1@0.5"], brief["MR-full-mAP"]) == (9.99, 5.63)


def test_the_official_file_of_tvsum_is_scored_against_as_it_is(shared, tmp_path):
    jsonl, mat = (shared / "annotations" / name for name in ("tvsum_val_release.jsonl", "ydata-tvsum50.mat"))
    answer = saliency(lambda row: np.mean(row["label"], axis=1))
    rows = [{"qid": row["qid"], "vid": row["vid"], **answer(row)} for row in rows_of(jsonl)]
    files = ("--predictions", write(tmp_path / "p.jsonl", rows), "--annotations", mat)
    document = json.loads(run("evaluate", "--dataset", "tvsum", *files, "--json").stdout)
    assert document["mAP"] == pytest.approx(84.35, abs=0.005)


# Small files: what is printed, checked and compared


@pytest.fixture
def files(tmp_path):
    """Annotations of six queries about three videos, and two files of predictions, the second better."""
    truth = [
        {"qid": i, "query": "q", "vid": f"v{i % 3}", "duration": 20, "relevant_windows": [[4, 10]]}
        | {"relevant_clip_ids": [2, 3, 4], "saliency_scores": [[4, 4, 4]] * 3}
        for i in range(6)
    ]
    scores = [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]

    def rows(windows):
        return [
            {"qid": i, "vid": f"v{i % 3}", "pred_relevant_windows": [[*w, 0.9]], "pred_saliency_scores": scores}
            for i, w in enumerate(windows)
        ]

    write(tmp_path / "truth.jsonl", truth)
    write(tmp_path / "a.jsonl", rows([[0, 20]] * 6))
    write(tmp_path / "b.jsonl", rows([[4, 10]] * 5 + [[0, 20]]))
    return tmp_path


def test_two_files_of_predictions_are_compared_query_by_query(files):
    options = (files / "a.jsonl", files / "b.jsonl", "--annotations", files / "truth.jsonl")
    document = json.loads(run("compare", *options, "--json").stdout)
    r1 = document["MR-full-R1@0.5"]
    assert (r1["a"], r1["better"], r1["worse"]) == (0, 5, 0)
    assert r1["b"] == pytest.approx(100 * 5 / 6)
    assert 0 < r1["difference"]["low"] <= r1["difference"]["mean"] <= r1["difference"]["high"]
    assert document["HL-min-VeryGood-mAP"]["p"] == 1
    table = run("compare", *options).stdout.splitlines()
    assert table[0].split("\t") == ["metric", "A", "B", "B - A", "95 % interval", "p", "better", "worse"]


def test_the_comparison_means_what_the_document_prints(shared, tmp_path):
    predictions = shared / "predictions" / "qvhighlights_val_sample_preds.jsonl"
    annotations = shared / "annotations" / "highlight_val_release.jsonl"
    files = ("--annotations", annotations, "--json", "--resamples", 100)
    compared = json.loads(run("compare", predictions, predictions, *files).stdout)
    stored = json.loads((shared / "predictions" / "qvhighlights_val_sample_preds_metrics.json").read_text())["brief"]
    assert {name: round(of["a"], 2) for name, of in compared.items()} == {name: stored[name] for name in compared}
    assert len(compared) == 7


def test_intervals_stand_beside_the_numbers(files):
    options = ("--predictions", files / "b.jsonl", "--annotations", files / "truth.jsonl", "--bootstrap", 200)
    table = run("evaluate", *options).stdout.splitlines()
    assert table[0].split("\t") == ["metric", "%", "low", "high"]
    found = json.loads(run("evaluate", *options, "--json").stdout)["intervals"]["MR-full-R1@0.5"]
    assert found["low"] <= found["mean"] <= found["high"]


@pytest.mark.parametrize("n", [1, 99, -1])
def test_too_few_resamples_are_refused(files, n):
    options = ("--predictions", files / "b.jsonl", "--annotations", files / "truth.jsonl", "--bootstrap", n)
    refused = run("evaluate", *options)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{n} tell no interval; expected 100 or more, or 0 for none" in " ".join(
        refused.stderr.replace("│", " ").split()
    )


def test_the_table_says_how_many_queries_were_scored(files):
    options = ("--predictions", files / "b.jsonl", "--annotations", files / "truth.jsonl", "--table", "text")
    n = len(rows_of(files / "truth.jsonl"))
    assert f"these are {n} queries and QVHighlights has" in run("evaluate", *options).stderr


def test_a_missing_query_is_an_error_where_all_are_scored(files):
    some = write(files / "some.jsonl", rows_of(files / "a.jsonl")[1:])
    refused = run("evaluate", "--predictions", some, "--annotations", files / "truth.jsonl")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "1 annotated query has no prediction, as qid 0" in refused.stderr


def test_faults_of_predictions_are_warned_of_and_can_be_checked_alone(files):
    rows = rows_of(files / "a.jsonl")
    rows[0]["pred_relevant_windows"] = []
    rows[1]["pred_relevant_windows"] = [[0, 25, 0.5]]
    rows[2]["pred_saliency_scores"] = [0.1]
    options = ("--annotations", files / "truth.jsonl", "--predictions")
    scored = run("evaluate", *options, write(files / "bad.jsonl", rows))
    assert scored.exit_code == 0
    for part in ("qid 0: no window", "[0, 25] in 20 s", "1 of 10"):
        assert part in scored.stderr
    checked = run("evaluate", *options, write(files / "bad.jsonl", rows[1:]), "--check")
    assert (checked.exit_code, checked.stdout) == (1, "")
    assert "1 annotated query has no prediction, as qid 0" in checked.stderr
    assert run("evaluate", *options, files / "b.jsonl", "--check").exit_code == 0


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_our_numbers_stand_above_the_published_ones(files, form):
    options = ("--predictions", files / "b.jsonl", "--annotations", files / "truth.jsonl", "--table", form)
    lines = run("evaluate", *options).stdout.splitlines()
    assert "R1@0.5" in lines[0]
    assert "83.33" in lines[2 if form == "markdown" else 1]
    assert any("Moment-DETR" in line and "52.89" in line for line in lines)


def test_an_unknown_benchmark_lists_the_known_ones(files):
    options = ("--predictions", files / "b.jsonl", "--annotations", files / "truth.jsonl", "--dataset", "tvsumm")
    result = run("evaluate", *options)
    assert result.exit_code == 1
    assert "no benchmark is called 'tvsumm'; there are: charades_sta, gmr, na_vmr, qvhighlights, tacos" in result.stderr


def test_a_highlight_set_needs_labels(files):
    options = ("--predictions", files / "b.jsonl", "--annotations", files / "truth.jsonl", "--dataset", "tvsum")
    result = run("evaluate", *options)
    assert result.exit_code == 1
    assert "6 annotations have no label or no domain, as qid 0" in result.stderr
