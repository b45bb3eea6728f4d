"""`spikemba convert`, and every tool that takes predictions: any form gives what the field's own gives."""

import json
import re

import pytest
from typed import fails_in_one_line, run

from pipelines.grounding.formats import FORMATS
from spikemba import Predictions
from spikemba.datasets.predictions.forms import FORMS

WITH_SCORES = [name for name, form in FORMS.items() if "scores" in form.holds]
ROWS = [
    {"qid": 7, "query": "a dog enters", "vid": "v", "pred_relevant_windows": [[1.25, 4, 0.9], [3, 5, 0.25]]},
    {"qid": 9, "query": "a cat sits", "vid": "w", "pred_relevant_windows": [[0, 2.5, 0.75]], "pred_exist_score": 0.5},
]
TRUTH = [
    {"qid": 7, "query": "a dog enters.", "vid": "v", "duration": 30, "relevant_windows": [[1, 4]]},
    {"qid": 9, "query": "a cat sits", "vid": "w", "duration": 20, "relevant_windows": [[10, 20]]},
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with predictions and annotations as the current one."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p.jsonl", ROWS)
    write(tmp_path / "a.jsonl", TRUTH)
    return tmp_path


def converted(*arguments):
    result = run("convert", *arguments)
    assert result.exit_code == 0, result.output
    return result


def windows(path):
    return [[(one.start_s, one.end_s) for one in row.moments] for row in Predictions.from_file(path)]


@pytest.mark.parametrize("to", [*FORMS, "univtg"])
def test_a_file_is_converted_and_back(here, to):
    said = converted("p.jsonl", "--to", to, "--out", "there")
    assert said.stdout == ""
    assert "wrote there" in said.stderr
    converted("there", "--to", "jsonl", "--annotations", "a.jsonl", "--out", "back.jsonl")
    assert windows("back.jsonl") == windows("p.jsonl")
    assert [row.query_id for row in Predictions.from_file("back.jsonl")] == [7, 9]


def test_without_a_file_to_write_the_text_is_printed_and_losses_are_said(here):
    result = converted("p.jsonl", "--to", "timelens", "--annotations", "a.jsonl")
    first = json.loads(result.stdout.splitlines()[0])
    assert first == {
        "v.mp4>>>a dog enters>>>[1.0, 4.0]": {
            "timestamps": [[1.25, 4.0], [3.0, 5.0]],
            "answers": "The event happens in 1.25 - 4.0, 3.0 - 5.0 seconds.",
            "duration": 30,
            "qid": 7,
        }
    }
    assert result.stderr.splitlines() == [
        "2 rows' scores left out: TimeLens has none",
        "1 existence score left out: TimeLens has none",
    ]
    assert "--annotations FILE adds it" in converted("p.jsonl", "--to", "timelens").stderr


@pytest.mark.parametrize("form", [name for name in FORMATS if name != "json"])
def test_every_format_of_ground_is_made_of_predictions(form, here, make_video):
    import numpy as np

    if form == "otio":
        pytest.importorskip("opentimelineio")
    for name in ("v.mp4", "w.mp4"):
        make_video(name, [np.full((32, 32, 3), i, np.uint8) for i in range(50)], fps=10)
    result = converted("p.jsonl", "--to", form, "--out", "made", "--videos", ".")
    suffix = FORMATS[form][0]
    assert sorted(path.name for path in (here / "made").iterdir()) == [f"v{suffix}", f"w{suffix}"]
    text = (here / "made" / f"v{suffix}").read_text()
    assert "a dog enters" in text
    assert result.stderr.count("wrote ") == 2


def test_subtitles_need_no_videos_and_a_table_holds_all(here):
    converted("p.jsonl", "--to", "srt", "--out", "subtitles")
    assert "00:00:01,250 --> 00:00:04,000" in (here / "subtitles" / "v.srt").read_text()
    table = converted("p.jsonl", "--to", "csv").stdout.splitlines()
    assert table[1:] == ["v,a dog enters,1,1.250,4.000,0.9000,,", "v,a dog enters,2,3.000,5.000,0.2500,,",
                         "w,a cat sits,1,0.000,2.500,0.7500,0.5000,"]  # fmt: skip


