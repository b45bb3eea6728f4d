"""`--precision` of ground and evaluate: nothing changes by default, bf16 is near, other values are refused."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from spikemba.device import warn_of_slow_precision
from spikemba_cli.encoder_options import of_each
from spikemba_cli.main import app

VIDEO = Path(__file__).parents[2] / "examples" / "shapes.mp4"
GROUND = ("ground", VIDEO, "a red circle enters", "--checkpoint", "mini", "--no-cache", "--json")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def moments(result):
    assert result.exit_code == 0, result.stderr
    return [(m["start_s"], m["end_s"], m["score"]) for m in json.loads(result.stdout)["moments"]]


def test_ground_is_the_same_in_fp32_and_near_in_bf16():
    plain = run(*GROUND)
    assert {run(*GROUND, "--precision", name).stdout for name in ("fp32", "float32")} == {plain.stdout}
    full, half = moments(plain), moments(run(*GROUND, "--precision", "bf16"))
    assert half != full
    assert half[0] == pytest.approx(full[0], abs=0.1)


def test_evaluate_is_the_same_in_fp32_and_near_in_bf16(trained):
    asked = ("evaluate", trained, "--split", "test", "--json")
    plain, full, half = (run(*asked, *more) for more in ((), ("--precision", "fp32"), ("--precision", "bf16")))
    assert plain.stdout == full.stdout != half.stdout
    a, b = (json.loads(one.stdout)["brief"]["MR-full-mAP"] for one in (full, half))
    assert b == pytest.approx(a, abs=10)  # of an untrained network on a few queries


@pytest.mark.parametrize("command", [("ground", VIDEO, "a dog"), ("evaluate", "mini")])
def test_other_values_are_refused_with_those_there_are(command):
    result = run(*command, "--precision", "half")
    assert result.exit_code == 2
    assert "'half' is not one of 'auto', 'fp32', 'bf16'" in " ".join(result.stderr.replace("│", " ").split())


def test_evaluate_refuses_it_for_a_file_of_predictions(corpus):
    files = ("--predictions", corpus / "test.jsonl", "--annotations", corpus / "test.jsonl")
    result = run("evaluate", *files, "--precision", "bf16")
    assert result.exit_code == 2
    assert "is for a checkpoint" in " ".join(result.stderr.split())


@pytest.mark.parametrize("able", [True, False])
def test_the_option_of_ground_speaks_of_encoders_and_checkpoint(monkeypatch, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    here = "bfloat16" if able else "float32"
    expected = {"fp32": ("float32", "fp32"), "bf16": (here, "bf16"), "auto": (here, "auto")}
    expected |= {"float32": ("float32", "fp32"), "bfloat16": ("bfloat16", "fp32")}
    assert {name: of_each(name, "cpu") for name in expected} == expected


def test_bf16_where_it_is_slow_says_so_in_a_line(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    warn_of_slow_precision.cache_clear()
    result = run(*GROUND, "--precision", "bf16")
    assert moments(result)
    assert "this cpu has no bf16 products" in " ".join(result.stderr.split())
    warn_of_slow_precision.cache_clear()
    assert "bf16" not in run(*GROUND, "--precision", "auto").stderr
