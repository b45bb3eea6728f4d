"""`index`, `search` and `library` as a person types them, with a library of LanceDB in an object store or a folder."""

import json
import shutil
from pathlib import Path

import pytest
from typed import fails_in_one_line, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "shapes.mp4"
ASKED = "a red circle enters"


@pytest.fixture
def videos(tmp_path):
    """The example, with subtitles."""
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder / "first.mp4")
    (folder / "first.en.srt").write_text("1\n00:00:30,000 --> 00:00:33,000\nhere come the elephants\n", "utf-8")
    return folder


def moments(library, *more):
    result = run("search", ASKED, "--library", library, "--checkpoint", "mini", "--top", 2, "--json", *more)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    return found["n_videos"], [{k: v for k, v in one.items() if k != "copies"} for one in found["moments"]]


def test_a_library_in_an_object_store_is_filled_asked_checked_and_copied(videos, bucket, tmp_path):
    library = f"{bucket}/archive/library"
    result = run("index", videos, "--encoder", "mini", "--library", library)
    assert result.exit_code == 0, result.output
    assert f"1 video added -> {library}" in result.stderr
    again = json.loads(run("index", videos, "--encoder", "mini", "--library", library, "--json").stdout)
    assert (again["added"], again["kept"]) == ([], [str(videos / "first.mp4")])
    copied = run("library", "copy", library, "--to", tmp_path / "local")
    assert f"1 video copied, 0 as they were -> {tmp_path / 'local'}" in copied.stderr
    assert moments(library) == moments(tmp_path / "local")
    assert moments(library, "--where", "name LIKE 'first%'")[0] == 1
    said = run("search", "the elephants", "--library", library, "--checkpoint", "mini", "--format", "csv")
    assert "here come the elephants" in said.stdout
    like = run("search", "--like", f"{videos / 'first.mp4'}@2-6", "--library", library, "--checkpoint", "mini")
    assert like.exit_code == 0, like.output
    told = json.loads(run("library", "info", "--library", library, "--json").stdout)
    assert (told["library"], told["videos"], told["incoming"]) == (library, 1, 0)
    assert "is whole" in run("library", "check", "--library", library).stderr
    assert "0 rows given back" in run("library", "compact", "--library", library).stderr
    assert "dropped 1 video" in run("library", "drop", "--below", videos, "--library", library).stderr
    assert "1 video copied" in run("library", "copy", tmp_path / "local", "--to", library).stderr
    assert "0 videos copied, 1 as they were" in run("library", "copy", tmp_path / "local", "--to", library).stderr
    assert moments(library) == moments(tmp_path / "local")


def test_what_is_wrong_with_an_object_store_is_one_line(bucket, tmp_path, monkeypatch, videos):
    asked = "library", "info", "--library"
    assert f"library {bucket}/none: there is no library; run `spikemba index" in fails_in_one_line(
        *asked, f"{bucket}/none"
    )
    assert "there is no such bucket" in fails_in_one_line(*asked, "s3://no-such-bucket/l")
    run("index", videos, "--encoder", "mini", "--library", tmp_path / "l")
    form = fails_in_one_line("index", videos, "--encoder", "mini", "--library", tmp_path / "l", "--form", "lance")
    assert "it is of the form local, not lance; leave --form out" in form
    tuned = fails_in_one_line("library", "tune", "--encoder", "mini", "--ef", 200, "--library", tmp_path / "l")
    assert "every clip is compared exactly" in tuned
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = fails_in_one_line("index", videos, "--encoder", "mini", "--library", f"{bucket}/l")
    assert "the object store cannot be reached; check the network and AWS_ENDPOINT_URL" in said


def test_how_an_index_is_asked_is_kept_in_a_library_of_lancedb(videos, tmp_path):
    run("index", videos, "--encoder", "mini", "--library", tmp_path / "l", "--form", "lance")
    assert (tmp_path / "l" / "log.lance").is_dir()
    result = run("library", "tune", "--encoder", "mini", "--ef", 300, "--library", tmp_path / "l")
    assert result.stderr.strip() == "mini: IVF_HNSW_FLAT, nprobes 16, ef 300"
    assert "no type of index is called 'IVF_MAGIC'" in fails_in_one_line(
        "library", "tune", "--encoder", "mini", "--index", "IVF_MAGIC", "--library", tmp_path / "l"
    )
