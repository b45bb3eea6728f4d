"""Corrections of several people, with a table and without, to what training reads."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.preparation.prepare import prepare_custom
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.corrections import correction
from spikemba.errors import AnnotationError, OutputError
from spikemba.files import write_jsonl
from spikemba.moments import Window
from spikemba.video.files import write_video
from spikemba_cli.main import app

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def footage(tmp_path):
    """Four videos of 10 s and a table that says something of each."""
    for name in ("A/one", "B/one", "two", "three"):
        (tmp_path / "footage" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "footage" / f"{name}.mp4", np.zeros((20, 16, 16, 3), np.uint8), fps=2)
    rows = ["A/one.mp4,0,2,a dog,4", "two.mp4,1,3,a dog,3", "two.mp4,5,6,a cat,", "three.mp4,none,none,a dog,"]
    (tmp_path / "t.csv").write_text("\n".join(["video,start,end,query,rating", *rows]) + "\n")
    return tmp_path


@pytest.fixture
def say(footage):
    """A function that adds a row to a person's file."""
    files = {}

    def add(by, video, query="a dog", duration_s=10.0, at=NOON, **how):
        rows = files.setdefault(by, [])
        rows.append(correction(by, video, query, duration_s, at=at, **how).to_row(len(rows) + 1))
        write_jsonl(footage / "corrections" / f"{by}.jsonl", rows)

    return add


@pytest.fixture
def prepare(footage):
    def run(*sources, videos="footage", **how):
        out = footage / "out"
        folder = footage / videos if videos else None
        paths = [footage / source for source in sources]
        prepared = prepare_custom(paths, out, videos=folder, encoder="mini", val_share=0, **how)
        return prepared, {(row.video_id, row.query): row for row in read_annotations(out / "train.jsonl")}

    return run


def test_without_corrections_everything_is_as_it_was(footage, prepare):
    _, rows = prepare("t.csv")
    before = (footage / "out" / "train.jsonl").read_bytes()
    prepared = prepare_custom(
        footage / "t.csv", footage / "out2", videos=footage / "footage", encoder="mini", val_share=0
    )
    assert (footage / "out2" / "train.jsonl").read_bytes() == before
    assert [row.query_id for row in rows.values()] == [0, 1, 2, 3]
    assert prepared.corrections is None


def test_corrections_take_the_place_of_what_the_table_says_and_add_what_it_does_not(prepare, say):
    say("Ana", "two", windows=[(4, 8)])
    say("Ana", "B/one", query="a cat", absent=True)
    prepared, rows = prepare("t.csv", "corrections")
    assert rows["two", "a dog"].windows == (Window(4, 8),)
    assert rows["two", "a dog"].ratings == ()
    assert rows["B/one", "a cat"].is_null
    assert rows["A/one", "a dog"].windows == (Window(0, 2),)
    assert [row.query_id for row in rows.values()][:4] == [0, 1, 2, 3]
    assert prepared.corrections == {"people": 1, "rows": 2, "replaced": 1, "new": 1, "merged": 0, "silent": 0}
    assert prepared.n_null == {"train": 2}
    assert "corrections: 2 rows of Ana, 1 in the place of the table's, 1 new query" in prepared.how


def test_a_new_query_keeps_its_id_whatever_is_corrected_later(prepare, say):
    say("Bo", "two", query="a horse", windows=[(4, 8)])
    _, rows = prepare("t.csv", "corrections")
    query_id = rows["two", "a horse"].query_id
    say("Ana", "two", query="a bird", windows=[(4, 8)])
    _, rows = prepare("corrections")
    assert rows["two", "a horse"].query_id == query_id
    assert rows["two", "a bird"].query_id != query_id


def test_several_people_are_merged_and_one_file_of_them_is_read_alone(prepare, say):
    say("Ana", "two", windows=[(1, 5)])
    say("Bo", "two", windows=[(2, 6), (8, 9)])
    say("Bo", "three", wrong=[(2, 6)])
    prepared, rows = prepare("corrections")
    assert [*rows] == [("two", "a dog")]
    assert rows["two", "a dog"].windows == (Window(1.5, 5.5), Window(8, 9))
    assert prepared.corrections == {"people": 2, "rows": 3, "replaced": 0, "new": 1, "merged": 1, "silent": 1}
    assert "1 left out, which only say what is wrong and so cannot teach" in prepared.how
    _, rows = prepare("corrections/Ana.jsonl")
    assert rows["two", "a dog"].windows == (Window(1, 5),)


def test_the_last_word_of_a_person_counts(prepare, say):
    say("Ana", "gone", windows=[(1, 5)])
    say("Ana", "two", windows=[(1, 5)])
    say("Ana", "two", absent=True)
    say("Ana", "gone", query="a cat", windows=[(1, 5)])
    with pytest.raises(
        AnnotationError, match=r"corrections: 2 bad rows:\n  Ana.jsonl line 1: .*\n  Ana.jsonl line 4: "
    ):
        prepare("corrections")


def refused(prepare, *sources, **how):
    with pytest.raises(AnnotationError) as error:
        prepare(*sources, **how)
    return str(error.value)


