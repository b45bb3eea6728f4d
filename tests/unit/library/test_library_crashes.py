"""A library outlives what happens to the process that changes it: kill -9 at any line, full disks, two at once."""

import errno
import os
import signal
import sqlite3
import sys
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from spikemba.errors import LibraryError, OutputError
from spikemba.features import Manifest
from spikemba.library import Library, matrix, schema, writer
from spikemba.library.writer import FileState, NewVideo, changing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

DIM = 4
STRIDE = 3
"""Lines between two at which a process is killed."""


def rows_of(seed, n):
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float16)


def new(name, n, seed):
    state = FileState(Path(f"/videos/{name}"), seed, 7, f"{name} {seed}")
    return NewVideo(state, 2.0 * n, {encoder: rows_of(seed, n) for encoder in ("a", "b")})


@pytest.fixture(autouse=True)
def _no_waiting_for_disks(request, monkeypatch):
    """What is written outlives a killed process also when it is not on the disk yet."""
    opened = writer.connect_to_write

    def unsynchronised(folder):
        connection = opened(folder)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(writer, "connect_to_write", unsynchronised)
    monkeypatch.setattr(matrix.os, "fsync", lambda handle: None)


def begun(folder):
    with changing(folder) as library:
        for encoder in ("a", "b"):
            library.add_encoder(Manifest(encoder=encoder, dim=DIM, weights="0" * 64, clip_s=2.0, dtype="float16"))
        library.take_in([new("one.mp4", 3, 1), new("two.mp4", 2, 2), new("three.mp4", 4, 3)])
    return folder


def content(folder):
    """Path -> what is known of the video, and all its rows."""
    found = {}
    with Library.open(folder) as library:
        for video in library.videos():
            streams = library.features(video, ["a", "b"]).features
            found[video.path.name] = (video.size, *(stream.tobytes() for stream in streams))
    return found


def add(library):
    library.take_in([new("four.mp4", 5, 4), new("two.mp4", 6, 20)])


def drop(library):
    library.drop([one.id for one in library.videos() if one.name == "one.mp4"])


def compact(library):
    library.compact()


def in_child(work):
    """The status of a forked child that does the work."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def killed_at(line, folder, change):
    """A child that kills itself, as kill -9 does, before the line-th line that it runs of what changes a library."""
    files = {writer.__file__, matrix.__file__}
    count = 0

    def local(frame, event, argument):
        nonlocal count
        if event == "line":
            count += 1
            if count == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def work():
        sys.settrace(lambda frame, event, argument: local if frame.f_code.co_filename in files else None)
        with changing(folder) as library:
            change(library)

    return in_child(work)


@pytest.mark.slow
@pytest.mark.parametrize("change", [add, drop, compact])
def test_killed_at_any_line_the_library_is_as_before_or_as_after(tmp_path, change):
    start = begun(tmp_path / "start")
    if change is compact:
        with changing(start) as library:
            drop(library)
    before = content(start)
    done = copytree(start, tmp_path / "done")
    with changing(done) as library:
        change(library)
    after, seen = content(done), set()
    for line in range(1, 2000, STRIDE):
        folder = copytree(start, tmp_path / f"killed{line}")
        status = killed_at(line, folder, change)
        found = content(folder)
        assert found in (before, after), line
        seen.add(found == after)
        with changing(folder) as library:  # whoever comes next does it all
            change(library)
            assert not library.connection.execute("SELECT * FROM leftovers").fetchall()
        assert content(folder) == after, line
        named = {f"{one.file}{ending}" for one in library_encoders(folder) for ending in (".f16", ".norms.f32")}
        assert {path.name for path in folder.iterdir() if path.suffix in (".f16", ".f32")} == named
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    else:
        pytest.fail("it never ended")
    assert line > 20
    assert seen == ({True, False} if before != after else {True})


def library_encoders(folder):
    with Library.open(folder) as library:
        return list(library.encoders().values())


def test_killed_while_a_library_is_made_it_can_be_made(tmp_path):
    for line in range(1, 60, STRIDE):
        folder = tmp_path / str(line)
        killed_at(line, folder, lambda library: None)
        assert set(content(begun(folder))) == {"one.mp4", "two.mp4", "three.mp4"}


def test_a_full_disk_changes_nothing_and_says_so_in_one_line(tmp_path, monkeypatch):
    folder = begun(tmp_path)
    before, sizes = content(folder), {path.name: path.stat().st_size for path in folder.glob("*.f*")}

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    for change in (add, lambda library: (drop(library), compact(library))):
        monkeypatch.setattr(matrix.os, "fsync", full)
        with (
            changing(folder) as library,
            pytest.raises(OutputError, match="no space left on device; make room and run"),
        ):
            change(library)
        monkeypatch.undo()
        with changing(folder):
            pass
        assert {path.name: path.stat().st_size for path in folder.glob("*.f*")} == sizes
        if change is add:
            assert content(folder) == before
    assert content(folder) == {name: one for name, one in before.items() if name != "one.mp4"}


def test_a_database_that_cannot_grow_changes_nothing(tmp_path):
    folder = begun(tmp_path)
    before = content(folder)
    with changing(folder) as library:
        pages = library.connection.execute("PRAGMA page_count").fetchone()[0]
        library.connection.execute(f"PRAGMA max_page_count = {pages}")
        videos = [NewVideo(FileState(Path(f"/videos/{'x' * 900}{i}"), 1, 1, str(i)), 2.0) for i in range(99)]
        with pytest.raises(OutputError, match="database or disk is full; make room"):
            library.take_in(videos)
    assert content(folder) == before


def test_writers_wait_for_each_other_and_lose_nothing(tmp_path):
    folder = begun(tmp_path)

    def work(seed):
        for i in range(10):
            with changing(folder) as library:
                library.take_in([new(f"{seed}-{i}.mp4", 3, 100 * seed + i)])

    children = []
    for seed in (1, 2, 3):
        child = os.fork()
        if not child:
            try:
                work(seed)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    found = content(folder)
    assert len(found) == 3 + 30
    for seed in (1, 2, 3):
        for i in range(10):
            rows = rows_of(100 * seed + i, 3).astype(np.float32).tobytes()
            assert found[f"{seed}-{i}.mp4"] == (100 * seed + i, rows, rows)


def test_a_library_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    """As root nothing is read-only, so SQLite is asked for what it would refuse."""
    folder = begun(tmp_path)
    before = content(folder)
    for left in folder.glob("library.sqlite-*"):
        left.unlink()
    opened = schema._open

    def refused(place, mode, more=""):
        if not more:
            raise sqlite3.OperationalError("unable to open database file")
        return opened(place, mode, more)

    monkeypatch.setattr("spikemba.library.schema._open", refused)
    monkeypatch.setattr("spikemba.library.schema.os.access", lambda path, mode: False)
    assert content(folder) == before
    (folder / "library.sqlite-wal").write_bytes(b"what a killed process left")
    with pytest.raises(LibraryError, match="cannot be written, and library.sqlite-wal holds changes not brought in"):
        Library.open(folder)
