"""Weights averaged over the steps of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential average of a module's parameters and buffers; what is not a real number is taken as it is.

    After n steps the decay is (1 + n) / (10 + n) where that is less, so that the initial weights are forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.n_steps = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the module's weights after a step."""
        self.n_steps += 1
        share = 1 - min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        for name, tensor in self.module.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, share)
            else:
                self.tensors[name].copy_(tensor)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the module has the averaged weights; after, its own again."""
        own = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        self.module.load_state_dict(self.tensors)
        try:
            yield
        finally:
            self.module.load_state_dict(own)

    def state(self) -> dict[str, int | dict[str, Tensor]]:
        """What `load` takes."""
        return {"n_steps": self.n_steps, "tensors": self.tensors}

    def load(self, n_steps: int, tensors: dict[str, Tensor]) -> None:
        """Put a state back."""
        self.n_steps = n_steps
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)
