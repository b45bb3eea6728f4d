"""Where a training stands: all that its next step depends on, written to train_state.pt and read from it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from pipelines.training.distributed import all_gather, ranks
from pipelines.training.ema import EMA
from pipelines.training.epoch_sums import EpochSums
from spikemba.errors import CheckpointError
from spikemba.libraries import cause

FORMAT = 3
"""Layout of train_state.pt; that of version 0.1.0 was 2 and is still read."""


@dataclass
class Progress:
    """What has been done."""

    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Optimiser steps done in the epoch that runs: where the batch plan goes on."""
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
    ema: EMA | None
    progress: Progress = field(default_factory=Progress)
    sums: EpochSums = field(default_factory=EpochSums)
    """Of the epoch that runs."""

    def state_dict(self) -> dict[str, Any]:
        """All of it, to be saved; every process must call this, and all get the same."""
        return {
            "format": FORMAT,
            "progress": asdict(self.progress),
            "sums": self.sums.state_dict(),
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "random": all_gather(_random_states()),
        }

    def load_state_dict(self, state: dict[str, Any], source: str, seed: int) -> None:
        """Go on from a state_dict; `source` is named in errors.

        Raises CheckpointError when it is that of another model, or was written by another version.
        """
        state = _from_format_2(state) if state.get("format") == 2 else state
        if state.get("format") != FORMAT:
            raise CheckpointError(f"{source} holds a run of another version; choose another folder with --out")
        try:
            self.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError):
            raise CheckpointError(f"{source} holds a run of another model; choose another folder with --out") from None
        try:
            self.scaler.load_state_dict(state["scaler"])
            if self.ema is not None and state["ema"] is not None:
                self.ema.load_state_dict(state["ema"])
            self.progress = Progress(**state["progress"])
            self.sums.load_state_dict(state["sums"], next(self.module.parameters()).device)
            _restore_random(state["random"], seed + self.progress.epoch)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{source} holds a damaged state ({cause(error)}); start a new run with --out"
            ) from None


def _from_format_2(state: dict[str, Any]) -> dict[str, Any]:
    """The state as it is written today: sums had one dictionary, and prefixes for what is in three now."""
    sums: dict[str, dict[str, Tensor]] = {"totals": {}, "terms": {}, "diagnostics": {}}
    for name, value in state["sums"].items():
        prefix, _, rest = name.partition(".")
        place = {"terms": "terms", "watched": "diagnostics"}.get(prefix, "totals")
        sums[place][rest or name] = value
    return {**state, "format": FORMAT, "sums": sums, "ema": state["average"]}


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
