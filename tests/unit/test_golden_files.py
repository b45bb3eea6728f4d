"""The golden files are all there, unchanged, described, and say nothing of the machine that wrote them."""

import re

import numpy as np
import pytest
from golden import inputs, make
from golden.files import FOLDER, SUMS, Tolerance, differences, digest, read, static_files, write


def golden_files():
    """All of tests/golden but what Python leaves there."""
    return sorted(path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def test_static_files_are_those_that_were_written():
    recorded = dict(reversed(line.split("  ", 1)) for line in SUMS.read_text(encoding="utf-8").splitlines())
    found = {path.relative_to(FOLDER).as_posix(): digest(path) for path in static_files()}
    changed = sorted(name for name in {*recorded, *found} if recorded.get(name) != found.get(name))
    assert changed == [], "files of an earlier version and official numbers do not change; see tests/golden/HOW.md"


def test_how_describes_every_file_and_only_what_is_there():
    rows = re.findall(r"^\| `([^`]+)` \|", (FOLDER / "HOW.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = [path.relative_to(FOLDER).as_posix() for path in golden_files()]
    covered = {
        row: [name for name in names if name == row or (row.endswith("/") and name.startswith(row))] for row in rows
    }
    assert [row for row, found in covered.items() if not found] == []
    assert sorted({*names} - {name for found in covered.values() for name in found} - {"HOW.md"}) == []


def test_what_can_be_made_is_all_that_lies_in_made():
    assert sorted(path.name for path in make.MADE.iterdir()) == sorted(make.FILES)


def test_no_file_holds_a_path_of_a_machine():
    named = re.compile(rb"(?:^|[\s\"'=:\[(])/\w{2,}/\w|\b[A-Z]:\\\\?\w{2}", re.MULTILINE)
    data = [path for path in golden_files() if path.suffix not in (".npz", ".safetensors", ".py")]
    assert {path.name: found for path in data if (found := named.findall(path.read_bytes()))} == {}
    headers = [path for path in golden_files() if path.suffix == ".safetensors"]
    assert headers
    assert [path for path in headers if named.search(path.read_bytes()[:8192])] == []


def test_making_a_file_twice_changes_nothing(tmp_path, monkeypatch):
    name = "bundled_encoder.npz"
    monkeypatch.setattr(make, "MADE", tmp_path / "made")
    assert make.make(name) == ["the file is new"]
    written = (tmp_path / "made" / name).read_bytes()
    assert make.make(name) == []
    assert (tmp_path / "made" / name).read_bytes() == written


def test_a_file_that_no_longer_holds_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "MADE", tmp_path)
    monkeypatch.setattr(make, "FILES", {"a.json": make.Golden(lambda: {"x": 1.0, "y": 2.0}, Tolerance(absolute=0.1))})
    (tmp_path / "a.json").write_text('{"x": 1.05, "y": 3.0}')
    assert make.make("a.json") == ["y: 2.0; golden: 3.0"]
    assert read(tmp_path / "a.json") == {"x": 1.0, "y": 2.0}


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in golden_files()) < 2_000_000


@pytest.mark.parametrize("name", ["a.json", "a.npz"])
def test_equal_numbers_are_equal_bytes_and_come_back(tmp_path, name):
    content = {"b": np.array([0.1234567, -0.0]), "a": np.array([1.0, 0.0])}
    document = {key: value.tolist() for key, value in content.items()} if name.endswith("json") else content
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / name, document, Tolerance(1e-6))
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert differences(document, read(tmp_path / "one" / name), Tolerance(absolute=1e-6)) == []


def test_what_differs_is_named_with_both_values():
    golden = {"moments": [{"score": 0.7}, {"score": 0.2}], "model": "mini", "clips": np.zeros((2, 3))}
    clips = np.zeros((2, 3))
    clips[1, 2] = np.nan
    found = {"moments": [{"score": 0.7}, {"score": 0.3}], "model": "other", "clips": clips, "new": 1}
    assert differences(found, golden, Tolerance(absolute=0.05)) == [
        "moments.1.score: 0.3; golden: 0.2",
        "model: 'other'; golden: 'mini'",
        "clips: nan; golden: 0.0 at (1, 2), 1 of 6 differ",
    ]
    assert differences({"a": [1, 2]}, {"a": [1, 2, 3], "b": 1}) == ["b: is missing", "a: [1, 2]; golden: [1, 2, 3]"]
    assert differences(True, 1) == [": True; golden: 1"]


def test_the_fixed_numbers_are_drawn_from_no_library():
    found = inputs.numbers(3, phase=0)
    state, expected = 1, []
    for i in range(3):
        x = (state + i) * 0x9E3779B97F4A7C15 % 2**64
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        expected.append(((x ^ x >> 31) >> 40) / 2**23 - 1)
    assert found.tolist() == np.array(expected, np.float32).tolist()
    assert abs(float(inputs.numbers(10_000, phase=1).mean())) < 0.02
