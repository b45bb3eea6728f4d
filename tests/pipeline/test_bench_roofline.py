"""The benchmark of where the work goes: what it counts, and that its parts are all there and sum to the step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


@pytest.fixture
def counter(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from operator_work import WorkCounter

    return WorkCounter("rest")


def test_a_layer_costs_two_operations_a_weight_and_its_derivatives_twice_that(counter):
    layer, x, grad = torch.nn.Linear(30, 40, bias=False), torch.randn(20, 30, requires_grad=True), torch.ones(20, 40)
    with counter:
        with counter.part("layer"):
            y = layer(x)
        y.backward(grad)
    product = 2 * 20 * 30 * 40
    sizes = 4 * (20 * 30 + 30 * 40 + 20 * 40)
    forward, backward = counter.work["layer", False], counter.work["layer", True]
    assert (forward.flops, forward.bytes) == (product, sizes)
    assert (backward.flops, backward.bytes) == (2 * product, 2 * sizes)
    assert set(counter.work) <= {("layer", False), ("layer", True), ("rest", True)}


def test_products_in_half_precision_are_counted_by_themselves(counter):
    with counter:
        torch.ones(8, 16, dtype=torch.bfloat16) @ torch.ones(16, 4, dtype=torch.bfloat16)
    found = counter.work["rest", False]
    assert found.half_flops == 2 * 8 * 16 * 4


def test_what_is_changed_in_place_is_read_and_written_and_views_are_nothing(counter):
    x, row = torch.zeros(10, 4), torch.ones(4)
    with counter:
        x.view(40).t()
        x.add_(row.expand(10, 4))
    found = counter.work["rest", False]
    assert (found.flops, found.bytes) == (40, 4 * (40 + 4 + 40))


def test_the_parts_are_all_there_and_sum_to_the_step():
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = ["--configs", "shapes", "--set", "train.batch_size=2", "--repeats", "1"]
    command = [sys.executable, str(FOLDER / "bench_roofline.py"), *arguments]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["results"]["shapes"]
    rows = {(row["part"], row["pass"]): row for row in found["rows"]}
    both = {
        *("input projections", "in/out projections", "x/dt projections", "detector projections", "scan", "heads"),
        *("convolution and gate", "neurons", "attention over spikes", "dropout", "losses", "everything else"),
    }
    assert set(rows) == {(part, name) for part in both for name in ("forward", "backward")} | {("optimiser", "forward")}
    assert sum(row["ms"] for row in rows.values()) == pytest.approx(1e3 / found["pairs_per_s"], rel=1e-3)
    assert all(row["mb"] > 0 and row["ms"] > 0 and row["bound_ms"] > 0 for row in rows.values()), rows
