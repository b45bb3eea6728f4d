"""Weights of any origin as plain tensors: read from a file without running it, identified, fitted to a network."""

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikemba.errors import CheckpointError
from spikemba.libraries import library


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of the tensors as loaded, so that the same weights in another kind of file are the same."""
    return tensors_digest(module.state_dict())


def tensors_digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names and the numbers of tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        if tensor.is_floating_point():
            digest.update(name.encode())
            digest.update(tensor.detach().float().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Any]:
    """Tensors by name from a .safetensors file or a PyTorch file, running nothing that the file holds.

    Raises CheckpointError when it is neither, or cannot be read at all.
    """
    with library("safetensors"):
        from safetensors.torch import load_file
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        try:
            # training scripts put their parsed arguments beside the weights; a Namespace runs nothing
            with torch.serialization.safe_globals([argparse.Namespace]):
                state = torch.load(path, map_location="cpu", weights_only=True)
        except RuntimeError as error:
            if "TorchScript" not in str(error):
                raise
            # The form of OpenAI's own files. Its code is loaded into the interpreter and not called.
            state = torch.jit.load(str(path), map_location="cpu").state_dict()
    except MemoryError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:150]
        raise CheckpointError(f"{path}: not a file of weights that can be read safely ({reason})") from None
    state = state if isinstance(state, dict) else {}
    for key in ("state_dict", "model", "module"):
        state = state[key] if isinstance(state.get(key), dict) else state
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, torch.Tensor)}


def load_state(module: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Copy the tensors into the module. Raises CheckpointError that names what is missing, left over or misshapen."""
    own = module.state_dict()
    missing = sorted(set(own) - set(state))
    over = sorted(set(state) - set(own))
    shaped = [
        f"{k} {tuple(state[k].shape)}, not {tuple(own[k].shape)}"
        for k in own
        if k in state and _unlike(own[k], state[k])
    ]
    faults = [
        f"{what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        for what, names in (("missing", missing), ("left over", over), ("of another shape", shaped))
        if names
    ]
    if faults:
        raise CheckpointError(f"{path}: its tensors do not fit this network; {'; '.join(faults)}")
    module.load_state_dict(state)


def _unlike(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    return mine.shape != theirs.shape
