"""A video that does not show what is asked: what is said and written in every form, and who comes first in a folder."""

import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import opentimelineio
import pytest
import srt
import webvtt
from typer.testing import CliRunner

import spikemba
from pipelines.grounding.answer_files import answer
from pipelines.grounding.answer_order import best_first, best_of, best_score_first, likeliest_first
from pipelines.grounding.formats import FORMATS
from pipelines.grounding.timeline import draw_timeline
from pipelines.reports.case import Case
from pipelines.reports.report import ReportContent, write_report
from pipelines.tasks.grounding.calibrate import calibrate
from spikemba.errors import SpikeMbaError
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment, Window
from spikemba_cli.main import app

QUERY = "a red circle enters"
KNOWS = "mini knows drawn shapes that move, and nothing else of the world"


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def one_line(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def unsure(telling, tmp_path_factory):
    """A calibrated checkpoint to which nothing is sure enough."""
    folder = shutil.copytree(telling, tmp_path_factory.mktemp("unsure") / "run")
    calibrate(folder, "train", min_exists=1.0)
    return folder


@pytest.fixture(scope="module")
def video(corpus):
    return sorted((corpus / "videos").glob("*plain*.mp4"))[0]


@pytest.fixture(scope="module")
def several(corpus, tmp_path_factory):
    """A folder of some videos."""
    folder = tmp_path_factory.mktemp("several")
    for path in sorted((corpus / "videos").iterdir())[:5]:
        shutil.copy(path, folder)
    return folder


def found(*scores, exists, min_exists=0.5, name="a.mp4", query=QUERY):
    none = np.linspace(0, 1, 4, dtype=np.float32)
    moments = tuple(Moment(float(i), i + 1.0, score) for i, score in enumerate(scores))
    answered = Answer(moments, none, none, (), np.zeros((4, 1), np.bool_), exists)
    return Grounding(Path(name), query, 8.0, 2.0, answered, "m", min_exists)


def test_a_result_without_a_moment_says_so():
    nothing = found(0.9, 0.4, exists=0.03)
    assert not nothing.is_there
    assert nothing.moments == ()
    assert len(nothing.answer.moments) == 2  # they can still be looked at
    assert str(nothing).splitlines() == [f'a.mp4: "{QUERY}"', "  no such moment (0.03)"]
    assert nothing.to_dict()["exists"] == 0.03
    assert nothing.to_dict()["moments"] == []


@pytest.mark.parametrize(
    ("exists", "min_exists", "there"),
    [(0.5, 0.5, True), (0.499, 0.5, False), (0.0, 0.0, True), (0.1, None, True), (None, 0.5, True), (None, None, True)],
)
def test_the_limit_itself_is_enough_and_nobody_is_refused_unasked(exists, min_exists, there):
    assert found(0.9, exists=exists, min_exists=min_exists).is_there == there


def test_the_likeliest_come_first_and_what_nobody_tells_stays_in_order():
    given = [
        found(0.9, exists=0.2, name="absent"),
        found(0.3, exists=0.8, name="second"),
        found(0.5, exists=0.8, name="first of equals"),
        found(0.1, exists=0.95, name="surest"),
        found(0.9, exists=0.1, name="farthest"),
    ]
    order = ["surest", "first of equals", "second", "absent", "farthest"]
    assert [str(one.video) for one in sorted(given, key=likeliest_first)] == order
    untold = [found(score, exists=None, name=str(score)) for score in (0.2, 0.9, 0.5)]
    assert sorted(untold, key=likeliest_first) == untold


def test_where_scores_are_probabilities_the_best_score_comes_first():
    given = [
        found(0.3, exists=0.9, name="low"),
        found(0.9, exists=0.1, name="absent"),
        found(0.8, 0.7, exists=0.6, name="high"),
    ]
    assert [str(one.video) for one in sorted(given, key=best_score_first)] == ["high", "low", "absent"]


def test_the_order_is_that_of_the_best_score_where_scores_are_probabilities_and_else_of_existence():
    given = [found(0.3, exists=0.9, name="surer"), found(0.8, exists=0.6, name="better")]
    assert [str(one.video) for one in sorted(given, key=best_first)] == ["surer", "better"]
    calibrated = [replace(one, calibrated=True) for one in given]
    assert [str(one.video) for one in sorted(calibrated, key=best_first)] == ["better", "surer"]


def test_the_best_of_all_videos_are_one_list_per_sentence_and_overlapping_ones_take_one_place():
    pair = found(0.8, 0.7, exists=0.9, name="a")
    close = (Moment(0.0, 4.0, 0.95), Moment(0.2, 4.0, 0.94), Moment(6.0, 8.0, 0.1))
    twice = replace(pair, video=Path("b"), answer=replace(pair.answer, moments=close))
    none = [found(0.9, exists=0.2, name="a", query="x"), found(0.9, exists=0.1, name="b", query="x")]
    kept = best_of([twice, pair, *none], 2)
    scores = [(str(one.video), one.query, [m.score for m in one.moments]) for one in kept]
    assert scores == [("b", QUERY, [0.95]), ("a", QUERY, [0.8]), ("a", "x", [])]


def test_the_best_of_all_videos_are_printed_in_one_order_and_need_probabilities(trained, several):
    asked = ("ground", several, QUERY, "--checkpoint", "mini", "--all", "--best", 3)
    result = run(*asked)
    rows = [line.split("\t") for line in result.stdout.splitlines()[1:]]
    assert len(rows) == 3, result.output
    scores = [float(row[4].lstrip("<")) for row in rows]
    assert scores == sorted(scores, reverse=True)
    documents = json.loads(run(*asked, "--json").stdout)
    assert sum(len(one["moments"]) for one in documents) == 3
    refused = run("ground", several, QUERY, "--checkpoint", trained, "--best", 3)
    assert refused.exit_code == 1
    assert "are no probabilities; run `spikemba calibrate RUN`" in one_line(refused.stderr)


def test_a_folder_lists_the_likeliest_first_in_table_and_json(telling, several):
    calls = run("ground", several, QUERY, "--checkpoint", telling, "--min-exists", 0.5, "--top", 1)
    listed = [line.split("\t")[0] for line in calls.stdout.splitlines()[1:]]
    documents = json.loads(run("ground", several, QUERY, "--checkpoint", telling, "--min-exists", 0.5, "--json").stdout)
    assert [Path(one["video"]).name for one in documents] == listed
    exists = [one["exists"] for one in documents]
    assert len(set(exists)) > 3
    assert exists == sorted(exists, reverse=True)
    assert all(bool(one["moments"]) == (one["exists"] >= 0.5) for one in documents)


def test_questions_about_one_file_stay_in_their_order(telling, video):
    grounder, queries = spikemba.load(telling), [QUERY, "a blue star spins", "the green ring leaves"]
    assert [one.query for one in answer(grounder, [video], queries).found] == queries


def test_the_table_of_one_file(unsure, video):
    result = run("ground", video, QUERY, "--checkpoint", unsure)
    title, line = result.stdout.splitlines()
    assert title == "start_s\tend_s\tscore"
    assert line.startswith("no such moment (0.")
    assert len(result.stderr.splitlines()) == 1
    assert KNOWS in result.stderr
    shown = run("ground", video, QUERY, "--checkpoint", unsure, "--all", "--top", 2).stdout.splitlines()
    titles, *rows = (line.split("\t") for line in shown)
    assert len(rows) == 2
    assert {len(row) for row in rows} == {len(titles)}
    late = any(float(row[1]) >= 60 for row in rows)
    assert titles == ["start_s", "end_s", "score", *(["time"] if late else [])]
    every = run("ground", video, QUERY, "--checkpoint", unsure, "--min-exists", 0, "--top", 2)
    assert every.stdout.splitlines() == shown


def test_json_has_exists_always(unsure, trained, video):
    document = json.loads(run("ground", video, QUERY, "--checkpoint", unsure, "--json").stdout)
    assert 0 <= document["exists"] < 1
    assert document["moments"] == []
    every = json.loads(run("ground", video, QUERY, "--checkpoint", unsure, "--json", "--all").stdout)
    assert every["exists"] == document["exists"]
    assert every["moments"]
    assert json.loads(run("ground", video, QUERY, "--checkpoint", trained, "--json").stdout)["exists"] is None


def read_otio(text):
    assert not list(opentimelineio.adapters.read_from_string(text, "otio_json").find_clips())


def read_xml(text):
    assert ElementTree.fromstring(text) is not None


EMPTY = {
    "csv": lambda text: csv_rows(text) == [] or pytest.fail(text),
    "srt": lambda text: list(srt.parse(text)) == [] or pytest.fail(text),
    "vtt": lambda text: list(webvtt.from_string(text)) == [] or pytest.fail(text),
    "chapters": lambda text: text == ";FFMETADATA1\n" or pytest.fail(text),
    "otio": read_otio,
    "fcpxml": read_xml,
    "xml": read_xml,
    "edl": lambda text: opentimelineio.adapters.read_from_string(text, "cmx_3600"),
    "markers.csv": lambda text: csv_rows(text) == [] or pytest.fail(text),
    "json": lambda text: json.loads(text),
}
"""Form -> reads a file of it in which there is nothing."""


def csv_rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_form_is_tried():
    assert set(EMPTY) == set(FORMATS)


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"json"}))
def test_every_form_of_nothing_is_valid_and_the_note_says_it(unsure, video, tmp_path, form):
    printed = run("ground", video, QUERY, "--checkpoint", unsure, "--format", form)
    assert one_line(printed.stderr).startswith(f"{video.name}: no such moment (0.")
    EMPTY[form](printed.stdout)
    written = run("ground", video, QUERY, "--checkpoint", unsure, "--format", form, "--out", tmp_path / "out")
    assert f"{video.name}: no such moment (0." in one_line(written.stderr)
    (path,) = (tmp_path / "out").iterdir()
    EMPTY[form](path.read_text("utf-8"))


