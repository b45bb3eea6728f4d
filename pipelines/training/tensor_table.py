"""The tensors of a batch and of a network's parts: their names, shapes and types, for people."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn


def tensors(record: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a record and of those within, by their place; a storage that is shared is named once."""
    seen: set[int] = set()
    for name, tensor in _all_tensors(record, prefix):
        if tensor.untyped_storage().data_ptr() not in seen or not tensor.numel():
            seen.add(tensor.untyped_storage().data_ptr())
            yield name, tensor


def _all_tensors(record: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(record, Tensor):
        yield prefix, record
    elif is_dataclass(record):
        for one in fields(record):
            yield from _all_tensors(getattr(record, one.name), f"{prefix}.{one.name}".lstrip("."))
    elif isinstance(record, Mapping):
        for key, value in record.items():
            yield from _all_tensors(value, f"{prefix}.{key}".lstrip("."))
    elif isinstance(record, tuple | list):
        for i, value in enumerate(record):
            yield from _all_tensors(value, f"{prefix}.{i}".lstrip("."))


def tensors_of(record: Any) -> list[Tensor]:
    """The same without their names."""
    return [tensor for _, tensor in tensors(record)]


def shape(tensor: Tensor) -> str:
    """As `(32, 75, 256) float32`."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


@contextmanager
def shapes_of_parts(module: nn.Module) -> Iterator[dict[str, str]]:
    """Note the shapes that the network's parts return on their first call, down to the parts of a block."""
    found: dict[str, str] = {}

    def note(name: str) -> Any:
        def hook(part: nn.Module, args: Any, out: Any) -> None:  # noqa: ARG001
            shapes = [shape(tensor) for tensor in tensors_of(out)]
            if shapes:
                found.setdefault(name, ", ".join(shapes[:3]) + (" ..." if len(shapes) > 3 else ""))

        return hook

    handles = [
        part.register_forward_hook(note(name))
        for name, part in module.named_modules()
        if name and len(name.split(".")) <= 3 and _is_first(name) and not _is_layer(part)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _is_first(name: str) -> bool:
    """Whether a part stands for its like: of a list of blocks the first does."""
    return all(not piece.isdecimal() or piece == "0" for piece in name.split("."))


def _is_layer(part: nn.Module) -> bool:
    """Whether a part is one of torch's own."""
    return type(part).__module__.startswith("torch.")
