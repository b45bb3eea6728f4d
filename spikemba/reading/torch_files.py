"""PyTorch's files without PyTorch's loaders: zip archives, the older stream, TorchScript, and plain pickles.

`torch.jit.load` compiles and may run what an archive holds, and `torch.load` believes what a pickle says of sizes. Here
tensors are laid over bytes that are there; of everything else plain values are left, and things that do nothing.
"""

import mmap
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikemba.reading.pickles import Name, PickleReader, Thing
from spikemba.reading.unreadable import NotRead, Unreadable
from spikemba.reading.zips import Zip

MAX_COPIES = 4
"""Bytes of all tensors that a file names, to its own: weights may be tied, but not a thousand times."""
MAX_PLACES = 100_000
"""Modules of a TorchScript archive, each counted wherever it stands."""

_MAGIC = 0x1950A86A20F9469CFC6C
"""With which the older stream begins."""
_TYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "Untyped": torch.uint8,
}
_BUFFERS = re.compile(r"""class (\w+)\(Module\):\n  __parameters__ = \[(.*?)\]\n  __buffers__ = \[(.*?)\]""", re.DOTALL)

Storages = Callable[[str, torch.dtype], Tensor | None]
"""Gives the numbers that are stored under a key; None while only their types are asked for."""


def read_torch(path: Path) -> Any:
    """What a file of torch.save holds, with its tensors; of TorchScript, the tensors by name; of a plain pickle, its
    value with its arrays. Raises OSError, Unreadable."""
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise Unreadable("it is empty")
    tree = _read_zip(path) if start.startswith(b"PK") else _read_stream(path)
    _check_copies(tree, path.stat().st_size)
    return tree


def read_torch_outline(path: Path) -> Any:
    """The same with tensors that have a type and a shape but no numbers, of a zip archive without reading those.

    Raises OSError, Unreadable.
    """
    with path.open("rb") as file:
        start = file.read(2)
    return _read_zip(path, outline=True) if start == b"PK" else read_torch(path)


# --- zip archives


