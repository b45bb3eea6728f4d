"""Weights of any origin as plain tensors: read from a file without running it, identified, fitted to a network.

A checkpoint of ours, of whatever network, is a folder of two files: `config.json`, whose keys its kind decides, and
`model.safetensors`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from spikemba.config import Config, flat
from spikemba.errors import CheckpointError, ConfigError
from spikemba.files import CONFIG_FILE, WEIGHTS_FILE, write_json, writing
from spikemba.libraries import library, one_line
from spikemba.reading.pickles import Thing
from spikemba.reading.torch_files import read_torch, values_in
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

C = TypeVar("C", bound=Config)
M = TypeVar("M", bound=nn.Module)


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


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from a .safetensors file or one of PyTorch, running nothing that the file holds.

    A table below `state_dict`, `model` or `module` is taken, and the prefixes that wrappers put before the names
    (`module.` and `_orig_mod.`) are left out.
    Raises CheckpointError when it is neither, or cannot be read at all.
    """
    tree = read_weights_file(path)
    calls = next((value.name for value in values_in(tree) if isinstance(value, Thing) and value.name.runs), None)
    if calls is not None:
        raise CheckpointError(f"{path}: not a file of weights that can be read safely (loading it would run {calls})")
    for key in ("state_dict", "model", "module"):
        tree = tree[key] if isinstance(tree.get(key), dict) else tree
    return {re.sub(WRAPPERS, "", str(name)): value for name, value in tree.items() if isinstance(value, torch.Tensor)}


WRAPPERS = r"^(module\.|_orig_mod\.)+"
"""What DistributedDataParallel and torch.compile put before the names of tensors."""


def read_weights_file(path: Path) -> dict[Any, Any]:
    """What a file of weights holds: tensors and plain values by name. Raises CheckpointError."""
    with library("safetensors"):
        from safetensors.torch import load_file
    try:
        tree = load_file(path) if is_safetensors(path) else read_torch(path)
    except MemoryError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # safetensors raises many kinds
        raise CheckpointError(f"{path}: not a file of weights that can be read safely ({one_line(error)})") from None
    return tree if isinstance(tree, dict) else {}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do, whatever its name is. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or (start[4:8] == bytes(4) and start[8:9] == b"{")


def built(make: Callable[[], M], config: Config, state: Mapping[str, torch.Tensor], path: Path) -> M:
    """A network by the settings that a file holds, once it is known to be no larger than the file's weights fill.

    make: builds it; called on no device first.  config: its settings.  state: its weights.
    Raises CheckpointError when it cannot be built, or would take far more.
    """
    counts = {key: value for key, value in flat(config.model_dump()).items() if type(value) is int}
    for key, n in counts.items():
        if n > MOST or (key.endswith(("blocks", "layers")) and n > len(state)):
            raise CheckpointError(f"{path}: {key} is {n:,}; its weights are {len(state):,} tensors")
    try:
        with torch.device("meta"):
            plan = make()
        wanted = sum(tensor.nbytes for tensor in (*plan.parameters(), *plan.buffers()))
    except (RuntimeError, TypeError, ValueError, OverflowError, ZeroDivisionError, MemoryError) as error:
        raise CheckpointError(f"{path}: no network can be built by its settings ({one_line(error)})") from None
    n_bytes = sum(tensor.nbytes for tensor in state.values())
    if wanted > LARGER * n_bytes + (1 << 24):
        sizes = f"{wanted / 1e6:,.0f} MB; its weights are {n_bytes / 1e6:,.1f} MB"
        raise CheckpointError(f"{path}: its settings ask for a network of {sizes}")
    return make()


MOST = 1_000_000
"""Largest whole number in a network's settings."""
LARGER = 8
"""How much larger than its weights a network may be: in half precision they are half of it, a new head is not there."""


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
    check_finite(state, path)
    module.load_state_dict(state)


def check_finite(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise CheckpointError that names a tensor with a number in it that is none: all that it touches would be NaN."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.is_meta and not _all_finite(tensor):
            n = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(
                f"{path}: {n:,} of the {tensor.numel():,} numbers of {name} are NaN or infinite; expected numbers "
                "everywhere: the training that made it had broken down"
            )


def _all_finite(tensor: torch.Tensor) -> bool:
    """A sum is finite only where all numbers are; in half precision it may be infinite where they are not, too."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _unlike(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    return mine.shape != theirs.shape
