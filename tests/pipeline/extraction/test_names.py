"""Extraction by the videos' names: cards that repeat them, links, long ones, bytes that are not UTF-8."""

import json
import os
import shutil

import numpy as np
import pytest

from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from pipelines.extraction.sources import Sources
from spikemba.features import FeatureFolder
from spikemba.video import sampling


@pytest.fixture
def card(make_video, tmp_path):
    """Makes a video below tmp_path; each n is another one."""

    def card(name, n=10):
        return make_video(name, np.random.default_rng(n).integers(0, 255, (n, 32, 32, 3), dtype=np.uint8), fps=5)

    return card


@pytest.fixture
def encode(tmp_path, random_mini):
    def encode(*inputs):
        return extract(list(inputs), "mini", tmp_path / "f", run=RunOptions(weights={"mini": random_mini}, decoders=1))

    return encode


def test_names_that_repeat_are_told_apart(card, encode, tmp_path):
    for name, n in {"v/A/C1.mp4": 10, "v/B/C1.mp4": 20, "v/x.mov": 30, "v/x.mp4": 40, "v/own.mp4": 10}.items():
        card(name, n)
    result = encode(tmp_path / "v")
    assert sorted(result.encoded) == ["A/C1", "B/C1", "own", "x.mov", "x.mp4"]
    folder = FeatureFolder(tmp_path / "f" / "mini")
    assert [len(folder.video(name)) for name in ("A/C1", "B/C1", "x.mov", "x.mp4")] == [1, 2, 3, 4]
    assert sorted(encode(tmp_path / "v").kept) == sorted(result.encoded)


def test_a_second_card_encoded_later_does_not_pass_for_the_first(card, encode, tmp_path):
    card("A/C1.mp4", 10), card("B/C1.mp4", 20), card("B/C2.mp4", 10)
    encode(tmp_path / "A")
    result = encode(tmp_path / "B")
    assert result.encoded == ["C2"]
    (problem,) = result.failed.values()
    assert "features of 'C1' are there already" in problem
    assert "encode both folders in one command, or choose another folder with --out" in problem
    assert len(FeatureFolder(tmp_path / "f" / "mini").video("C1")) == 1
    assert sorted(encode(tmp_path / "A", tmp_path / "B").encoded) == ["A/C1", "B/C1"]


def test_a_folder_that_moved_is_known_and_a_file_that_changed_is_encoded_again(card, encode, tmp_path):
    card("A/C1.mp4", 10)
    encode(tmp_path / "A")
    (tmp_path / "A").rename(tmp_path / "moved")
    assert encode(tmp_path / "moved").kept == ["C1"]
    card("C.mp4", 30).rename(tmp_path / "moved/C1.mp4")
    (tmp_path / "moved").rename(tmp_path / "A")
    assert encode(tmp_path / "A").encoded == ["C1"]
    assert len(FeatureFolder(tmp_path / "f" / "mini").video("C1")) == 3


def test_features_of_earlier_releases_are_found(card, encode, tmp_path):
    card("A/C1.mp4", 10)
    encode(tmp_path / "A")
    (tmp_path / "f" / "videos.jsonl").unlink()
    assert encode(tmp_path / "A").kept == ["C1"]


def test_a_line_that_was_broken_off_does_not_stop_what_follows(card, encode, tmp_path):
    card("A/C1.mp4", 10)
    encode(tmp_path / "A")
    path = tmp_path / "f" / "videos.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "C2", "vid')
    card("A/C2.mp4", 20)
    assert encode(tmp_path / "A").encoded == ["C2"]
    assert Sources(tmp_path / "f").other("C2", tmp_path / "A" / "C2.mp4") is None
    assert json.loads(path.read_text().strip().split("\n")[-1])["id"] == "C2"


def test_names_of_any_length_and_bytes_are_encoded(card, encode, tmp_path):
    source = card("z.mp4")
    (tmp_path / "v").mkdir()
    names = ["x" * 251 + ".mp4", "x" * 250 + "y.mp4", "工" * 83 + ".mp4", os.fsdecode(b"caf\xe9.mp4"), "a\nb [c].mp4"]
    for name in names:
        shutil.copy(source, tmp_path / "v" / name)
    result = encode(tmp_path / "v")
    assert not result.failed
    assert len(result.encoded) == len(list((tmp_path / "f" / "mini").glob("*.npz"))) == len(names)
    assert len(encode(tmp_path / "v").kept) == len(names)


def test_whatever_fails_about_one_video_stops_no_other(card, encode, tmp_path, monkeypatch):
    card("v/a.mp4"), card("v/b.mp4")
    (tmp_path / "v/gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "v/list.mp4").write_text("#EXTM3U\nb.mp4\n")
    real = sampling.VideoReader.frames_for

    def failing(self, *args, **how):
        if self.path.name == "a.mp4":
            raise ZeroDivisionError("a bug")
        return real(self, *args, **how)

    monkeypatch.setattr(sampling.VideoReader, "frames_for", failing)
    result = encode(tmp_path / "v")
    assert result.encoded == ["b"]
    problems = {path.name: problem for path, problem in result.failed.items()}
    assert "failed unexpectedly (ZeroDivisionError: a bug)" in problems["a.mp4"]
    assert "no such file" in problems["gone.mp4"]
    assert "is an M3U playlist" in problems["list.mp4"]
    monkeypatch.undo()
    assert encode(tmp_path / "v").encoded == ["a"]  # what was the program's fault is tried again


def put_in_place(new, old):
    """Replace a file by another one of the same size and time of writing."""
    size = max(new.stat().st_size, old.stat().st_size)
    with new.open("ab") as file:  # what lies behind an MP4's last box is not read
        file.write(bytes(size - new.stat().st_size))
    status = old.stat()
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(old)
    assert (old.stat().st_size, old.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_encoded_again(card, encode, tmp_path):
    old = card("A/C1.mp4", 30)
    encode(tmp_path / "A")
    put_in_place(card("C.mp4", 10), old)
    assert encode(tmp_path / "A").encoded == ["C1"]
    assert len(FeatureFolder(tmp_path / "f" / "mini").video("C1")) == 1


def test_a_file_that_is_touched_or_copied_is_not_encoded_again(card, encode, tmp_path):
    path = card("A/C1.mp4", 10)
    encode(tmp_path / "A")
    shutil.copy(path, tmp_path / "copy.mp4")
    (tmp_path / "copy.mp4").replace(path)
    assert encode(tmp_path / "A").kept == ["C1"]


def test_of_rows_of_earlier_releases_the_size_counts(card, encode, tmp_path):
    path = card("A/C1.mp4", 10)
    encode(tmp_path / "A")
    rows = tmp_path / "f" / "videos.jsonl"
    row = json.loads(rows.read_text())
    rows.write_text(json.dumps({key: row[key] for key in ("id", "video", "bytes")}) + "\n")
    os.utime(path)
    assert encode(tmp_path / "A").kept == ["C1"]