def test_moments_behind_the_end_of_their_video_stand_in_no_subtitles(here):
    said = {"v.mp4>>>a dog>>>[1, 2]": {"timestamps": [[40, 50]], "answers": "I do not know.", "duration": 30}}
    write(here / "t.jsonl", [said])
    result = converted("t.jsonl", "--to", "vtt")
    assert result.stdout == "WEBVTT\n"
    assert "1 answer names no time" in result.stderr
    assert "left out 1 moment behind the video's end" in result.stderr


def test_an_answer_whose_times_are_not_read_is_said_on_every_way(here):
    rows = [{key: row[key] for key in ("qid", "query", "vid")} | {"answer": "from 5s to 9s"} for row in ROWS]
    write(here / "w.jsonl", rows)
    said = "2 of 2 answers hold digits and no moment: no two times are there by TimeLens' rules, as qid 7"
    assert said in converted("w.jsonl", "--to", "jsonl").stderr
    assert said in run("evaluate", "--predictions", "w.jsonl", "--annotations", "a.jsonl").stderr


def test_several_files_are_one(here):
    for row in ROWS:
        write(here / f"part_{row['qid']}.jsonl", [row])
    converted("part_7.jsonl", "part_9.jsonl", "--to", "jsonl", "--out", "all.jsonl")
    assert windows("all.jsonl") == windows("p.jsonl")
    assert "part_7.jsonl, line 1 already" in fails("part_7.jsonl", "part_7.jsonl", "--to", "json")


