"""The one door from tensors to C: nothing passes that C would read or write past its end."""

import ctypes
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from spikemba.errors import ShapeError
from spikemba.ops.native.kernels import FOLLOWING, KERNELS, MAX_HEAD, Array, Given, Kernel, Number
from spikemba.ops.native.library import kernels, threads


def call(name: str, **given: Any) -> None:
    """Run a kernel on its arguments, all of them named, on `threads()` threads.

    Tensors must be as `KERNELS` says. Raises ShapeError when one is not, TypeError when an argument is missing or not
    the kernel's, ValueError for a number out of its range, MemoryError when there is no room for a thread's scratch.
    """
    kernel = KERNELS[name]
    given.setdefault("threads", threads())
    structure = kernel.structure(*_values(kernel, given))
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


def summed(rows: Tensor) -> Tensor:
    """The sum over the last axis but one, (..., R, D) -> (..., D), in an order that no number of threads changes."""
    count, width = rows.shape[-2:]
    out = rows.new_empty(*rows.shape[:-2], width)
    flat, sums = rows.view(-1, count, width), out.view(-1, width)
    call("sum_over_rows", rows=flat, out=sums, outer=len(sums), count=count, width=width)
    return out


def _values(kernel: Kernel, given: Given) -> list[int | float | None]:
    """A structure's fields in their order."""
    if given.keys() != kernel.names:
        raise TypeError(f"{kernel.name} takes {sorted(kernel.names)}; given are {sorted(given)}")
    numbers, arrays = _CHECKS[kernel.name]
    for check in numbers:
        check(given)
    for group in kernel.together:
        if len({given[one] is None for one in group}) > 1:
            raise ShapeError(f"{kernel.name}: {', '.join(group)} go together; some are None")
    sizes = {**given, **{one: FOLLOWING[one](given) for one in kernel.following}}
    if kernel.heads and (given["width"] % given["heads"] or given["width"] > MAX_HEAD * given["heads"]):
        raise ShapeError(
            f"{given['heads']} heads of {given['width']} channels; expected equal ones of at most {MAX_HEAD}"
        )
    addresses = {one: read(given[one], sizes) for one, read in arrays}
    return [addresses[one.name] if isinstance(one, Array) else given[one.name] for one in kernel.fields]


def _in_range(kernel: str, number: Number, given: Given) -> None:
    value = given[number.name]
    if number.kind is ctypes.c_float:
        if not isinstance(value, float | int):
            raise TypeError(f"{kernel}: {number.name} is {value!r}; expected a number")
        return
    if not isinstance(value, int):
        raise TypeError(f"{kernel}: {number.name} is {value!r}; expected a whole number")
    if not number.least <= value <= number.most or value % number.multiple:
        raise ValueError(f"{kernel}: {number.name} is {value}; expected {number.least} to {number.most}")


def _address(kernel: str, array: Array, shape: Callable[[Given], Any], tensor: Any, sizes: Given) -> int | None:
    """The address that C gets; None is null."""
    if tensor is None and array.optional:
        return None
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{kernel}: {array.name} is {type(tensor).__name__}; expected a tensor")
    if tensor.shape != shape(sizes):
        raise ShapeError(f"{kernel}: {array.name} is {tuple(tensor.shape)}; expected {shape(sizes)}")
    if tensor.dtype is not array.dtype:
        raise ShapeError(f"{kernel}: {array.name} is of {tensor.dtype}; expected {array.dtype}")
    if not tensor.is_cpu:
        raise ShapeError(f"{kernel}: {array.name} is on {tensor.device}; expected cpu")
    if tensor.layout is not torch.strided or tensor.is_neg():
        raise ShapeError(f"{kernel}: {array.name} is a view that is computed when it is read; expected plain memory")
    laid_out = row_stride(tensor) == sizes["row_stride"] if array.rows else tensor.is_contiguous()
    if tensor.numel() and not laid_out:
        raise ShapeError(f"{kernel}: {array.name} has strides {tensor.stride()} for {tuple(tensor.shape)}")
    address = tensor.data_ptr()
    if tensor.numel() and (not address or address % array.aligned):
        raise ShapeError(f"{kernel}: {array.name} has no memory at a multiple of {array.aligned}")
    return address


def _shape_of(array: Array) -> Callable[[Given], tuple[int, ...]]:
    """A function from sizes to the array's shape."""
    if len(array.axes) == 1:
        (axis,) = array.axes
        return lambda sizes: (sizes[axis],)
    return itemgetter(*array.axes)


_CHECKS = {
    name: (
        [partial(_in_range, name, one) for one in kernel.fields if isinstance(one, Number)],
        [(a.name, partial(_address, name, a, _shape_of(a))) for a in kernel.fields if isinstance(a, Array)],
    )
    for name, kernel in KERNELS.items()
}
"""What `_values` asks of each kernel's arguments, put together once."""
