"""Where the official CUDA kernels of Mamba are, and whether they run.

They come with mamba-ssm and causal-conv1d, which are compiled where they are installed, or ready-made from the hub of
Hugging Face, whose package `kernels` finds the build for this torch and this GPU. The packages go first.
"""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from spikemba.errors import LibraryBroken
from spikemba.libraries import cause, is_installed, library, versioned

Function = Callable[..., Tensor]


class HubUnreachable(LibraryBroken):
    """The hub did not say who published a kernel."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: the hub cannot be asked; with HF_HUB_OFFLINE=1 what was fetched before is used")


@dataclass(frozen=True)
class Place:
    """Where a kernel may be."""

    package: str
    """Import name of what must be installed."""
    module: str
    """What is imported; of `kernels`, the hub's repository and its version: `owner/name@5`."""

    @property
    def called(self) -> str:
        """What a user reads: `mamba-ssm 2.3.0`, `kernels-community/mamba-ssm@5`."""
        return self.module if self.package == "kernels" else versioned(self.package)

    def function(self, name: str) -> Function:
        """The function of that name; from the hub it is downloaded once. Raises whatever keeps it from being there."""
        with library(self.package):
            module = importlib.import_module("kernels" if self.package == "kernels" else self.module)
        found: Function | None = getattr(self._of_hub(module) if self.package == "kernels" else module, name, None)
        if found is None:
            raise LibraryBroken(f"it has no {name}")
        return found

    def _of_hub(self, kernels: ModuleType) -> ModuleType:
        """What `kernels` fetches or has kept. Raises HubUnreachable, and what it raises itself."""
        repository, _, version = self.module.partition("@")
        try:
            fetched: ModuleType = kernels.get_kernel(repository, version=int(version))
        except ValueError as error:
            if "could not verify publisher trust" in str(error):  # it advises what only its caller can do
                raise HubUnreachable(self.called) from error
            raise
        return fetched


@dataclass(frozen=True)
class Kernel:
    """One of the official kernels."""

    name: str
    places: tuple[Place, ...]
    """In the order in which they are tried; each version on the hub is built for some releases of torch."""
    attempt: Callable[[Function], None]
    """Runs it, and raises what is wrong."""


@dataclass(frozen=True)
class Found:
    """What looking for a kernel came to."""

    function: Function | None
    place: str = ""
    """What it is of, as `Place.called`."""
    problem: str = ""
    """Why there is none, or why one that goes first is not used."""


@cache
def find(kernel: Kernel, package: str = "") -> Found:
    """The first function that is there and runs, looked for once per process.  package: the only one to look at."""
    if not torch.cuda.is_available():
        return Found(None, problem="torch sees no GPU")
    there = [place for place in kernel.places if package in ("", place.package) and is_installed(place.package)]
    problems = []
    for place in there:
        try:
            function = place.function(kernel.name)
            kernel.attempt(function)
        except Exception as error:  # an ABI mismatch is an OSError, a build for another GPU a RuntimeError, and so on
            problem = str(error) if isinstance(error, LibraryBroken) else cause(error)
            problem = problem if problem.startswith(place.called) else f"{place.called}: {problem}"
            logging.getLogger("spikemba").debug("%s is not used: %s", kernel.name, problem)
            problems.append(problem)
            if isinstance(error, HubUnreachable):
                break  # all that follow lie there
        else:
            return Found(function, place.called, "; ".join(problems))
    return Found(None, problem="; ".join(problems) or "it is not installed")


def _try_scan(scan: Function) -> None:
    ones = torch.ones(1, 8, 8, device="cuda")
    _expect(scan(ones, ones, -ones[0], ones, ones), 8)  # at first, each of 8 states holds 1


def _try_conv(conv: Function) -> None:
    ones = torch.ones(1, 8, 8, device="cuda")
    _expect(conv(ones, ones[0, :, :4].contiguous(), -ones[0, 0], activation="silu"), 0)  # silu(1 - 1)


def _expect(y: Tensor, first: float) -> None:
    if abs(float(y[0, 0, 0]) - first) > 1e-3:
        raise LibraryBroken(f"it gives {float(y[0, 0, 0])} where {first} is right")


SCAN = Kernel(
    "selective_scan_fn",
    (
        Place("mamba_ssm", "mamba_ssm.ops.selective_scan_interface"),
        *(Place("kernels", f"kernels-community/mamba-ssm@{version}") for version in (5, 2, 1)),
    ),
    _try_scan,
)
CONVOLUTION = Kernel(
    "causal_conv1d_fn",
    (Place("causal_conv1d", "causal_conv1d"), Place("kernels", "kernels-community/causal-conv1d@1")),
    _try_conv,
)
