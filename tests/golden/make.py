"""Makes the golden files of `made/`: `PYTHONPATH=tests python -m golden.make`, from the root of the repository.

A file is written only when today's code gives other numbers than it holds, by more than its tolerance; so neither a
second run nor another processor changes anything. HOW.md says when that may be.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from golden import inputs, today
from golden.files import ANSWER, EXACT, FOLDER, NETWORK, TRAINING, Tolerance, differences, read, write

ROOT = FOLDER.parents[1]
MADE = FOLDER / "made"
VIDEO, QUERY = "examples/shapes.mp4", "a red circle enters"
SENTENCES = (QUERY, "Circle", "the purple elephant spins, and then it leaves on the left")
"""For the encoder: all words known, one word alone, some unknown."""
SEED, STEPS = 6, 5
"""Of 110 seeds, the one whose neurons keep furthest (8e-6) from their thresholds for five steps."""

REQUIRED: dict[str, dict[str, Any]] = {
    "grounding": {},
    "recognition": {},
    "adaptation": {"videos": "videos", "encoder": {"backbone": "backbone"}},
}
"""Task -> settings without which it has no configuration."""


@dataclass(frozen=True)
class Golden:
    """A file that can be made again."""

    make: Callable[[], Mapping[str, Any]]
    tolerance: Tolerance


def readme_answer() -> dict[str, Any]:
    """The whole answer to the question at the top of README."""
    answer = today.spikemba("ground", ROOT / VIDEO, QUERY, "--checkpoint", today.BUNDLED, "--json", "--no-cache")
    found: dict[str, Any] = json.loads(answer)
    return found | {"video": VIDEO}


def bundled_network() -> today.Arrays:
    """All that the bundled checkpoint puts out for the fixed batch, in plain PyTorch."""
    with today.kernels(compiled=False):
        return today.grounding_outputs(today.BUNDLED, inputs.fixed_batch(*today.feature_widths(today.BUNDLED)))


def bundled_encoder() -> today.Arrays:
    """Features of the bundled encoder for drawn frames and three sentences."""
    with today.kernels(compiled=False):
        return today.mini_outputs(None, inputs.pictures(3, 8, 64), SENTENCES)


def five_losses() -> dict[str, Any]:
    """Loss, terms and gradient of five optimiser steps with the settings of configs/shapes.yaml.

    Eight pairs are one batch, so each epoch is one step and each row of metrics.jsonl tells of one.
    """
    with tempfile.TemporaryDirectory() as folder, today.kernels(compiled=False):
        data = inputs.write_corpus(Path(folder) / "data")
        run = Path(folder) / "run"
        settings = {
            "data.train": data / "pairs.jsonl",
            "data.val": "null",
            "data.test": "null",
            **{f"data.{split}_nulls": "null" for split in ("train", "val", "test")},
            "data.video_features": f"[{data / 'features' / 'made'}]",
            "data.text_features": data / "features" / "made_text",
            "train.epochs": STEPS,
            "train.seed": SEED,
        }
        given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        today.spikemba("train", "--config", ROOT / "configs" / "shapes.yaml", *given, "--out", run)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = ("loss", "gradient_norm", "learning_rate", "terms")
    return {"steps": [{name: row[name] for name in kept} for row in rows]}


def configurations() -> dict[str, Any]:
    """Every setting of every file in configs/ as it is resolved, and of each task where nothing is set."""
    with tempfile.TemporaryDirectory() as folder:
        for task, required in REQUIRED.items():
            (Path(folder) / f"no settings, {task}.yaml").write_text(yaml.safe_dump({"task": task, **required}))
        paths = sorted([*(ROOT / "configs").glob("*.yaml"), *Path(folder).iterdir()])
        return {path.stem: today.settings(path) for path in paths}


FILES = {
    "readme_answer.json": Golden(readme_answer, ANSWER),
    "bundled_network.npz": Golden(bundled_network, NETWORK),
    "bundled_encoder.npz": Golden(bundled_encoder, NETWORK),
    "five_losses.json": Golden(five_losses, TRAINING),
    "configurations.json": Golden(configurations, EXACT),
}
"""Name in made/ -> how it is made."""


def make(name: str) -> list[str]:
    """Write a file if what today's code gives differs from it; returns the differences."""
    path, golden = MADE / name, FILES[name]
    found = golden.make()
    changed: list[str] = ["the file is new"]
    if path.is_file():
        old = read(path)
        changed = differences(found, old, golden.tolerance) or differences(old, found, golden.tolerance)
    if changed:
        path.parent.mkdir(exist_ok=True)
        write(path, found, golden.tolerance)
    return changed


if __name__ == "__main__":
    # before torch is imported; with what a user has, the answers would be others
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as empty:
        os.environ["SPIKEMBA_CACHE"], os.environ["SPIKEMBA_HOME"] = f"{empty}/cache", f"{empty}/home"
        for one in FILES:
            lines = make(one)
            print(f"{one}: {'written' if lines else 'as it was'}", *lines[:5], sep="\n  ", file=sys.stderr)
