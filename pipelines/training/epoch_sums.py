"""What the optimiser steps of an epoch came to: sums over its examples, and their means at its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from pipelines.training.distributed import all_reduce, ranks


@dataclass
class EpochSums:
    """Values times the examples that they are means over, by name; this process's share of the sums."""

    totals: dict[str, Tensor] = field(default_factory=dict)
    """`loss` and `gradient_norm`."""
    terms: dict[str, Tensor] = field(default_factory=dict)
    """Of the loss."""
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    """Of the task, of any shapes."""

    def means(self, n_examples: int) -> dict[str, dict[str, Tensor]]:
        """Field -> name -> mean over the examples of all processes; every process must call this."""
        return {
            name: {key: value / n_examples for key, value in values.items()}
            for name, values in self.state_dict().items()
        }

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Field -> name -> sum over all processes, each of which must call this."""
        return {one.name: all_reduce(getattr(self, one.name)) for one in fields(self)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a state_dict. Its sums are those of all processes: the first one takes them over."""
        for one in fields(self):
            setattr(self, one.name, {k: v.to(device) * ranks().first for k, v in state[one.name].items()})


def add(sums: dict[str, Tensor], values: Mapping[str, Tensor], n: int) -> None:
    """Add means over n examples to their sums, without waiting for the device."""
    for name, value in values.items():
        weighted = value.detach().double() * n
        sums[name] = sums[name] + weighted if name in sums else weighted