@pytest.mark.parametrize("form", ["otio", "fcpxml", "xml", "edl", "markers.csv"])
def test_markers_of_nothing_lay_down_the_video_alone(unsure, video, form):
    printed = run("ground", video, QUERY, "--checkpoint", unsure, "--format", form, "--shape", "markers")
    assert printed.exit_code == 0
    if form == "otio":
        timeline = opentimelineio.adapters.read_from_string(printed.stdout, "otio_json")
        assert [len(clip.markers) for clip in timeline.find_clips()] == [0]


def test_several_answers_without_a_moment_are_counted(unsure, several):
    n = len(list(several.iterdir()))
    printed = run("ground", several, QUERY, "--checkpoint", unsure, "--format", "csv")
    assert f"{n} of {n} answers: no such moment" in one_line(printed.stderr)


def test_csv_has_existence_beside_each_moment():
    rows = csv_rows(FORMATS["csv"][1]([found(0.9, 0.4, exists=0.8), found(0.7, exists=0.1), found(0.6, exists=None)]))
    assert [(row["rank"], row["exists"]) for row in rows] == [("1", "0.8000"), ("2", "0.8000"), ("1", "")]


def test_nothing_is_cut_and_the_picture_says_why(unsure, video, tmp_path):
    cuts, picture = tmp_path / "cuts", tmp_path / "p.svg"
    result = run("ground", video, QUERY, "--checkpoint", unsure, "--cut", cuts, "--plot", picture)
    assert result.exit_code == 0
    assert not list(cuts.iterdir()) if cuts.exists() else True
    assert f"wrote {picture}" in one_line(result.stderr)


