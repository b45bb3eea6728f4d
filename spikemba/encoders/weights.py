"""Weights of encoders: where they are found, what to say when they are absent, and the device they run on."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikemba.device import device_named, has_bfloat16
from spikemba.encoders.base import EncoderOptions
from spikemba.errors import SpikeMbaError, WeightsMissing
from spikemba.hub_problem import HubProblem, hub_problem, is_outside, what_failed
from spikemba.libraries import library

_SHORT = 80
"""Characters of an address that a message may hold."""


@dataclass(frozen=True)
class Source:
    """One place from which weights come."""

    encoder: str
    """Whose weights they are, as `--weights` names it."""
    file: str
    """Published name of the file."""
    address: str
    """Where a person can get it."""
    repository: str | None = None
    """On the hub; None: not there."""
    hub_files: tuple[str, ...] = ()
    """Names of the file on the hub, the best first."""
    listed: bool = True
    """Whether `doctor` tells of it, as of every encoder's usual model."""

    def missing(self, problem: str = "", kind: str = "FILE") -> WeightsMissing:
        """The error that says what to do.  problem: why the hub did not give them.  kind: what --weights takes."""
        why = f" ({problem})" if problem else ""
        at_hand = len(self.address) <= _SHORT or not self.listed
        place = f" from {self.address}" if at_hand else ", as `spikemba doctor --only weights` says"
        return WeightsMissing(
            f"the weights of {self.encoder} are not on this machine{why}: get {self.file}{place}, and name it with "
            f"--weights {self.encoder}={kind}; offline, --encoder mini works, for drawn shapes only"
        )


def find_weights(source: Source, options: EncoderOptions) -> Path:
    """The weights' file: the one that was named, else by its name in `options.folder`, else by the hub's cache, else
    from the hub. Raises WeightsMissing that says why the hub did not give it.
    """
    found = weights_here(source, options) or _from_hub(source)
    if isinstance(found, Path):
        return found
    raise source.missing(found)


def weights_here(source: Source, options: EncoderOptions) -> Path | None:
    """The same without asking the hub; None when they are not on this machine.

    Raises WeightsMissing when a file was named that is not there.
    """
    if options.weights is not None:
        if not options.weights.is_file():
            raise WeightsMissing(f"{options.weights}: no such file; expected the weights of {source.encoder}")
        return options.weights
    names = (source.file, *source.hub_files) if options.folder else ()
    for path in (options.folder / name for name in names if options.folder):
        if path.is_file():
            return path
    return _in_cache(source)


def _in_cache(source: Source) -> Path | None:
    """What the hub's cache holds."""
    with library("huggingface_hub"):
        from huggingface_hub import try_to_load_from_cache

    for name in source.hub_files if source.repository else ():
        cached = try_to_load_from_cache(source.repository or "", name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def _from_hub(source: Source) -> Path | str:
    """The file, fetched; or why it is not, empty where nobody is to be asked."""
    if source.repository is None:
        return ""
    with library("huggingface_hub"):
        from huggingface_hub import hf_hub_download

    for name in source.hub_files:
        problem = problem_on_hub(source.repository, name)
        if problem is None:
            try:
                return Path(hf_hub_download(source.repository, name))
            except Exception as error:
                if not is_outside(error):
                    raise
                return f"fetching {name} broke off: {what_failed(error)[1]}"
        if problem.kind != "file":
            return problem.text
    return f"the repository {source.repository} holds no {' or '.join(source.hub_files)}"


@cache
def problem_on_hub(repository: str, file: str) -> HubProblem | None:
    """Why the hub does not give the file; None when it does. Asked once per process."""
    return hub_problem(repository, file)


def placed(module: nn.Module, options: EncoderOptions) -> tuple[Any, torch.device, torch.dtype]:
    """The module in evaluation mode, on the device and in the precision that are asked for.

    Raises SpikeMbaError when this machine does not have them.
    """
    device = device_named(options.device)
    dtype = torch.float32
    if options.precision == "bfloat16":
        if device.type != "cuda" and not has_bfloat16(device):  # a GPU without it emulates it
            raise SpikeMbaError(f"this {device.type} has no bfloat16 arithmetic; leave out --precision bfloat16")
        dtype = torch.bfloat16
    return module.eval().requires_grad_(False).to(device, dtype), device, dtype
