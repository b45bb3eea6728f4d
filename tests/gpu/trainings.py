"""The network of the bundled checkpoint and that of the benchmarks, trained on a GPU as on the CPU: their losses."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from gpu.checking import Check, Checks, Figures, Skipped, Wrong
from gpu.drawn_corpus import draw_corpus
from pipelines.runs.config import config_path
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train


class Case(NamedTuple):
    """A configuration, and the features that it is trained on."""

    config: str
    widths: tuple[int, ...]
    query_width: int
    n_clips: int
    n_tokens: int


CASES = {
    "bundled": Case("shapes", (64,), 64, 48, 6),
    "benchmark": Case("qvhighlights", (2304, 512), 512, 75, 16),
}
EPOCHS = 3
WITHOUT_CHANCE = ("model.dropout=0", "model.input_dropout=0", "train.seed=3")
"""A GPU draws other numbers than a CPU does: nothing is drawn but the weights and the order, which are the CPU's."""
ALLOWED = {"fp32": (2e-3, 2e-2), "bf16": (3e-2, 2e-1), "fp16": (3e-2, 2e-1)}
"""Of the loss, as a share: at the first epoch, and at the last, where a spike that flipped has had its effect."""


def checks(device: torch.device) -> Checks:
    """Each network in each precision."""
    for case in CASES:
        for precision in ALLOWED:
            yield Check(f"training: {case}, {precision}", lambda c=case, p=precision: training(c, p, device))


def training(case: str, precision: str, device: torch.device) -> Figures:
    """Losses of the epochs beside the CPU's in float32. Raises Wrong."""
    if device.type == "cpu" and precision == "fp16":
        raise Skipped("float16 is for GPUs")
    right, found = losses(case, "fp32", "cpu"), losses(case, precision, device.type)
    first, last = ALLOWED[precision]
    apart = [abs(one - other) / abs(other) for one, other in zip(found, right, strict=True)]
    if not (apart[0] <= first and apart[-1] <= last and found[-1] < found[0]):
        raise Wrong(f"losses {found}; on the CPU {right}, from which the first may be {first:g}, the last {last:g} off")
    return {f"loss of epoch {i + 1}": one for i, one in enumerate(found)} | {
        f"loss of epoch {i + 1} on the CPU": one for i, one in enumerate(right)
    }


@cache
def losses(case: str, precision: str, device: str) -> list[float]:
    """Of each epoch, by the real training."""
    settings = [*corpus(case), *WITHOUT_CHANCE, f"train.epochs={EPOCHS}", f"train.device={device}"]
    settings += [f"train.precision={precision}", f"train.validate_every={EPOCHS}", "train.batch_size=32"]
    settings += ["train.learning_rate=5e-4"]
    with tempfile.TemporaryDirectory() as folder:
        run = train(load_config(config_path(CASES[case].config), settings), Path(folder) / "run").run
        rows = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(row)["loss"] for row in rows]


@cache
def corpus(case: str) -> tuple[str, ...]:
    """Settings of the drawn corpus of a case."""
    _, *sizes = CASES[case]
    folder = Path(_folder().name) / case
    without = [f"data.{name}=null" for name in ("test", "train_nulls", "val_nulls", "test_nulls")]
    return *draw_corpus(folder, *sizes), *without


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="spikemba-gpu-")
