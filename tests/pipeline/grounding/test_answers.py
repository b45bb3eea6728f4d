"""What people do with moments: formats of other programs, cuts, pictures, folders of videos, files of queries."""

import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import opentimelineio
import pytest
import srt
import webvtt
from typer.testing import CliRunner

from pipelines.grounding import answer_files
from pipelines.grounding.answer_files import AnswerEvents, Outputs, answer
from pipelines.grounding.formats import FORMATS, cues
from pipelines.grounding.output_names import OutputNames
from pipelines.grounding.queries import read_queries
from spikemba.errors import AnnotationError, QueryError, SpikeMbaError, WeightsMissing
from spikemba.files import write_text
from spikemba.grounder import grounder as grounder_module
from spikemba.grounder.grounder import load
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment
from spikemba_cli.main import app


def images(n, size=64):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture
def two(make_video, tmp_path):
    """A folder of two videos."""
    make_video("videos/one.mp4", images(60), fps=5, audio_s=12)
    make_video("videos/two.mp4", images(40), fps=5)
    return tmp_path / "videos"


@pytest.fixture
def grounder(random_mini):
    return load(encoder="mini", weights={"mini": random_mini})


@pytest.fixture
def found(make_video):
    """Three moments of one video, two of which overlap, and words that formats must escape."""
    video = make_video("a=b;c.mp4", images(50), fps=10)
    moments = (Moment(1.25, 2.5, 0.9), Moment(0.0, 0.48, 0.5), Moment(2.0, 4.999, 0.4))
    empty = np.zeros(3, np.float32)
    return [
        Grounding(
            video,
            "a <dog> & #1 = enters;\\ twice",
            5.0,
            2.0,
            Answer(moments, empty, empty, (), np.zeros((3, 1), bool)),
            "m",
        )
    ]


def test_subtitles_load_in_other_parsers(found, tmp_path):
    expected = [(0.0, 0.48), (1.25, 2.5), (2.0, 4.999)]
    parsed = list(srt.parse(FORMATS["srt"][1](found)))
    assert [(s.start.total_seconds(), s.end.total_seconds()) for s in parsed] == expected
    assert parsed[1].content == "a <dog> & #1 = enters;\\ twice (0.90)"
    captions = webvtt.from_string(FORMATS["vtt"][1](found)).captions
    assert [(c.start_in_seconds, c.end_in_seconds) for c in captions] == [(int(a), int(b)) for a, b in expected]
    assert [(c.start, c.end) for c in captions][1] == ("00:00:01.250", "00:00:02.500")


def test_edit_lists_load_in_opentimelineio(found, tmp_path):
    path = tmp_path / "cuts.edl"
    path.write_text(FORMATS["edl"][1](found))
    timeline = opentimelineio.adapters.read_from_file(str(path), rate=30)
    clips = list(timeline.find_clips())
    ranges = [(c.source_range.start_time.to_seconds(), c.source_range.duration.to_seconds()) for c in clips]
    np.testing.assert_allclose(ranges, [(0, 0.48), (1.25, 1.25)], atol=0.04)  # the third overlaps a better one
    assert {clip.name for clip in clips} == {"a=b;c.mp4"}


def test_chapters_load_in_ffmpeg_and_do_not_overlap(found, tmp_path):
    path = tmp_path / "chapters.txt"
    path.write_text(FORMATS["chapters"][1](found))
    with av.open(str(path), format="ffmetadata") as file:
        chapters = file.chapters()
    times = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in chapters]
    assert [tuple(map(float, t)) for t in times] == [(0, 0.48), (1.25, 2.5)]
    assert chapters[0]["metadata"]["title"] == "a <dog> & #1 = enters;\\ twice"


def test_csv_and_json_hold_every_moment(found):
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"][1](found))))
    assert [(row["rank"], row["start_s"]) for row in rows] == [("1", "1.250"), ("2", "0.000"), ("3", "2.000")]
    (document,) = json.loads(FORMATS["json"][1](found))
    assert len(document["moments"]) == 3
    assert [cue.start_s for cue in cues(found)] == [0.0, 1.25, 2.0]


