"""The one door from tensors to C: nothing passes that C would read or write past its end."""

import ctypes
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import Tensor

from spikemba.errors import ShapeError
from spikemba.ops.native.kernels import FOLLOWING, KERNELS, MAX_HEAD, Array, Given, Kernel
from spikemba.ops.native.library import kernels, threads


def call(name: str, **given: Any) -> None:
    """Run a kernel on its arguments, all of them named, on `threads()` threads.

    Tensors must be as `KERNELS` says. Raises ShapeError when one is not, TypeError when an argument is missing or not
    the kernel's, ValueError for a number out of its range, MemoryError when there is no room for a thread's scratch.
    """
    kernel = KERNELS[name]
    if "threads" not in given:
        given["threads"] = threads()
    if given.keys() != kernel.names:
        raise TypeError(f"{name} takes {sorted(kernel.names)}; given are {sorted(given)}")
    structure = _filled(kernel, given)
    if getattr(kernels(), name)(ctypes.byref(structure)):
        raise MemoryError(f"no memory for {name}")


def row_stride(tensor: Tensor) -> int | None:
    """How far apart the rows of (B, L, N) stand if all are equally far apart, else None.

    An axis of length 1 has a stride that means nothing.
    """
    (batch, length, size), (by_pair, by_row, by_number) = tensor.shape, tensor.stride()
    stride: int = by_row if length > 1 else by_pair if batch > 1 else size
    rows = (size == 1 or by_number == 1) and (batch == 1 or by_pair == stride * length)
    return stride if rows else None


SERIAL = 32768
"""Fewer numbers than these torch sums on one thread, however many it has."""


def summed(rows: Tensor) -> Tensor:
    """The sum over the last axis but one, (..., R, D) -> (..., D), in an order that no number of threads changes."""
    count, width = rows.shape[-2:]
    if count == 1:
        return rows.squeeze(-2)
    if rows.numel() < SERIAL:
        return rows.sum(-2)
    out = rows.new_empty(*rows.shape[:-2], width)
    flat, sums = rows.view(-1, count, width), out.view(-1, width)
    call("sum_over_rows", rows=flat, out=sums, outer=len(sums), count=count, width=width)
    return out


@dataclass(frozen=True)
class _Plan:
    """A call at certain sizes, which come again and again: what needs asking only once has been asked."""

    sizes: ctypes.Structure
    """The kernel's, filled with its whole numbers; to be copied."""
    wanted: list[tuple[str, tuple[Any, ...], int, Array]]
    """Of each tensor that is given: its name, what `_LOOK` must see, bytes that its address is a multiple of."""


_LOOK = attrgetter("shape", "dtype", "is_cpu")
_PLANS: dict[tuple[Any, ...], _Plan] = {}
_MANY = 4096
"""Plans that are kept, a few MB; lengths may come without end."""


def _filled(kernel: Kernel, given: Given) -> ctypes.Structure:
    """The kernel's structure. By cheap questions: this runs before every kernel."""
    plan = _plan(kernel, given)
    structure = kernel.structure.from_buffer_copy(plan.sizes)
    for real in kernel.reals:
        setattr(structure, real, given[real])
    for name, look, aligned, array in plan.wanted:
        tensor = given[name]
        if (
            not isinstance(tensor, Tensor)
            or _LOOK(tensor) != look
            or not (row_stride(tensor) == given["row_stride"] if array.rows else tensor.is_contiguous())
        ):
            _check(kernel.name, array, tensor, look[0], given)
        address = tensor.data_ptr()
        if address % aligned or not address:
            _check_address(kernel.name, array, tensor)
        setattr(structure, name, address)
    return structure


def _plan(kernel: Kernel, given: Given) -> _Plan:
    """Raises ValueError, TypeError or ShapeError for numbers that are not right, and tensors that must be there."""
    key = kernel.name, kernel.whole(given), *[given[one] is None for one in kernel.optional]
    found = _PLANS.get(key)
    if found is None:
        found = _made(kernel, given)
        if len(_PLANS) >= _MANY:
            _PLANS.clear()
        _PLANS[key] = found
    return found


def _made(kernel: Kernel, given: Given) -> _Plan:
    for one in kernel.numbers:
        value = given[one.name]
        if not isinstance(value, int):
            raise TypeError(f"{kernel.name}: {one.name} is {value!r}; expected a whole number")
        if not one.least <= value <= one.most or value % one.multiple:
            raise ValueError(f"{kernel.name}: {one.name} is {value}; expected {one.least} to {one.most}")
    for group in kernel.together:
        if len({given[one] is None for one in group}) > 1:
            raise ShapeError(f"{kernel.name}: {', '.join(group)} go together; some are None")
    if kernel.heads and (given["width"] % given["heads"] or given["width"] > MAX_HEAD * given["heads"]):
        found = f"{given['heads']} heads of {given['width']} channels"
        raise ShapeError(f"{found}; expected equal ones of at most {MAX_HEAD}")
    sizes = {**given, **{name: follow(given) for name, follow in FOLLOWING.items() if name in kernel.following}}
    wanted = [
        (one.name, (tuple(sizes[axis] for axis in one.axes), one.dtype, True), one.aligned, one)
        for one in kernel.arrays
        if not one.optional or given[one.name] is not None
    ]
    return _Plan(kernel.structure(**{one.name: given[one.name] for one in kernel.numbers}), wanted)


def _check(kernel: str, array: Array, tensor: Any, shape: tuple[int, ...], given: Given) -> None:
    """Raises the error that says what is wrong about a tensor, if anything is: one of no numbers lies anyhow."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{kernel}: {array.name} is {type(tensor).__name__}; expected a tensor")
    if tensor.shape != shape:
        raise ShapeError(f"{kernel}: {array.name} is {tuple(tensor.shape)}; expected {shape}")
    if tensor.dtype is not array.dtype:
        raise ShapeError(f"{kernel}: {array.name} is of {tensor.dtype}; expected {array.dtype}")
    if not tensor.is_cpu:
        raise ShapeError(f"{kernel}: {array.name} is on {tensor.device}; expected cpu")
    if tensor.numel():
        rows = f", rows {given['row_stride']} apart" if array.rows else ""
        raise ShapeError(f"{kernel}: {array.name} has strides {tensor.stride()}; expected {shape} packed{rows}")


def _check_address(kernel: str, array: Array, tensor: Tensor) -> None:
    """Raises ShapeError for numbers that are not in memory, or not where they must be."""
    if tensor.numel() and not tensor.data_ptr():
        raise ShapeError(f"{kernel}: {array.name} has no memory behind its shape, {tuple(tensor.shape)}")
    if tensor.data_ptr() % array.aligned:
        raise ShapeError(f"{kernel}: {array.name} has no memory at a multiple of {array.aligned}")
