"""Corrections on the disk: lines of several people and servers at once stay whole, and none is lost or overwritten."""

import json
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.serving.known.corrections_files import Corrections
from spikemba.datasets.corrections import correction
from spikemba.errors import CorrectionError, OutputError


def said(by="Ana", video="kitchen", query="eggs", **how):
    return correction(by, video, query, 60.0, **(how or {"windows": [(1, 2)]}))


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def rows(folder):
    return [one.correction.to_row(one.number) for one in folder.counting()]


def test_a_person_s_file_grows_by_lines_with_ids_of_their_own(tmp_path):
    folder = Corrections(tmp_path / "new" / "corrections")
    first, second = folder.append(said()), folder.append(said(absent=True))
    assert lines(folder.folder / "Ana.jsonl") == [first, second]
    assert [first["qid"], second["qid"]] == ["Ana-1", "Ana-2"]
    assert rows(folder) == [second]


def test_names_that_differ_in_capitals_or_accents_are_one_person(tmp_path):
    folder = Corrections(tmp_path)
    for name in ("José", "JOSÉ", "Jose\u0301"):
        assert folder.append(said(name))["by"] == "José"
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["José.jsonl"]
    (tmp_path / "JOSÉ.jsonl").write_bytes(b"")
    with pytest.raises(CorrectionError, match="are both files of 'josé'; put their lines together"):
        folder.append(said("josé"))


def test_what_another_server_adds_is_read_too(tmp_path):
    one, other = Corrections(tmp_path), Corrections(tmp_path)
    assert rows(one) == []
    other.append(said())
    assert len(rows(one)) == 1
    other.append(said(query="a dog"))
    assert len(rows(one)) == 2


def test_a_half_line_is_laid_aside_and_the_next_one_is_whole(tmp_path):
    folder, path = Corrections(tmp_path), tmp_path / "Ana.jsonl"
    row = folder.append(said(query="дом"))
    whole = path.read_bytes()
    half = whole[: whole.index("о".encode()) + 1]  # within a character
    path.write_bytes(whole + half)
    assert rows(folder) == [row]
    assert "line 2 breaks off" in folder.problems()[0]
    second = folder.append(said(query="eggs"))
    assert lines(path) == [row, second]
    assert second["qid"] == "Ana-2"
    assert (tmp_path / "Ana.torn").read_bytes() == half + b"\n"
    assert folder.problems() == []
    path.write_bytes(path.read_bytes()[:-1])  # an editor that ends no line
    folder.append(said(query="a dog"))
    assert len(lines(path)) == 3


def test_a_damaged_line_is_said_and_the_others_are_read(tmp_path):
    folder, path = Corrections(tmp_path), tmp_path / "Ana.jsonl"
    folder.append(said())
    path.write_bytes(b"{}\n" + path.read_bytes())
    assert len(rows(folder)) == 1
    assert folder.problems()[0].startswith("Ana.jsonl line 1: has no query, vid")
    assert folder.append(said(query="a dog"))["qid"] == "Ana-2"


def _add(folder, name, n):
    corrections = Corrections(folder)
    for i in range(n):
        corrections.append(said(name, query=f"sentence {i} of {os.getpid()} " + "x" * 1500))


def test_lines_of_several_servers_and_threads_do_not_mix(tmp_path):
    servers = [multiprocessing.get_context("fork").Process(target=_add, args=(tmp_path, "Ana", 20)) for _ in range(3)]
    for server in servers:
        server.start()
    corrections = Corrections(tmp_path)
    with ThreadPoolExecutor(4) as people:
        rows = list(people.map(lambda i: corrections.append(said("ana", query=f"mine {i}")), range(40)))
    for server in servers:
        server.join()
    found = [row for path in tmp_path.glob("*.jsonl") for row in lines(path)]
    assert len(found) == len({row["qid"] for row in found}) == 100
    assert {row["qid"] for row in rows} <= {row["qid"] for row in found}


def _add_until_killed(folder, started):
    corrections = Corrections(folder)
    for i in range(10**6):
        corrections.append(said(query=f"sentence {i} " + "x" * 1500))
        if i == 3:
            started.set()


def test_a_server_that_is_killed_while_it_writes_leaves_what_was_saved(tmp_path):
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        started = context.Event()
        server = context.Process(target=_add_until_killed, args=(tmp_path, started))
        server.start()
        assert started.wait(10)
        os.kill(server.pid, signal.SIGKILL)
        server.join()
    folder = Corrections(tmp_path)
    before = len(rows(folder))
    folder.append(said(query="after"))
    assert len(rows(folder)) == before + 1 > 4
    numbers = [row["qid"] for row in lines(tmp_path / "Ana.jsonl")]
    assert len(numbers) == len({*numbers})


def test_a_folder_that_cannot_be_written_is_said_with_the_cure(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        OutputError, match="cannot write .*file: .*; make room there, or choose another folder with --corr"
    ):
        Corrections(tmp_path / "file").append(said())


def test_a_disk_that_is_full_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    folder = Corrections(tmp_path)
    folder.append(said())
    before, write = (tmp_path / "Ana.jsonl").read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:20]))
    with pytest.raises(OutputError, match="the disk is full"):
        folder.append(said(query="a dog"))
    assert (tmp_path / "Ana.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["Ana.jsonl", ".lock", "Ana.torn"])
@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe"])
def test_links_and_pipes_in_the_folder_are_neither_read_nor_written(tmp_path, name, kind):
    folder, other = Corrections(tmp_path / "said"), tmp_path / "other"
    folder.append(said(query="before"))
    if name == "Ana.torn":
        with (folder.folder / "Ana.jsonl").open("ab") as file:
            file.write(b'{"half')
    row = (folder.folder / "Ana.jsonl").read_bytes()
    (folder.folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder.folder / name)
    else:
        (folder.folder / name).symlink_to(other)
    if kind == "link":
        other.write_bytes(row)
    with pytest.raises(
        OutputError, match=f"{name}: is (a link|no regular file), and only files are written; take it out"
    ):
        folder.append(said())
    assert other.exists() == (kind == "link")
    if kind == "link":
        assert other.read_bytes() == row
        assert len(rows(folder)) == (name != "Ana.jsonl")
        assert (name == "Ana.jsonl") == any("Ana.jsonl: is a link" in one for one in folder.problems())
