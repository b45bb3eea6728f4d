"""Many processes write one library of LanceDB at once, without a lock; one that is killed leaves no half video."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikemba.library import open_library
from spikemba.library.forms import changing

DIM = 6

WRITER = """
import sys
import numpy as np
from pathlib import Path
from spikemba.features import Manifest
from spikemba.library.forms import changing
from spikemba.library.writer import FileState, NewVideo

def rows(seed, n):
    return np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float16)

def new(name, n, seed):
    state = FileState(Path("/videos") / name, n, 7, name)
    return NewVideo(state, 2.0 * n, {"a": rows(seed, n), "b": rows(seed + 1000, n)})

def write(address, seed, n):
    with changing(address, "lance") as writer:
        for name in ("a", "b"):
            writer.add_encoder(Manifest(encoder=name, dim=6, weights="0" * 64, clip_s=2.0, dtype="float16"))
        for i in range(n):
            writer.take_in([new(f"{seed}-{i}.mp4", 3, 100 * seed + i), new("shared.mp4", 4, 7)])
"""
WORK = WRITER + "write(sys.argv[1], int(sys.argv[2]), 4)\n"
KILLED = (
    WRITER
    + """
import os, signal
from spikemba.library.lance import store, writer
files, count, at = {store.__file__, writer.__file__}, 0, int(sys.argv[2])

def local(frame, event, argument):
    global count
    count += event == "line"
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return local

sys.settrace(lambda frame, event, argument: local if frame.f_code.co_filename in files else None)
write(sys.argv[1], 5, 1)
"""
)


def content(address):
    """Name -> rows of both encoders, of all videos."""
    with open_library(address) as library:
        return {
            one.name: [rows.tolist() for rows in library.features(one, ["a", "b"]).features] for one in library.videos()
        }


def rows(seed, n):
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float16).astype(np.float32).tolist()


@pytest.mark.parametrize("where", ["folder", "object store"])
def test_processes_that_write_at_once_lose_nothing_and_a_video_of_several_is_one(where, tmp_path, request):
    address = tmp_path / "l" if where == "folder" else f"{request.getfixturevalue('bucket')}/l"
    seeds = (1, 2, 3)
    running = [subprocess.Popen([sys.executable, "-c", WORK, str(address), str(seed)]) for seed in seeds]
    assert [process.wait() for process in running] == [0, 0, 0]
    expected = {
        f"{seed}-{i}.mp4": [rows(100 * seed + i + more, 3) for more in (0, 1000)] for seed in seeds for i in range(4)
    }
    assert content(address) == expected | {"shared.mp4": [rows(7, 4), rows(1007, 4)]}
    with open_library(address) as library:
        assert len(library.scan("a", np.ones(DIM), 999)) == 3 * 4 * 3 + 4
        assert sorted(library.encoders()) == ["a", "b"]


@pytest.mark.slow
def test_killed_at_any_line_no_video_is_half_and_the_next_run_brings_it_to_its_end(tmp_path):
    whole = tmp_path / "whole"
    subprocess.run([sys.executable, "-c", WRITER + "write(sys.argv[1], 5, 1)", str(whole)], check=True)
    after, seen = content(whole), set()
    for line in range(3, 900, 67):
        folder = tmp_path / str(line)
        status = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(line)], check=False).returncode
        found = content(folder) if Path(folder / "log.lance" / "_versions").exists() else {}
        assert found in ({}, after), line
        seen.add(bool(found))
        if status == 0:
            break
        assert status == -signal.SIGKILL
        subprocess.run([sys.executable, "-c", WRITER + "write(sys.argv[1], 5, 1)", str(folder)], check=True)
        assert content(folder) == after, line
        with changing(folder) as writer:
            assert sorted(writer.encoders()) == ["a", "b"]
    assert status == 0
    assert seen == {True, False}
