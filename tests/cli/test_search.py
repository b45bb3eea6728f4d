"""`spikemba search` as a person types it, over the example and what lies beside it."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from typed import fails_in_one_line, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "shapes.mp4"
ASKED = "a red circle enters"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two copies of the example, one with subtitles, a library of them, and a file that is no video."""
    folder = tmp_path_factory.mktemp("archive")
    videos = folder / "videos"
    videos.mkdir()
    for name in ("first.mp4", "second.mp4"):
        shutil.copy(EXAMPLE, videos / name)
    (videos / "first.en.srt").write_text("1\n00:00:30,000 --> 00:00:33,000\nhere come the elephants\n", "utf-8")
    (videos / "broken.mp4").write_bytes(b"nothing")
    result = run("index", videos, "--encoder", "mini", "--library", folder / "library")
    assert result.exit_code == 1  # of the broken one
    assert "broken.mp4" in result.stderr
    return videos, folder / "library"


def test_the_moment_of_the_example_is_found_once_with_the_name_of_its_copy(archive):
    result = run("search", ASKED, "--library", archive[1], "--checkpoint", "mini", "--top", 1)
    assert result.exit_code == 0, result.output
    titles, row = (line.split("\t") for line in result.stdout.splitlines())
    assert titles == ["rank", "video", "start_s", "end_s", "score", "from"]
    alone = json.loads(run("ground", EXAMPLE, ASKED, "--checkpoint", "mini", "--json").stdout)["moments"][0]
    assert row[:2] == ["1", "first.mp4 (+1)"]
    assert [float(row[2]), float(row[3])] == [alone["start_s"], alone["end_s"]]
    assert float(row[4]) == pytest.approx(alone["score"], abs=0.02)  # rows are float16


def test_json_is_one_document_with_the_other_files(archive):
    videos, library = archive
    document = json.loads(run("search", ASKED, "--library", library, "--checkpoint", "mini", "--json").stdout)
    assert (document["order"], document["n_videos"], document["n_grounded"]) == ("calibrated", 2, 1)
    assert document["moments"][0]["copies"] == [str(videos / "second.mp4")]


def test_what_no_video_shows_is_no_such_moment(archive):
    result = run("search", "a green star leaves", "--library", archive[1], "--checkpoint", "mini")
    assert result.exit_code == 0
    assert "no such moment (0.0" in result.stdout
    shown = run("search", "a green star leaves", "--library", archive[1], "--checkpoint", "mini", "--all", "--json")
    assert json.loads(shown.stdout)["moments"]


def test_words_of_subtitles_are_found_and_say_so(archive):
    result = run("search", "the elephants", "--library", archive[1], "--checkpoint", "mini", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    said = next(row for row in rows if "subtitles" in row["from"])
    assert said["text"] == "here come the elephants"
    assert Path(said["video"]).name == "first.mp4"
    assert "the order is fused from ranks" in result.stderr
    silent = run("search", "the elephants", "--library", archive[1], "--checkpoint", "mini", "--no-texts", "--json")
    assert json.loads(silent.stdout)["order"] == "calibrated"


def test_files_cuts_and_a_page_of_pictures_are_written(archive, tmp_path):
    how = ["--library", archive[1], "--checkpoint", "mini", "--top", 1, "--filmstrip", tmp_path / "page.html"]
    result = run("search", ASKED, *how, "--format", "srt", "--out", tmp_path / "subtitles", "--cut", tmp_path / "cuts")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "subtitles").iterdir()] == ["first.srt"]
    assert [path.name for path in (tmp_path / "cuts").iterdir()] == ["first_a-red-circle-enters_1.mp4"]
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 6
    assert "second.mp4" in page
    table = run("search", ASKED, *how[:6], "--format", "csv", "--out", tmp_path / "all.csv")
    assert table.stdout == ""
    assert len((tmp_path / "all.csv").read_text("utf-8").splitlines()) == 2


def test_like_and_image_say_that_nothing_was_grounded(archive, tmp_path):
    from spikemba.video.stills import Stills

    videos, library = archive
    how = ["--library", library, "--checkpoint", "mini", "--top", 1]
    result = run("search", "--like", f"{videos / 'first.mp4'}@2-6", *how)
    assert result.exit_code == 0, result.output
    assert "no sentence to ground" in result.stderr
    (tmp_path / "still.jpg").write_bytes(Stills().still(EXAMPLE, 3.0, 180))
    document = json.loads(run("search", "--image", tmp_path / "still.jpg", *how, "--json").stdout)
    assert (document["order"], len(document["moments"])) == ("similarity", 1)


def test_what_is_wrong_is_one_line(archive, tmp_path, monkeypatch):
    library = archive[1]
    how = ["--library", library, "--checkpoint", "mini"]
    assert "there is no library; run `spikemba index" in fails_in_one_line("search", ASKED, "--library", tmp_path)
    assert "at most 64" in fails_in_one_line("search", "red " * 65, *how)
    assert "no such column" in fails_in_one_line("search", ASKED, *how, "--where", "colour = 1")
    assert "no rows of clip, but of mini" in fails_in_one_line("search", ASKED, "--library", library)
    assert "expected VIDEO@START-END" in fails_in_one_line("search", "--like", "first.mp4", *how)
    assert run("search", *how).exit_code == 2
    assert run("search", ASKED, "--like", "x@1-2", *how).exit_code == 2
    assert run("search", ASKED, *how, "--format", "srt").exit_code == 2


def test_a_video_that_is_gone_is_told_and_its_copy_is_shown(archive, tmp_path):
    videos, _ = archive
    moved = tmp_path / "videos"
    shutil.copytree(videos, moved)
    (moved / "broken.mp4").unlink()
    run("index", moved, "--encoder", "mini", "--library", tmp_path / "library")
    (moved / "first.mp4").unlink()
    how = ["--library", tmp_path / "library", "--checkpoint", "mini", "--top", 1, "--json"]
    assert json.loads(run("search", ASKED, *how).stdout)["moments"][0]["video"] == str(moved / "second.mp4")
    (moved / "second.mp4").unlink()
    result = run("search", ASKED, *how, "--cut", tmp_path / "cuts")
    assert result.exit_code == 1
    assert "first.mp4 is not there any more; run `spikemba index " in result.stderr
    assert len(json.loads(result.stdout)["moments"]) == 1