def _read_zip(path: Path, *, outline: bool = False) -> Any:
    with Zip(path) as archive:
        pickles = [name for name in archive.names if re.fullmatch(r"([^/]+/)?data\.pkl", name)]
        if len(pickles) != 1:
            raise Unreadable("a zip archive that is no file of PyTorch: it holds no data.pkl")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.names and archive.read(f"{root}byteorder") != b"little":
            raise Unreadable("it was saved on a machine of another byte order")
        content = bytes(archive.read(pickles[0]))
        found: dict[str, Tensor] = {}

        def stored(key: str, dtype: torch.dtype) -> Tensor:
            if key not in found:
                try:
                    name = f"{root}data/{key}"
                    found[key] = (
                        torch.empty(archive.n_bytes(name) // dtype.itemsize, dtype=dtype, device="meta")
                        if outline
                        else _numbers(archive.read(name), dtype)
                    )
                except KeyError:
                    raise Unreadable(f"it has no numbers stored as {key!r}") from None
            return found[key] if found[key].dtype == dtype else found[key].view(torch.uint8).view(dtype)

        tree = _reader(stored).read(BytesIO(content), len(content))
        return _script_tensors(tree, archive, root) if isinstance(tree, Thing) else tree


def _script_tensors(root: Thing, archive: Zip, folder: str) -> dict[str, Tensor]:
    """Parameters and buffers of a TorchScript module, named as its state_dict would name them."""
    found: dict[str, Tensor] = {}
    registered: dict[Name, set[str] | None] = {}
    todo, places = [("", root)], 0
    while todo:
        prefix, thing = todo.pop()
        places += 1
        if places > MAX_PLACES or prefix.count(".") > 100:
            raise Unreadable("its modules hold each other")
        if thing.name not in registered:
            registered[thing.name] = _registered(thing.name, archive, folder)
        names = registered[thing.name]
        for name, value in thing.state.items() if isinstance(thing.state, dict) else ():
            if isinstance(value, Thing):
                todo.append((f"{prefix}{name}.", value))
            elif isinstance(value, Tensor) and (names is None or name in names):
                found[f"{prefix}{name}"] = value
    return found


def _registered(kind: Name, archive: Zip, folder: str) -> set[str] | None:
    """Parameters and buffers of a module's class, as its source lists them; None where there is no source."""
    place = f"{folder}code/{kind.module.replace('.', '/')}.py"
    if place not in archive.names:
        return None
    source = archive.read(place).decode("utf-8", "replace")
    for name, *lists in _BUFFERS.findall(source):
        if name == kind.name:
            return set(re.findall(r'"([^"]*)"', " ".join(lists)))
    return None


# --- one stream: the form before the zip archive, and plain pickles


def _read_stream(path: Path) -> Any:
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
        first = _reader(_no_numbers).read(source, size)
        if first != _MAGIC:
            return first
        for _ in range(2):  # the version, and sizes of numbers on the machine that wrote it
            _reader(_no_numbers).read(source, size)
        start, types = source.tell(), dict[str, torch.dtype]()

        def noted(key: str, dtype: torch.dtype) -> None:
            types[key] = dtype

        _reader(noted).read(source, size)
        keys = _reader(_no_numbers).read(source, size)
        if not isinstance(keys, list):
            raise Unreadable("its list of what is stored is none")
        found = {key: _next_numbers(source, types[key], size) for key in keys if key in types}
        source.seek(start)

        def stored(key: str, dtype: torch.dtype) -> Tensor:
            if key not in found or found[key].dtype != dtype:
                raise Unreadable(f"it has no numbers stored as {key!r}")
            return found[key]

        return _reader(stored).read(source, size)


def _next_numbers(source: mmap.mmap, dtype: torch.dtype, size: int) -> Tensor:
    n = int.from_bytes(source.read(8), "little")
    if n * dtype.itemsize > size - source.tell():
        raise Unreadable(f"it says that {n:,} numbers are stored where the file ends")
    return _numbers(bytearray(source.read(n * dtype.itemsize)), dtype)


def _no_numbers(key: str, dtype: torch.dtype) -> None:
    """Where only the types of what is stored are wanted."""


# --- tensors


def _numbers(content: bytearray, dtype: torch.dtype) -> Tensor:
    if len(content) % dtype.itemsize:
        raise Unreadable(f"{len(content):,} bytes are stored for numbers of {dtype.itemsize}")
    return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _reader(stored: Storages) -> PickleReader:
    """A reader that lays tensors over what `stored` gives."""

    def of_key(key: Any) -> Tensor | None:
        if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage" or not isinstance(key[1], Name):
            raise Unreadable("it names something outside that is no storage")
        dtype = _TYPES.get(key[1].name.removesuffix("Storage"))
        if dtype is None or not isinstance(key[2], str):
            raise NotRead(f"numbers of the type {key[1].name} are not read")
        return stored(key[2], dtype)

    makers: dict[str, Callable[..., Any]] = {
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _typed_tensor,
        "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
        "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    }
    return PickleReader(makers, of_key)


def _tensor(storage: Any, offset: Any, axes: Any, strides: Any, *rest: Any) -> Any:
    """A tensor over stored numbers, none of them outside; third of the rest is what PyTorch notes of it."""
    if storage is None:  # only the types of what is stored are asked for
        return Thing(Name("torch", "Tensor"))
    numbers = (offset, *axes, *strides)
    plain = isinstance(storage, Tensor) and len(axes) == len(strides) and len(axes) <= 16
    if not plain or not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
        raise Unreadable("a tensor whose shape is none")
    wanted, last = 1, offset
    for n, stride in zip(axes, strides, strict=True):
        wanted *= n
        last += (n - 1) * stride
    if wanted and (last >= len(storage) or wanted > 1 << 60):
        shape = " x ".join(map(str, axes)) or "1"
        raise Unreadable(f"it says that a tensor is {shape}, where {len(storage):,} numbers are stored")
    tensor = storage.as_strided(axes, strides, offset) if wanted else storage.new_empty(axes)
    return _signed(tensor, rest[2], len(storage)) if len(rest) > 2 and rest[2] else tensor


def _signed(tensor: Tensor, notes: Any, n_stored: int) -> Tensor:
    """The numbers that are meant where those that are stored wait for their sign or conjugate."""
    if not isinstance(notes, dict) or (tensor.numel() > n_stored and (notes.get("neg") or notes.get("conj"))):
        raise Unreadable("a tensor with notes that are none")
    try:
        meant = -tensor if notes.get("neg") else tensor
        return meant.conj().resolve_conj() if notes.get("conj") else meant
    except RuntimeError:
        raise Unreadable(f"a tensor of {tensor.dtype} that is said to be negative") from None


def _typed_tensor(storage: Any, offset: Any, axes: Any, strides: Any, *rest: Any) -> Any:
    """The same of numbers whose type stands with the tensor, third of the rest."""
    kind = rest[2]
    dtype = getattr(torch, kind.name, None) if isinstance(kind, Name) and kind.module == "torch" else None
    if not isinstance(dtype, torch.dtype):
        raise Unreadable("a tensor whose type is none")
    if storage is None:
        return _tensor(None, offset, axes, strides)
    if storage.numel() % dtype.itemsize:
        raise Unreadable(f"{storage.numel():,} bytes are stored for numbers of {dtype.itemsize}")
    return _tensor(storage.view(dtype), offset, axes, strides, *rest[:2], *rest[3:])


def values_in(tree: Any) -> Iterator[Any]:
    """What stands in a tree, at whatever depth; its containers once, even where they hold each other."""
    todo, seen = [tree], set[int]()
    while todo:
        value = todo.pop()
        if not isinstance(value, (dict, list, tuple)):
            yield value
        elif id(value) not in seen:
            seen.add(id(value))
            todo += value.values() if isinstance(value, dict) else value


def _check_copies(tree: Any, size: int) -> None:
    """Hold what all tensors would take, each by itself, against the file: callers copy them."""
    left = MAX_COPIES * size + (1 << 20)
    for value in values_in(tree):
        left -= int(value.nbytes) if isinstance(value, (Tensor, np.ndarray)) else 0
        if left < 0:
            raise Unreadable("its tensors are far larger than the file: the same numbers are in it many times")
