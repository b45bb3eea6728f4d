"""What a check is: a name, and a function that returns figures, or says why it is skipped, or what is wrong."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from spikemba.ops.official_kernels import Kernel, find

Figures = Mapping[str, float]
RTOL = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Largest error that a result in that type may have, as a share of the largest number of what is right: a few of its
roundings; every backend computes in float32 inside."""
HALVES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Check(NamedTuple):
    """One line of the report."""

    name: str
    run: Callable[[], Figures]


Checks = Iterator[Check]


class Skipped(Exception):
    """A check that this machine cannot make; the message says for want of what."""


class Wrong(Exception):
    """Something is not what it must be; the message has both numbers."""


def need(kernel: Kernel) -> None:
    """Raise Skipped where there is no such official kernel that runs."""
    if find(kernel).function is None:
        raise Skipped(f"no {kernel.name}: {find(kernel).problem}")


def error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest number expected; infinite where one is no number."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    if found.shape != expected.shape:
        raise Wrong(f"its shape is {tuple(found.shape)}; expected {tuple(expected.shape)}")
    if not found.isfinite().all():
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30)) if found.numel() else 0.0


def held(errors: Mapping[str, float], most: float) -> Figures:
    """The errors, none of them above `most`. Raises Wrong, which names those that are."""
    above = {name: value for name, value in errors.items() if not value <= most}
    if above:
        raise Wrong(", ".join(f"{name} is off by {value:.2g}" for name, value in above.items()) + f"; {most:g} may be")
    return errors