@pytest.mark.parametrize(("exists", "said"), [(0.03, True), (0.97, False)])
def test_a_picture_says_that_there_is_no_such_moment(video, tmp_path, monkeypatch, exists, said):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    draw_timeline(tmp_path / "p.svg", [replace(found(0.5, exists=exists), video=video)])
    assert ("no such moment (0.03)" in (tmp_path / "p.svg").read_text("utf-8")) == said


@pytest.mark.parametrize(
    ("exists", "truth", "words"),
    [
        (0.03, (), ["no such moment", "no such moment (0.03)"]),
        (0.03, (Window(0, 2),), ["no such moment (0.03)"]),
        (0.97, (), ["no such moment"]),
        (0.97, (Window(0, 2),), []),
        (0.97, None, []),
    ],
)
def test_a_report_tells_null_queries_from_unknown_truth(video, tmp_path, exists, truth, words):
    answered = found(0.5, exists=exists).answer
    case = Case(QUERY, "a", 8.0, 2.0, answered, truth, 0.5, video)
    page, problems = write_report(tmp_path, ReportContent("t", "l", cases={"": [case]}))
    drawn = page.read_text("utf-8")
    assert not problems
    assert re.findall(r"<div class='words'>(no such[^<]*)<", drawn) == words
    assert ("predicted 0.0 to 1.0 s" in drawn) == (exists > 0.5)


def test_a_checkpoint_that_does_not_tell_says_what_to_do(trained, video, several):
    for place in (video, several):
        result = run("ground", place, QUERY, "--checkpoint", trained, "--min-exists", 0.5)
        assert result.exit_code == 1
        assert result.stdout == ""
        said = one_line(result.stderr)
        assert said.count("cannot know whether a video shows something at all") == 1
        assert "model.heads.exists=true" in said
    assert run("ground", video, QUERY, "--checkpoint", trained, "--min-exists", 0).exit_code == 0


def test_untrained_it_is_said_in_one_line_that_it_cannot_know(random_mini, video):
    asked = ("ground", video, "red dog", "--encoder", "mini", "--weights", f"mini={random_mini}")
    result = run(*asked)
    assert one_line(result.stderr.splitlines()[0]) == (
        "untrained, it cannot know whether a video shows that at all: these are its best moments"
    )
    assert KNOWS in one_line(run(*asked, "--all").stderr)
    refused = run(*asked, "--min-exists", 0.5)
    assert refused.exit_code == 1
    assert "best moments" not in refused.stderr


def test_all_and_a_limit_contradict_each_other(telling, video):
    assert run("ground", video, QUERY, "--checkpoint", telling, "--min-exists", 0.5, "--all").exit_code == 2


def test_python_asks_with_a_limit_of_its_own(unsure, telling, video):
    assert not spikemba.load(unsure).ground(video, QUERY).is_there
    assert spikemba.load(unsure).ground(video, QUERY, min_exists=0).moments
    uncalibrated = spikemba.load(telling).ground(video, QUERY)
    assert uncalibrated.exists is not None
    assert uncalibrated.min_exists is None
    assert uncalibrated.moments
    for wrong in (-0.1, 1.1, float("nan"), "much", True):
        with pytest.raises(SpikeMbaError, match="expected a probability"):
            spikemba.load(telling).ground(video, QUERY, min_exists=wrong)


def test_chapters_of_nothing_load_in_ffmpeg(tmp_path):
    (tmp_path / "c.txt").write_text(FORMATS["chapters"][1]([found(0.5, exists=0.1)]))
    with av.open(str(tmp_path / "c.txt"), format="ffmetadata") as file:
        assert file.chapters() == []