def test_each_video_is_decoded_once_for_all_queries(two, grounder, monkeypatch):
    real, decoded = grounder_module.encode_video, []

    def counting(path, *args):
        decoded.append(path.name)
        return real(path, *args)

    monkeypatch.setattr(grounder_module, "encode_video", counting)
    answers = answer(grounder, [two], ["a dog", "a red dog", "dogs"], cache=False)
    assert decoded == ["one.mp4", "two.mp4"]
    assert [(one.video.name, one.query) for one in answers.found][2:4] == [("one.mp4", "dogs"), ("two.mp4", "a dog")]


def test_moments_are_cut_written_and_drawn(two, grounder, tmp_path):
    outputs = Outputs("srt", out=tmp_path / "out", cut=tmp_path / "cuts", plot=tmp_path / "plots")
    answers = answer(grounder, [two], ["a red dog"], top=1, outputs=outputs)
    names = sorted(str(path.relative_to(tmp_path)) for path in answers.written)
    assert names == [
        "cuts/one_a-red-dog_1.mp4",
        "cuts/two_a-red-dog_1.mp4",
        "out/one.srt",
        "out/two.srt",
        "plots/one.png",
        "plots/two.png",
    ]
    for one in answers.found:
        (moment,) = one.moments
        with av.open(str(tmp_path / "cuts" / f"{one.video.stem}_a-red-dog_1.mp4")) as cut:
            assert bool(cut.streams.audio) == (one.video.stem == "one")
            assert float(cut.duration / av.time_base) == pytest.approx(moment.end_s - moment.start_s, abs=0.2)
    assert (tmp_path / "plots" / "one.png").read_bytes().startswith(b"\x89PNG")


def test_a_bad_video_stops_no_other(two, grounder):
    (two / "bad.mp4").write_text("no video")
    answers = answer(grounder, [two], ["a dog"])
    assert [one.video.name for one in answers.found] == ["one.mp4", "two.mp4"]
    assert [path.name for path in answers.failed] == ["bad.mp4"]


def test_one_picture_for_several_videos_is_refused(two, grounder, tmp_path):
    with pytest.raises(SpikeMbaError, match="is one picture and there are 2 videos"):
        answer(grounder, [two], ["a dog"], outputs=Outputs(plot=tmp_path / "p.png"))


def test_queries_come_from_lines_tables_and_json_lines(tmp_path):
    (tmp_path / "q.txt").write_text("a dog\n\n a cat \na dog\n")
    (tmp_path / "q.csv").write_text("query,video\na dog,x\na cat,y\n")
    (tmp_path / "q.jsonl").write_text('{"query": "a dog", "qid": 1}\n{"query": "a cat"}\n')
    for name in ("q.txt", "q.csv", "q.jsonl"):
        assert read_queries(tmp_path / name) == ["a dog", "a cat"]
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(AnnotationError, match="no query; expected one per line"):
        read_queries(tmp_path / "none.txt")


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_command_line_asks_a_folder_the_queries_of_a_file(two, random_mini, tmp_path):
    (tmp_path / "q.txt").write_text("a dog\na red dog\n")
    how = ("--encoder", "mini", "--weights", f"mini={random_mini}", "--top", 1)
    result = run("ground", two, "--queries", tmp_path / "q.txt", *how, "--json")
    documents = json.loads(result.stdout)
    assert [(d["video"].rpartition("/")[2], d["query"]) for d in documents] == [
        (video, query) for video in ("one.mp4", "two.mp4") for query in ("a dog", "a red dog")
    ]
    assert {d["model"] for d in documents} == {"zero-shot mini"}
    table = run("ground", two, "a dog", *how).stdout.splitlines()
    assert table[0].split("\t") == ["video", "query", "start_s", "end_s", "score"]
    assert len(table) == 3
    subtitles = run("ground", two / "one.mp4", "a dog", *how, "--format", "srt").stdout
    assert len(list(srt.parse(subtitles))) == 1
    assert run("ground", two, "a dog", *how, "--format", "srt").exit_code == 2
    written = run("ground", two, "a dog", *how, "--format", "edl", "--out", tmp_path / "edl")
    assert written.exit_code == 0
    assert written.stdout == ""
    assert sorted(path.name for path in (tmp_path / "edl").iterdir()) == ["one.edl", "two.edl"]


