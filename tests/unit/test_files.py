import os
import signal
import stat
import subprocess
import sys

import pytest

from spikemba import files
from spikemba.errors import AnnotationError, OutputError
from spikemba.files import (
    NotRegular,
    clear_abandoned,
    folder_beside,
    folder_of_ours,
    open_regular,
    read_jsonl,
    read_regular,
    write_json,
    write_jsonl,
    write_text,
    writing,
)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), writing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_written_files_have_ordinary_permissions(tmp_path):
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/a.json: .*; choose another folder with --out"):
        write_json(tmp_path / "file" / "a.json", {})


def test_a_full_disk_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="no space left on device"), writing(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_with_their_line_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": 1}, {"b": "ü"}])
    path.write_text(path.read_text() + "\n\n" + '{"c": 3}\n')
    assert read_jsonl(path) == [(1, {"a": 1}), (2, {"b": "ü"}), (5, {"c": 3})]


def test_every_line_that_is_no_object_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\nnonsense\n[1]\n')
    with pytest.raises(AnnotationError) as caught:
        read_jsonl(path)
    assert "2 bad rows" in str(caught.value)
    assert "line 2: not JSON" in str(caught.value)
    assert "line 3: expected an object, found list" in str(caught.value)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_bytes(b"\xff\xfe\x00"), lambda p: p.mkdir()])
def test_what_is_no_text_file_is_named(tmp_path, make):
    path = tmp_path / "a.jsonl"
    make(path)
    with pytest.raises(AnnotationError, match=r"a.jsonl: (?!1 bad row)"):
        read_jsonl(path)


HALF = """
import sys, time
from pathlib import Path
from spikemba.files import writing
with writing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary.name, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_was_writing_is_cleared_and_nothing_else(tmp_path):
    path = tmp_path / "v.1.npz"
    root = os.pathsep.join(entry for entry in sys.path if entry)
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF, str(path)], env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE
    )
    try:
        half = tmp_path / writer.stdout.readline().decode().strip()
        assert half.read_text() == "half"
        assert clear_abandoned(tmp_path) == []  # it lives
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    machine, pid = half.name.split(".")[3].split("-")
    assert pid == str(writer.pid)
    others = [
        f".v.{'0' * 12}-{pid}.abcdefgh.npz",  # of another machine
        f".v.{machine}-{os.getpid()}.abcdefgh.npz",  # of a process that lives
        f".v.{machine}-{pid}.npz",
        f"v.{machine}-{pid}.abcdefgh.npz",
        *(".hidden", ".v.abcdefgh.npz", "v.npz", ".train_state.xyz.pt"),
    ]
    for name in others:
        (tmp_path / name).write_text("x")
    assert clear_abandoned(tmp_path) == [half]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(others)
    assert clear_abandoned(tmp_path / "none") == []


def test_a_temporary_folder_of_a_killed_process_is_removed_and_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    own = folder_of_ours("kind")
    machine = own.name.split(".")[1].partition("-")[0]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f"kind.{machine}-{dead.pid}.abcdefgh"
    others = [
        f"kind.{'0' * 12}-{dead.pid}.abcdefgh",  # of another machine
        f"other.{machine}-{dead.pid}.abcdefgh",
        f"kind.{machine}-{dead.pid}",
        f"kind.{machine}-{os.getppid()}.abcdefgh",  # of a process that lives
    ]
    for name in (left.name, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cut.mp4").write_bytes(b"x")
    link = tmp_path / f"kind.{machine}-{dead.pid}.abcdefgi"
    link.symlink_to(tmp_path / others[0])
    new = folder_of_ours("kind")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, own.name, new.name, link.name])
    assert (tmp_path / others[0] / "cut.mp4").exists()


def test_a_folder_that_a_killed_process_was_making_is_removed_by_the_next_that_makes_it(tmp_path):
    target = tmp_path / "a[1]" / "my.graphs"
    own = folder_beside(target)
    assert own.parent == target.parent
    machine = own.name.split(".")[-2].partition("-")[0]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = target.parent / f".my.graphs.{machine}-{dead.pid}.abcdefgh"
    other = target.parent / f".my.graphs.more.{machine}-{dead.pid}.abcdefgh"  # of another target
    for folder in (left, other):
        folder.mkdir()
        (folder / "grounder.onnx").write_bytes(b"x")
    new = folder_beside(target)
    assert sorted(target.parent.iterdir()) == sorted([own, other, new])


def test_only_files_themselves_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "file") == b"x"
    for name, why in (("link", "is a link"), ("folder", "is no regular file"), ("pipe", "is no regular file")):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            with pytest.raises(NotRegular, match=why):
                open_regular(tmp_path / name, flags)
