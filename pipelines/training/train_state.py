"""Where a training stands: all that its next step depends on, taken and put back."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from pipelines.training.averaging import Average
from pipelines.training.distributed import from_all, ranks, total
from spikemba.errors import CheckpointError

FORMAT = 2
"""Layout of train_state.pt."""


@dataclass
class Progress:
    """What has been done."""

    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Optimiser steps done in the epoch that runs: the sampler's position."""
    seconds: float = 0.0
    """Spent on those."""
    best_epoch: int | None = None
    best_value: float = -math.inf
    since_best: int = 0
    """Validations after that."""
    best: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    best_on_test_epoch: int | None = None
    best_on_test: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of metrics.jsonl."""


@dataclass
class TrainState:
    """The parts of a training that change from step to step."""

    module: nn.Module
    optimizer: Optimizer
    scaler: GradScaler
    average: Average | None
    progress: Progress = field(default_factory=Progress)
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Of the epoch that runs: losses, terms and what is watched, each times its examples; this process's share."""

    def take(self) -> dict[str, Any]:
        """All of it, to be saved; every process must call this, and all get the same."""
        return {
            "format": FORMAT,
            "progress": asdict(self.progress),
            "sums": total(self.sums),
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "random": from_all(_random_states()),
        }

    def put_back(self, state: dict[str, Any], source: str, seed: int) -> None:
        """Go on from a saved state; `source` is named in errors.

        Raises CheckpointError when it is that of another model, or was written by another version.
        """
        if state.get("format") != FORMAT:
            raise CheckpointError(f"{source} holds a run of another version; choose another folder with --out")
        try:
            self.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError):
            raise CheckpointError(f"{source} holds a run of another model; choose another folder with --out") from None
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None and state["average"] is not None:
            self.average.load(**state["average"])
        self.progress = Progress(**state["progress"])
        device = next(self.module.parameters()).device
        # the sums are those of all processes: one takes them over
        self.sums = {name: value.to(device) * ranks().first for name, value in state["sums"].items()}
        _restore_random(state["random"], seed + self.progress.epoch)


def _random_states() -> dict[str, Tensor]:
    """The generators of this process."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random(saved: list[dict[str, Tensor]], seed: int) -> None:
    """This process's generators, or new ones where the run had fewer processes."""
    index = ranks().index
    if index >= len(saved):
        seed_rank(seed, index)
        return
    torch.set_rng_state(saved[index]["cpu"])
    if "cuda" in saved[index] and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved[index]["cuda"])


def seed_rank(seed: int, index: int) -> None:
    """Let process `index` draw other dropout than the others."""
    torch.manual_seed(seed + 1_000_003 * index)