def test_timelines_of_a_folder_are_one_or_one_per_video(two, random_mini, tmp_path):
    how = ("--encoder", "mini", "--weights", f"mini={random_mini}", "--top", 1)
    printed = run("ground", two, "a dog", *how, "--format", "edl").stdout
    assert [line for line in printed.splitlines() if "CLIP NAME" in line] == [
        f"* FROM CLIP NAME: {name}.mp4" for name in ("one", "two")
    ]
    for out, expected in (("all.OTIO", ["all.OTIO"]), ("lists", ["lists/one.otio", "lists/two.otio"])):
        done = run("ground", two, "a dog", *how, "--format", "otio", "--relative", "--out", tmp_path / out)
        assert (done.exit_code, done.stdout) == (0, "")
        assert [line for line in done.stderr.splitlines() if line.startswith("wrote")] == [
            f"wrote {tmp_path / name}" for name in expected
        ]
        for name in expected:
            timeline = opentimelineio.adapters.read_from_string((tmp_path / name).read_text(), "otio_json")
            for clip in timeline.find_clips():
                assert ((tmp_path / name).parent / clip.media_reference.target_url).resolve().parent == two
    marked = run("ground", two / "one.mp4", "a dog", *how, "--format", "fcpxml", "--shape", "markers").stdout
    assert marked.count("<marker ") == marked.count("<asset-clip ") == 1


def test_options_of_timelines_with_another_format_and_other_names_of_files_are_refused(two, random_mini, tmp_path):
    how = ("--encoder", "mini", "--weights", f"mini={random_mini}")
    for option in (("--shape", "cut"), ("--relative",)):
        refused = run("ground", two / "one.mp4", "a dog", *how, "--format", "csv", *option)
        assert refused.exit_code == 2
        assert "csv is no timeline" in refused.stderr
    wrong = run("ground", two / "one.mp4", "a dog", *how, "--format", "xml", "--out", tmp_path / "a.fcpxml")
    assert wrong.exit_code == 1
    said = " ".join(wrong.stderr.split())
    assert "a.fcpxml is named like a file that ends in .fcpxml" in said
    assert "or a file of --format xml, in .xml" in said
    assert not (tmp_path / "a.fcpxml").exists()


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (Outputs(plot=Path("x.html")), r"--plot x.html is named like a file .* expected a folder, or .png"),
        (Outputs(cut=Path("x.mp4")), r"--cut x.mp4 is named like a file"),
        (Outputs("csv", Path("x.json")), r"expected a folder, or a file of --format csv, in .csv"),
        (Outputs("srt", Path("x.srt")), r"one file of srt, which is about one video, and there are 2"),
    ],
)
def test_a_file_named_where_a_folder_is_meant_is_refused_before_any_video_is_read(two, grounder, outputs, said):
    with pytest.raises(SpikeMbaError, match=said):
        answer(grounder, [two], ["a dog"], outputs=outputs)


def test_a_file_of_the_format_holds_all_videos_and_a_picture_may_end_in_capitals(two, grounder, tmp_path):
    made = answer(grounder, [two], ["a dog"], top=1, outputs=Outputs("csv", tmp_path / "all.csv")).written
    assert made == [tmp_path / "all.csv"]
    assert len(made[0].read_text().splitlines()) == 3
    (tmp_path / "p.d").mkdir()
    for name in ("A.PNG", "p.d"):
        outputs = Outputs(plot=tmp_path / name)
        (drawn,) = answer(grounder, [two / "two.mp4"], ["a dog"], top=1, outputs=outputs).written
        assert drawn == (tmp_path / name if name == "A.PNG" else tmp_path / name / "two.png")


