"""Which processor computes."""

import torch

from spikemba.errors import SpikeMbaError


def device_named(name: str) -> torch.device:
    """`auto` is the GPU if there is one. Raises SpikeMbaError when this machine does not have the device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise SpikeMbaError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from None