def test_a_video_that_is_not_there_any_more_is_refused_with_the_cure(prepare, say, footage):
    say("Ana", "kitchen", windows=[(1, 5)])
    assert refused(prepare, "corrections") == (
        f"{footage / 'corrections'}: 1 bad row: Ana.jsonl line 1: no video below {footage / 'footage'} is called "
        "'kitchen'; --videos must be the folder that was served; if the file was renamed or moved, call it so again, "
        'or write its new name as the "vid" of the row'
    )


@pytest.mark.parametrize(
    ("video", "duration_s", "why"),
    [
        ("one", 10.0, "line 1: video 'one' could be .*; write more of its path"),
        ("two", 12.0, "is about a video 'two' of 12 s, and .*two.mp4 lasts 10 s: it is another video"),
        ("../footage/two", 10.0, "no video below .* is called '../footage/two'"),
    ],
)
def test_a_video_that_could_be_another_is_refused(prepare, say, video, duration_s, why):
    say("Ana", video, windows=[(1, 5)], duration_s=duration_s)
    with pytest.raises(AnnotationError, match=why):
        prepare("corrections")


def test_an_id_of_the_folder_is_that_video_where_others_that_end_so_have_another_length(prepare, say, footage):
    other = footage / "footage" / "A" / "B" / "one.mp4"
    other.parent.mkdir()
    write_video(other, np.zeros((16, 16, 16, 3), np.uint8), fps=2)
    say("Ana", "B/one", windows=[(1, 5)])
    _, rows = prepare("corrections")
    assert [*rows] == [("B/one", "a dog")]
    write_video(other, np.zeros((20, 16, 16, 3), np.uint8), fps=2)
    assert "line 1: video 'B/one' could be" in refused(prepare, "corrections")
    say("Ana", "footage/B/one", windows=[(1, 5)])
    assert "Ana.jsonl line 1: " in refused(prepare, "corrections")
    (footage / "corrections" / "Ana.jsonl").write_text(
        (footage / "corrections" / "Ana.jsonl").read_text().splitlines()[1] + "\n"
    )
    _, rows = prepare("corrections")
    assert [*rows] == [("B/one", "a dog")]


def test_one_video_under_two_names_is_one(prepare, say):
    say("Ana", "two", absent=True)
    say("Ana", "two.mp4", windows=[(1, 5)])
    say("Bo", "footage/two.mp4", windows=[(1, 5)])
    _, rows = prepare("corrections")
    assert rows["two", "a dog"].windows == (Window(1, 5),)


def test_contradictions_name_both_lines(prepare, say):
    say("Ana", "two", query="a cat", absent=True)
    say("Ana", "two", absent=True)
    say("Bo", "two", windows=[(1, 5)])
    assert "Ana.jsonl line 2 (Ana) says that 'a dog' of 'two' is not in the video, and Bo.jsonl line 1 (Bo)" in refused(
        prepare, "t.csv", "corrections"
    )


def test_what_is_only_called_wrong_contradicts_a_table_that_gives_it(prepare, say):
    say("Ana", "two", wrong=[(1, 3.5)])
    assert (
        "Ana.jsonl line 1 (Ana) says that [1, 3.5] is wrong for 'a dog' of 'two', and the table gives [1, 3]"
        in refused(prepare, "t.csv", "corrections")
    )
    assert "1 row only say" in refused(prepare, "corrections")


def test_sources_that_cannot_be_read_together_are_refused(prepare, say, footage):
    say("Ana", "two", absent=True)
    assert "add that folder with --videos FOLDER" in refused(prepare, "corrections", videos=None)
    assert "is a second table" in refused(prepare, "t.csv", "t.csv", "corrections")
    (footage / "empty").mkdir()
    assert "no .jsonl file of corrections in this folder" in refused(prepare, "empty")
    (footage / "corrections" / "t.jsonl").write_text('{"video": "two.mp4", "start": 0, "end": 1, "query": "x"}\n')
    assert "t.jsonl line 1: has no vid, duration, by, at; expected a line that" in refused(prepare, "corrections")


def test_corrections_are_not_mixed_with_what_is_written(prepare, say, footage):
    say("Ana", "two", windows=[(1, 5)])
    for source in ("corrections", "corrections/Ana.jsonl"):
        with pytest.raises(OutputError, match="corrections lie there"):
            prepare_custom(footage / source, footage / "corrections", videos=footage / "footage", encoder="mini")
    assert [path.name for path in (footage / "corrections").iterdir()] == ["Ana.jsonl"]


def test_the_command_takes_a_table_and_corrections(say, footage):
    say("Ana", "two", windows=[(4, 8)])
    sources = ["--source", footage / "t.csv", "--source", footage / "corrections"]
    command = [
        "prepare",
        "custom",
        *sources,
        "--videos",
        footage / "footage",
        "--out",
        footage / "out",
        "--encoder",
        "mini",
    ]
    result = CliRunner().invoke(app, [*map(str, command), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["corrections"]["replaced"] == 1
    result = CliRunner().invoke(app, [str(part) for part in command])
    assert "1 row of Ana, 1 in the place of the table's, 0 new queries" in result.stderr