def test_tables_show_small_scores_and_long_times_as_people_read_them(found, capsys):
    from pipelines.grounding.answer_files import Answers
    from spikemba_cli.ground import _print_tables

    moments = (Moment(3725.0, 3730.4, 0.00021), Moment(2.0, 5.0, 0.0))
    one = replace(found[0], answer=replace(found[0].answer, moments=moments))
    _print_tables(Answers([one], names={one.video: "a"}), several=False, in_one_order=False)
    titles, first, second = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert titles == ["start_s", "end_s", "score", "time"]
    assert first == ["3725.00", "3730.40", "<0.001", "1:02:05-1:02:10"]
    assert second == ["2.00", "5.00", "0.000", "0:02-0:05"]
    assert "0.0002" in FORMATS["csv"][1]([one])


def test_outputs_of_videos_and_sentences_that_look_alike_lie_apart(make_video, grounder, tmp_path, monkeypatch):
    monkeypatch.setattr(answer_files, "draw_timeline", lambda path, found: write_text(path, ""))
    for i, name in enumerate(("v/a/clip.mp4", "v/b/clip.mp4", "v/x.mov", "v/x.mp4")):
        make_video(name, images(10 + 5 * i), fps=5)
    long = "a red dog that runs along the beach and then "
    sentences = ["🙂", "🙃", "A dog!", "a dog?", long + "swims", long + "sleeps"]
    outputs = Outputs("csv", tmp_path / "out", cut=tmp_path / "cuts", plot=tmp_path / "plots")
    answers = answer(grounder, [tmp_path / "v"], sentences, top=1, outputs=outputs)
    assert not answers.failed
    made = [path for path in tmp_path.rglob("*") if path.is_file() and "v" not in path.relative_to(tmp_path).parts]
    assert sorted(made) == sorted(answers.written)
    assert len(made) == 4 + sum(len(one.moments) for one in answers.found) + 4
    assert len(answers.found) == 4 * len(sentences)
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.csv")} == {
        *("a/clip.csv", "b/clip.csv", "x.mov.csv", "x.mp4.csv")
    }
    again = answer(grounder, [tmp_path / "v"], sentences, top=1, outputs=outputs)
    assert again.written == answers.written
    assert answers.names[tmp_path / "v/a/clip.mp4"] == "a/clip.mp4"


def test_no_output_is_written_over_a_video_that_is_asked(make_video, tmp_path):
    videos = {"clip": tmp_path / "clip.mp4", "clip_a-dog_1": tmp_path / "clip_a-dog_1.mp4"}
    names = OutputNames(videos, ["a dog"])
    first = names.of_moment(tmp_path, "clip", "a dog", 1, suffix=".mp4")
    assert first not in videos.values()
    assert names.of_video(tmp_path, "Ä", ".csv") != names.of_video(tmp_path, "ä", ".csv")  # one file on some disks


def test_one_sentence_of_several_that_cannot_be_asked_stops_no_other(two, grounder):
    told = []
    events = AnswerEvents(refused=lambda sentence, problem: told.append(problem))
    answers = answer(grounder, [two], ["a dog", "word " * 500, "a cat"], top=1, events=events)
    assert [one.query for one in answers.found] == ["a dog", "a cat"] * 2
    assert told == list(answers.refused.values())
    assert re.match(r"'word word .*…': the query has 500 words; this encoder reads at most \d+", told[0])
    with pytest.raises(QueryError, match="500 words"):
        answer(grounder, [two], ["word " * 500])


