"""Weights averaged over the steps of a training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class EMA:
    """Exponential moving average of a module's parameters and buffers; what is not a real number is taken as it is.

    After n steps the decay is (1 + n) / (10 + n) where that is less, so that the initial weights are forgotten.
    Not torch's AveragedModel: its first update throws the initial weights away, so trainings would end with other
    numbers than they did, and it averages a copy of the module, while a task runs and saves the module that it has.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.n_steps = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the module's weights after an optimiser step."""
        self.n_steps += 1
        weight = 1 - min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        for name, tensor in self.module.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, weight)
            else:
                self.tensors[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the module has the averaged weights; after, its own again."""
        own = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        self.module.load_state_dict(self.tensors)
        try:
            yield
        finally:
            self.module.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """`n_steps` and `tensors`."""
        return {"n_steps": self.n_steps, "tensors": self.tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state_dict."""
        self.n_steps = state["n_steps"]
        for name, tensor in state["tensors"].items():
            self.tensors[name].copy_(tensor)
