"""Which processor computes, and in which precision it does so fast."""

import logging
from functools import cache

import torch

from spikemba.errors import SpikeMbaError


def device_named(name: str) -> torch.device:
    """`auto` is the GPU if there is one. Raises SpikeMbaError when this machine does not have the device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "meta":  # where nothing is computed
        raise SpikeMbaError(f"device is {name!r}; expected auto, cpu, cuda or one of several, as cuda:1")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise SpikeMbaError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from None


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bfloat16, and so faster than in float32.

    Without such products a CPU computes them all the same, several times as slowly.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def resolved_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 where the device is faster in it, else fp32; any other name is what it says."""
    if name != "auto":
        return name
    return "bf16" if has_bfloat16(device) else "fp32"


def slow_precision(name: str, device: torch.device) -> str | None:
    """What to say of a precision in which the device is slower than in float32; None: nothing."""
    if name != "bf16" or has_bfloat16(device):
        return None
    return f"this {device.type} has no bf16 products, so that bf16 is slower here than fp32"


@cache
def warn_of_slow_precision(name: str, device: torch.device) -> None:
    """Say that, once per process."""
    if (said := slow_precision(name, device)) is not None:
        logging.getLogger("spikemba").warning(said)