def fails(*arguments):
    """What a conversion says that exits with 1 and writes nothing."""
    result = run("convert", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "timelense"), "no form or format is called 'timelense'; did you mean 'timelens'?"),
        (("--to", "json", "--from", "jsn"), "no form of predictions is called 'jsn'; there are: "),
        (("--to", "edl"), "edl counts frames of the videos, and 'v' is no file; give --videos DIR"),
        (("--to", "srt"), "srt is a file per video, and there are 2; give --out DIR"),
        (("--to", "json", "--from", "timelens"), "line 1: "),
        (("--to", "json", "--out", "."), "--out . is a folder"),
        (("--to", "json", "--videos", "."), "no video below . is called 'v'"),
        (("--to", "json", "--units", "frames"), "give --fps N, or --videos DIR"),
        (("--to", "json", "--units", "fractions"), "2 rows have no duration, as qid 7 of video 'v'"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_a_line(here, arguments, said):
    assert said in fails("p.jsonl", *arguments)


def test_moments_that_end_before_they_begin_are_refused_or_left_out(here):
    write(here / "b.jsonl", [ROWS[0] | {"pred_relevant_windows": [[4, 1, 0.9], [3, 5, 0.5]]}])
    said = fails("b.jsonl", "--to", "json", "--out", "x.json")
    assert "1 bad row: line 1: moment [4, 1] ends before it begins" in said
    assert not (here / "x.json").exists()
    result = converted("b.jsonl", "--to", "json", "--drop-faulty", "--out", "x.json")
    assert "1 moment left out, as line 1" in result.stderr
    assert windows("x.json") == [[(3, 5)]]


def test_that_rows_name_no_video_is_said_where_one_should_stand(here):
    bare = {"query": "a dog enters", "pred_relevant_windows": [[1, 2, 0.5]], "pred_saliency_scores": []}
    write(here / "l.jsonl", [bare, bare | {"query": "a cat sits"}])
    said = "2 rows name no video, and none stands in the field's jsonl; --annotations FILE adds it, or --video NAME"
    assert said in converted("l.jsonl", "--to", "jsonl").stderr
    for cured in (("--annotations", "a.jsonl"), ("--video", "v")):
        assert "no video" not in converted("l.jsonl", "--to", "jsonl", *cured).stderr
    assert converted("l.jsonl", "--to", "lighthouse").stderr == ""


def test_fractions_of_the_duration_are_seen_and_converted(here):
    parts = [[0.1, 0.5, 1.0], [0.2, 0.25, 0.5], [0.0, 1.0, 0.1]]
    write(here / "f.jsonl", [ROWS[0] | {"pred_relevant_windows": parts}])
    assert "all 3 moments lie between 0 and 1" in fails("f.jsonl", "--to", "json")
    how = ("--units", "fractions", "--annotations", "a.jsonl")
    converted("f.jsonl", "--to", "json", *how, "--out", "s.json")
    assert windows("s.json") == [[(3, 15), (6, 7.5), (0, 30)]]


def test_numbers_of_another_table_are_given_by_no_command(here):
    write(here / "other.jsonl", [ROWS[0] | {"query": "a bird sings"}, ROWS[1]])
    truth = "--annotations", "a.jsonl"
    asked = "sentence 'a bird sings', annotated 'a dog enters.'"
    for command in (
        ("evaluate", "--predictions", "other.jsonl", *truth),
        ("evaluate", "--predictions", "other.jsonl", *truth, "--check"),
        ("compare", "p.jsonl", "other.jsonl", *truth),
        ("convert", "other.jsonl", "--to", "json", *truth),
    ):
        assert asked in fails_in_one_line(*command)


def test_a_form_that_could_be_two_is_asked_for_with_a_command_that_works(here):
    import shlex

    write(here / "both.jsonl", [ROWS[0] | {"answer": "from 1 to 2"}])
    said = fails_in_one_line("evaluate", "--predictions", "both.jsonl", "--annotations", "a.jsonl")
    command = shlex.split(re.findall(r"`spikemba ([^`]*)`", said)[-1])
    converted(*["text" if word == "FORM" else word for word in command[1:]])
    assert windows("OUT.jsonl") == [[(1, 2)]]


def scored(path, *options):
    result = run("evaluate", "--predictions", path, "--annotations", "a.jsonl", "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_scored_compared_and_reported_as_the_fields_own(here, form):
    converted("p.jsonl", "--to", form, "--out", "other")
    ours, theirs = scored("p.jsonl"), scored("other", "--report", "page.html")
    same = ours if form in WITH_SCORES else {"full": {"MR-R1": ours["full"]["MR-R1"]}}
    for part, of_part in same.items():
        assert theirs[part] == of_part or {name: theirs[part][name] for name in of_part} == of_part
    assert "a dog enters" in (here / "page.html").read_text()
    compared = run("compare", "p.jsonl", "other", "--annotations", "a.jsonl", "--json")
    difference = json.loads(compared.stdout)["MR-full-R1@0.5"]["difference"]
    assert (compared.exit_code, difference["mean"]) == (0, 0)


@pytest.mark.parametrize(
    ("sample", "truth", "dataset"),
    [
        ("qvhighlights_val_sample_preds", "highlight_val_release", "qvhighlights"),
        ("soccer_gmr_sample_preds", "soccer_gmr_test", "gmr"),
    ],
)
def test_real_predictions_have_the_official_numbers_in_another_form(shared, tmp_path, sample, truth, dataset):
    predictions, annotations = shared / "predictions" / f"{sample}.jsonl", shared / "annotations" / f"{truth}.jsonl"
    converted(predictions, "--to", "json", "--out", tmp_path / "p.json")
    files = ("--annotations", annotations, "--dataset", dataset, "--json")
    own = json.loads(run("evaluate", "--predictions", predictions, *files).stdout)
    other = json.loads(run("evaluate", "--predictions", tmp_path / "p.json", *files).stdout)
    assert other == own
    official = json.loads((shared / "predictions" / f"{sample}_metrics.json").read_text())
    if dataset == "qvhighlights":
        assert {name: other["brief"][name] for name in official["brief"]} == official["brief"]


def test_real_answers_of_timelens_have_the_numbers_of_its_evaluation(shared, tmp_path):
    """R1 at three limits, as TimeLens takes them: of the first window alone."""
    predictions = shared / "predictions" / "qvhighlights_val_sample_preds.jsonl"
    annotations = shared / "annotations" / "highlight_val_release.jsonl"
    converted(predictions, "--to", "timelens", "--annotations", annotations, "--out", tmp_path / "t.jsonl")
    files = ("--annotations", annotations, "--dataset", "charades_sta", "--json")
    own = json.loads(run("evaluate", "--predictions", predictions, *files).stdout)
    other = json.loads(run("evaluate", "--predictions", tmp_path / "t.jsonl", *files).stdout)
    assert other["full"]["MR-R1"] == own["full"]["MR-R1"]
