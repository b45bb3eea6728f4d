"""The official CUDA kernels of mamba-ssm and causal-conv1d behind our arguments, where they are installed and run."""

# Shapes: B pairs, L positions, E inner width, N state size, K taps.

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from spikemba.errors import LibraryBroken, PackageMissing
from spikemba.libraries import cause, is_installed, library, versioned


@dataclass(frozen=True)
class Official:
    """What looking for a kernel came to."""

    kernel: Callable[..., Tensor] | None
    problem: str = ""
    """Why there is none."""


def official_scan() -> Callable[..., Tensor] | None:
    """mamba_ssm's selective_scan_fn, or None where there is no GPU, no mamba-ssm, or one that does not run."""
    return find_scan().kernel


def official_conv() -> Callable[..., Tensor] | None:
    """causal_conv1d's causal_conv1d_fn, or None."""
    return find_conv().kernel


@cache
def find_scan() -> Official:
    """The scan, tried once per process, or what keeps it from running."""
    return _working("mamba_ssm", "mamba_ssm.ops.selective_scan_interface", "selective_scan_fn", _try_scan)


@cache
def find_conv() -> Official:
    """The convolution, tried once per process, or what keeps it from running."""
    return _working("causal_conv1d", "causal_conv1d", "causal_conv1d_fn", _try_conv)


def selective_scan_cuda(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Same arguments and result as `selective_scan_reference`, by mamba-ssm's kernel.

    Raises PackageMissing, LibraryBroken when it is installed and does not run.
    """
    scan = official_scan()
    if scan is None:
        raise _unusable("mamba_ssm", "the CUDA scan", find_scan().problem)
    # delta is ready: their bias and softplus would undo its zeros at padding
    channels = (tensor.transpose(1, 2).contiguous() for tensor in (x, delta.to(x.dtype)))
    states = (tensor.to(x.dtype).transpose(1, 2).contiguous() for tensor in (b, c))
    return scan(*channels, a.float().contiguous(), *states).transpose(1, 2)


def causal_conv_cuda(x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, *, reverse: bool) -> Tensor:
    """Same arguments and result as `causal_conv_silu`, by causal-conv1d's kernel.

    Raises PackageMissing, LibraryBroken when it is installed and does not run.
    """
    conv = official_conv()
    if conv is None:
        raise _unusable("causal_conv1d", "the CUDA convolution", find_conv().problem)
    real = None if mask is None else mask[..., None]
    x = x if real is None else x * real
    x = x.flip(1) if reverse else x
    out = conv(x.transpose(1, 2).contiguous(), weight[:, 0].to(x.dtype), bias.to(x.dtype), activation="silu")
    out = out.transpose(1, 2)
    out = out.flip(1) if reverse else out
    return out if real is None else out * real


def _working(package: str, module: str, name: str, attempt: Callable[[Callable[..., Tensor]], object]) -> Official:
    if not torch.cuda.is_available():
        return Official(None, "torch sees no GPU")
    if not is_installed(package):
        return Official(None, "it is not installed")
    try:
        with library(package):
            found: Callable[..., Tensor] = getattr(importlib.import_module(module), name)
        attempt(found)
    except Exception as error:  # an ABI mismatch is an OSError, a wheel for another GPU a RuntimeError, and so on
        problem = str(error) if isinstance(error, LibraryBroken) else cause(error)
        logging.getLogger("spikemba").debug("%s is not used: %s", module, problem)
        return Official(None, problem)
    return Official(found)


def _unusable(package: str, purpose: str, problem: str) -> PackageMissing | LibraryBroken:
    """The error of whoever asks for a kernel that is not there."""
    if not is_installed(package):
        return PackageMissing(package.replace("_", "-"), purpose, "cuda")
    return LibraryBroken(f"{purpose} cannot run: {versioned(package)} is installed, and {problem}")


def _try_scan(scan: Callable[..., Tensor]) -> None:
    ones = torch.ones(1, 8, 8, device="cuda")
    scan(ones, ones, -ones[0], ones, ones)


def _try_conv(conv: Callable[..., Tensor]) -> None:
    ones = torch.ones(1, 8, 8, device="cuda")
    conv(ones, ones[0, :, :4].contiguous(), ones[0, 0], activation="silu")
