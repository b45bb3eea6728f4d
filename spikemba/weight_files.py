"""Weights of any origin as plain tensors: read from a file without running it, identified, fitted to a network.

A checkpoint of ours, of whatever network, is a folder of two files: `config.json`, whose keys its kind decides, and
`model.safetensors`.
"""

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from spikemba.config import Config
from spikemba.errors import CheckpointError, ConfigError
from spikemba.files import CONFIG_FILE, WEIGHTS_FILE, write_json, writing
from spikemba.libraries import library, one_line
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

C = TypeVar("C", bound=Config)


def write_checkpoint(folder: Path, config: Config, state: Mapping[str, torch.Tensor]) -> None:
    """Write a checkpoint's folder, each file whole or not at all. Raises OutputError."""
    with library("safetensors"):
        from safetensors.torch import save_file
    with writing(folder / WEIGHTS_FILE) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)
    write_json(folder / CONFIG_FILE, config.model_dump(mode="json"))


def read_settings(folder: Path) -> dict[str, Any]:
    """What a checkpoint's config.json holds, unchecked. Raises CheckpointError when it is no JSON object."""
    try:
        tree = read_json(folder / CONFIG_FILE)
    except (OSError, Unreadable) as error:
        raise CheckpointError(f"{folder}: its {CONFIG_FILE} cannot be read ({one_line(error)})") from None
    if not isinstance(tree, dict):
        raise CheckpointError(f"{folder}: its {CONFIG_FILE} cannot be read (it is no object)")
    return tree


def parse_settings(folder: Path, tree: Mapping[str, Any], kind: type[C]) -> C:
    """What `read_settings` gave, as the kind of checkpoint that it is of. Raises CheckpointError."""
    try:
        return kind.parse(tree, str(folder / CONFIG_FILE))
    except ConfigError as error:
        raise CheckpointError(f"{folder}: its {CONFIG_FILE} cannot be read ({one_line(error)})") from None


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's weights. Raises CheckpointError when they are absent or damaged."""
    with library("safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    try:
        return dict(load_file(folder / WEIGHTS_FILE))
    except OSError as error:
        raise CheckpointError(f"{folder}: its {WEIGHTS_FILE} cannot be read ({one_line(error)})") from None
    except SafetensorError as error:
        raise CheckpointError(f"{folder}: its {WEIGHTS_FILE} is damaged ({one_line(error)})") from None


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
        raise CheckpointError(f"{path}: not a file of weights that can be read safely ({one_line(error)})") from None
    state = state if isinstance(state, dict) else {}
    for key in ("state_dict", "model", "module"):
        state = state[key] if isinstance(state.get(key), dict) else state
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, torch.Tensor)}


def load_state(module: nn.Module, state: Mapping[str, Any], path: Path) -> None:
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
