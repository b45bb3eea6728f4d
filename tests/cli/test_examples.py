"""The scripts in examples/ run as they stand."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from spikemba.moments import iou

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(script):
    result = subprocess.run([sys.executable, EXAMPLES / script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_every_example_has_a_test():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        *("ground_a_video.py", "train_step.py", "transformers_mamba.py", "onnx_answer.py")
    }


def test_the_bundled_model_finds_the_red_circle():
    """It enters at 21.3 s and stands still at 25.8 s; moments are drawn from a grid of 2 s clips."""
    title, *lines = printed("ground_a_video.py").splitlines()
    assert title == "a red circle enters"
    found = [re.fullmatch(r" +([\d.]+) s to +([\d.]+) s, score ([\d.]+)", line) for line in lines[:3]]
    windows = np.array([[float(start), float(end)] for start, end, _ in (one.groups() for one in found)])
    overlaps = iou(windows, np.array([[21.3, 25.8]]))[:, 0]
    assert overlaps[0] > 0.4
    assert overlaps.max() > 0.7
    scores = [float(one[3]) for one in found]
    assert scores == sorted(scores, reverse=True)
    assert lines[3] == "something blue spins"


def test_a_step_on_own_tensors_lowers_the_loss():
    first, last, firing = printed("train_step.py").splitlines()
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in (first, last)]
    assert losses[1] < 0.5 * losses[0]
    fired = set(map(int, firing.split("[")[1].rstrip("]").split(",")))
    assert fired & set(range(10, 20))


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.no_grad()
def test_a_transformers_mamba_gives_the_same_logits_on_our_scan(capsys):
    example = load("transformers_mamba")
    example.main(None, 40)
    shown = capsys.readouterr().out
    assert float(shown.split("difference of the logits ")[1].split()[0]) < 1e-4
    model = example.MambaForCausalLM(example.SMALL).eval()
    tokens = torch.randint(500, (1, 12))
    plain = model.generate(tokens, max_new_tokens=6, do_sample=False)
    with example.spikemba_scan():
        assert torch.equal(model.generate(tokens, max_new_tokens=6, do_sample=False), plain)
