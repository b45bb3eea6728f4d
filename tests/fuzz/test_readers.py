"""Broken files of every kind end in one clear line. SPIKEMBA_FUZZ=2000, or `make fuzz`, tries as many of each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MUTATIONS = int(os.environ.get("SPIKEMBA_FUZZ", "25"))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """What the runner printed of each reader; in a process of its own, which may die and has little memory."""
    keep = tmp_path_factory.mktemp("kept")
    command = [sys.executable, str(HERE / "run.py"), "--mutations", str(MUTATIONS), "--keep", str(keep), "--found"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    died = f"the process died (exit code {done.returncode}): {done.stderr[-2000:]}; see {keep}/*__current*"
    assert done.returncode in (0, 1), died
    return {row["reader"]: row for row in rows}


def test_broken_files_are_read_or_refused_in_one_line(fuzzed):
    assert {name: row["faults"] for name, row in fuzzed.items() if row["faults"]} == {}


def test_every_reader_reads_its_valid_file_and_refuses_some(fuzzed):
    assert len(fuzzed) > 40
    assert sum(row["ends"].get("refused", 0) for row in fuzzed.values()) > 10 * len(fuzzed)


def test_what_was_found_before_is_tried_again(fuzzed):
    assert sum(row["found"] for row in fuzzed.values()) == len(list((HERE / "found").iterdir())) > 10
