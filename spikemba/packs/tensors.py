"""Tensors of a PyTorch file as arrays by key; nothing in the file runs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.packs.store import ONLY
from spikemba.reading.unreadable import NotRead, Unreadable


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Key -> shape of what a file holds, without its numbers. Raises OSError, Unreadable."""
    from spikemba.reading.torch_files import read_torch_outline  # torch loads here

    return {key: tuple(value.shape) for key, value in _arrays(read_torch_outline(path)).items()}


def tensor_values(path: Path, key: str) -> NDArray[Any]:
    """One of a file's arrays. Half precision of either kind comes as float32 or float16.

    Raises KeyError, OSError, Unreadable.
    """
    import torch

    from spikemba.reading.torch_files import read_torch

    value = _arrays(read_torch(path))[key]
    if isinstance(value, np.ndarray):
        return value
    if value.is_complex():
        raise NotRead("a tensor of complex numbers")
    plain = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()  # NumPy has no bfloat16
    try:
        array: NDArray[Any] = plain.contiguous().numpy()
    except TypeError:
        raise NotRead(f"a tensor of {str(value.dtype).removeprefix('torch.')}; expected float16 or float32") from None
    return array


def _arrays(tree: Any) -> dict[str, Any]:
    """The arrays of what was saved: a tensor, or a table of them. Raises Unreadable for anything else."""
    import torch

    from spikemba.reading.pickles import Thing
    from spikemba.reading.torch_files import values_in

    calls = next((value.name for value in values_in(tree) if isinstance(value, Thing) and value.name.runs), None)
    if calls is not None:
        raise Unreadable(f"loading it would run {calls}")
    kinds = (torch.Tensor, np.ndarray)
    if isinstance(tree, kinds):
        return {ONLY: tree}
    if not isinstance(tree, dict):
        raise NotRead(f"it holds {_what(tree)}; expected a tensor, or a dictionary of tensors")
    found = {str(key): value for key, value in tree.items() if isinstance(value, kinds)}
    if not found:
        raise NotRead("it holds a dictionary without tensors")
    return found


def _what(tree: Any) -> str:
    from spikemba.reading.pickles import Thing

    return str(tree.name) if isinstance(tree, Thing) else f"a {type(tree).__name__}"
