"""The optimiser and its learning rate."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from pipelines.runs.config import TrainConfig


def decay_groups(
    module: nn.Module, weight_decay: float, *, spared: tuple[str, ...] = ("A_log", "_slots")
) -> list[dict[str, Any]]:
    """What learns, in two groups: weight decay spares biases, norms and names that end as `spared` says."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (others if parameter.dim() < 2 or name.endswith(spared) else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def make_optimizer(groups: list[dict[str, Any]], config: TrainConfig) -> Optimizer:
    """AdamW or Adam, all parameters in one kernel: a step of small ones costs more to start than to compute."""
    kind: type[Optimizer] = {"adamw": AdamW, "adam": Adam}[config.optimizer]
    filled = [group for group in groups if group["params"]]
    return kind(filled, lr=config.learning_rate, fused=True)  # type: ignore[call-arg]


def learning_rate_factor(config: TrainConfig, n_steps: int) -> Callable[[int], float]:
    """Multiplier of the learning rate by optimiser steps done: linear over the warm-up, then as the schedule says.

    A function of the step's number alone, which a resumed run knows. Torch's schedulers keep a state of their own, and
    write into the optimiser's; states of version 0.1.0 hold neither.
    """
    n_warm, lowest = round(config.warmup * n_steps), config.lowest_learning_rate / config.learning_rate

    def factor(n_done: int) -> float:
        if n_done < n_warm:
            return lowest + (1 - lowest) * (n_done + 1) / n_warm
        if config.schedule == "cosine":
            done = (n_done - n_warm) / max(1, n_steps - n_warm)
            return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        if config.schedule == "step" and config.drop_epoch is not None:
            return 0.1 if n_done >= config.drop_epoch * n_steps / config.epochs else 1.0
        return 1.0

    return factor


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """The rate of every group, times its own `lr_scale`."""
    for group in optimizer.param_groups:
        scaled: Mapping[str, Any] = group
        group["lr"] = rate * scaled.get("lr_scale", 1.0)
