"""The benchmark of a step, at its small size: its stages are all there and sum to the step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "bench_step.py"


def test_the_stages_sum_to_the_step():
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), "--small", "--repeats", "1"]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    stages = found["stages_ms"]
    assert sum(stages.values()) == pytest.approx(found["step_ms"], rel=1e-3)
    assert set(stages) == {
        *("loading", "scan", "convolution and gate", "neurons", "attention over spikes", "losses"),
        *("other matrix products", "optimiser", "everything else"),
    }
    assert all(ms > 0 for ms in stages.values()), stages