def test_whatever_fails_about_one_video_or_output_stops_no_other(two, grounder, tmp_path, monkeypatch):
    def failing(path, found):
        if path.stem == "one":
            raise ZeroDivisionError("a bug")
        path.write_bytes(b"x")

    monkeypatch.setattr(answer_files, "draw_timeline", failing)
    (two / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "p").mkdir()
    answers = answer(grounder, [two], ["a dog"], top=1, outputs=Outputs("srt", tmp_path / "o", plot=tmp_path / "p"))
    assert [path.name for path in answers.written] == ["one.srt", "two.srt", "two.png"]
    assert {path.name for path in answers.failed} == {"one.mp4", "gone.mp4"}
    assert "failed unexpectedly (ZeroDivisionError: a bug)" in answers.failed[two / "one.mp4"]
    assert len(answers.found) == 2
    with pytest.raises(ZeroDivisionError):
        monkeypatch.setattr(grounder, "ground", lambda *args, **how: 1 / 0)
        answer(grounder, [two / "one.mp4"], ["a dog"])


def test_names_that_are_not_utf8_stand_in_every_form(two, random_mini, tmp_path):
    name = os.fsdecode(b"caf\xe9.mp4")
    (two / "one.mp4").rename(two / name)
    how = ("ground", two, "a dog", "--encoder", "mini", "--weights", f"mini={random_mini}", "--top", 1)
    for form, seen in {"csv": "caf\\xe9.mp4", "srt": "a dog", "json": "caf\\udce9.mp4"}.items():
        assert run(*how, "--format", form, "--out", tmp_path / form).exit_code == 0
        (path,) = [path for path in (tmp_path / form).iterdir() if path.name.startswith("caf")]
        assert seen in path.read_text("utf-8")
    document = json.loads((tmp_path / "json" / f"{name[:-4]}.json").read_text("utf-8"))
    assert document[0]["video"] == str(two / name)
    assert "caf\\xe9.mp4" in run(*how).stdout
    assert json.loads(run(*how, "--json").stdout)[0]["video"] == str(two / name)
    assert run(*how, "--plot", tmp_path / "p").exit_code == 0


QUERY_FILES = {
    "capitals": ("q.CSV", "Query\r\na dog\r\na cat\r\n"),
    "tabs": ("q.tsv", "id\tquery\n1\ta dog\n2\ta cat\n"),
    "semicolons": ("q.csv", "Nr;Satz\r\n1;a dog\r\n2;a cat\r\n"),
    "a column alone": ("q.csv", "sentence\na dog\na cat\n"),
    "line breaks in a cell": ("q.csv", 'query\n"a\ndog"\n"a\r\ncat"\n'),
    "UTF-16": ("q.txt", "a dog\r\na cat\r\n".encode("utf-16")),
    "null": ("q.jsonl", '{"query": null}\n{"query": "a dog"}\n{"query": "a cat"}\n'),
    "a list": ("q.json", '[{"query": "a dog"}, {"query": "a cat"}]'),
}


@pytest.mark.parametrize("name", QUERY_FILES)
def test_files_of_sentences_are_read_as_they_come(name, tmp_path):
    file, content = QUERY_FILES[name]
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_queries(tmp_path / file) == ["a dog", "a cat"]


def test_a_comma_in_a_column_of_sentences_alone_is_part_of_the_sentence(tmp_path):
    (tmp_path / "q.csv").write_text("query\nshe cuts, then eats\n")
    assert read_queries(tmp_path / "q.csv") == ["she cuts, then eats"]
    (tmp_path / "q.csv").write_text("query,id\nshe cuts, then eats,1\n")
    with pytest.raises(AnnotationError, match=r"line 2: '1' stands in a column without a name"):
        read_queries(tmp_path / "q.csv")


def test_a_sentence_or_a_file_of_them_and_not_both(two, tmp_path):
    assert run("ground", two).exit_code == 2
    assert run("ground", two, "a dog", "--queries", tmp_path / "q.txt").exit_code == 2
    assert run("ground", two, "a dog", "--encoder", "mini", "--checkpoint", "mini").exit_code == 2


def test_without_weights_the_error_names_file_address_and_the_ways_on():
    with pytest.raises(WeightsMissing) as error:
        load()
    for part in ("ViT-B-32.pt", "--weights clip=FILE", "--encoder mini", "--checkpoint mini", "doctor --only weights"):
        assert part in str(error.value)
