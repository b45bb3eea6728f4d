"""The scripts in examples/ run as they stand."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(script):
    result = subprocess.run([sys.executable, EXAMPLES / script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_every_example_has_a_test():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"ground_a_video.py", "train_step.py"}


def test_the_bundled_model_finds_the_red_circle():
    lines = printed("ground_a_video.py").splitlines()
    assert lines[0] == "a red circle enters"
    assert lines[1].endswith(tuple("0123456789"))


def test_a_step_on_own_tensors_lowers_the_loss():
    first, last, firing = printed("train_step.py").splitlines()
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in (first, last)]
    assert losses[1] < 0.5 * losses[0]
    fired = set(map(int, firing.split("[")[1].rstrip("]").split(",")))
    assert fired & set(range(10, 20))
