"""`spikemba index` and `spikemba library` as a person types them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typed import fails_in_one_line, run


@pytest.fixture
def videos(make_video, tmp_path):
    for i in range(2):
        images = np.random.default_rng(i).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
        make_video(f"videos/{i}.mp4", images, fps=5)
    return tmp_path / "videos"


def test_a_folder_is_indexed_told_of_checked_and_compacted(videos, tmp_path):
    library = "--library", tmp_path / "l"
    (videos / "bad.mp4").write_text("x")
    result = run("index", videos, "--encoder", "mini", *library)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "bad.mp4: is not a video" in result.stderr
    assert "2 videos added, 1 failed -> " in result.stderr
    (videos / "bad.mp4").unlink()
    document = json.loads(run("index", videos, "--encoder", "mini", *library, "--json").stdout)
    assert document == {
        **{"library": str(tmp_path / "l"), "added": [], "renewed": [], "moved": {}, "copies": {}, "unreachable": []},
        **{"kept": [str(videos / f"{i}.mp4") for i in range(2)], "dropped": [str(videos / "bad.mp4")], "failed": {}},
    }
    told = json.loads(run("library", "info", *library, "--json").stdout)
    assert [told["videos"], told["broken"], told["copies"], told["incoming"]] == [2, {}, [], 0]
    (encoder,) = told["encoders"]
    assert {name: encoder[name] for name in ("encoder", "videos", "clips", "holes", "clip_s")} == {
        **{"encoder": "mini", "videos": 2, "clips": 4, "holes": 0, "clip_s": 2.0}
    }
    assert "mini\t2\t4\t0\t2 s" in run("library", "info", *library).stdout
    (videos / "0.mp4").unlink()
    assert "0 videos added, 1 dropped, 1 as they were" in run("index", videos, "--encoder", "mini", *library).stderr
    assert "2 rows given back" in run("library", "compact", *library).stderr
    assert "is whole" in run("library", "check", *library).stderr
    assert "dropped mini" in run("library", "drop", "--encoder", "mini", *library).stderr


def test_a_copy_counts_as_info_does_and_goes_into_no_folder_of_other_things(videos, tmp_path):
    (videos / "bad.mp4").write_text("x")
    run("index", videos, "--encoder", "mini", "--library", tmp_path / "l")
    copy = "library", "copy", tmp_path / "l", "--to"
    said = fails_in_one_line(*copy, videos)
    held = "the folder holds 3 files and folders, as 0.mp4, and no library"
    assert f"library {videos}: {held}; name a new or empty one with --to" in said
    assert sorted(path.name for path in videos.iterdir()) == ["0.mp4", "1.mp4", "bad.mp4"]
    assert "it lies in the library that is copied" in fails_in_one_line(*copy, tmp_path / "l" / "sub")
    assert not (tmp_path / "l" / "sub").exists()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "library.lock").touch()  # as of a copying that was killed
    (tmp_path / "copy" / "lost+found").mkdir()  # as on a disk of its own
    (tmp_path / "copy" / "Desktop.ini").touch()
    first = run("library", "copy", tmp_path / "l", "--to", tmp_path / "copy")
    assert f"2 videos copied, 0 as they were, 1 that could not be read -> {tmp_path / 'copy'}" in first.stderr
    again = json.loads(run(*copy, tmp_path / "copy", "--json").stdout)
    assert (again["copied"], again["broken"]) == ([], [str(videos / "bad.mp4")])
    assert again["kept"] == [str(videos / name) for name in ("0.mp4", "1.mp4")]
    for place in (tmp_path / "l", tmp_path / "copy"):
        told = json.loads(run("library", "info", "--library", place, "--json").stdout)
        assert (told["videos"], [*told["broken"]]) == (2, again["broken"])


def test_what_cannot_be_done_is_one_line(videos, tmp_path):
    assert "there is no library" in fails_in_one_line("library", "info", "--library", tmp_path / "none")
    assert "no such file or folder" in fails_in_one_line("index", tmp_path / "none", "--encoder", "mini")
    run("index", videos, "--encoder", "mini", "--library", tmp_path / "l")
    other = "index", videos, "--encoder", "mini", "--library", tmp_path / "l", "--clip-length", "1"
    assert "were made otherwise: clip_s 2.0 (now 1.0)" in fails_in_one_line(*other)
    assert run("library", "drop", "--library", tmp_path / "l").exit_code == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="no such signal here")
def test_a_run_that_is_killed_goes_on_where_it_was(videos, tmp_path):
    code = "from spikemba_cli.main import main; main()"
    command = [sys.executable, "-c", code, "index", videos, "--encoder", "mini", "--library", tmp_path / "l"]
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole, seconds = (tmp_path / "l" / "mini.f16").read_bytes(), time.monotonic() - started
    for part in (0.5, 0.8, 0.9, 0.95):
        folder = tmp_path / f"l{part}"
        process = subprocess.Popen([*command[:-1], folder], stderr=subprocess.DEVNULL)
        try:
            process.wait(part * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert run("index", videos, "--encoder", "mini", "--library", folder).exit_code == 0
        assert "is whole" in run("library", "check", "--library", folder).stderr
        assert sorted((folder / "mini.f16").read_bytes()) == sorted(whole)
