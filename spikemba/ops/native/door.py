"""The one door from tensors to C: nothing passes that C would read or write past its end."""

import ctypes
from collections.abc import Callable
from operator import itemgetter
from typing import Any

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
    if count == 1:
        return rows.reshape(*rows.shape[:-2], width)
    out = rows.new_empty(*rows.shape[:-2], width)
    flat, sums = rows.view(-1, count, width), out.view(-1, width)
    call("sum_over_rows", rows=flat, out=sums, outer=len(sums), count=count, width=width)
    return out


def _values(kernel: Kernel, given: Given) -> list[int | float | None]:
    """A structure's fields in their order."""
    if len(given) != len(kernel.fields) or given.keys() != kernel.names:
        raise TypeError(f"{kernel.name} takes {sorted(kernel.names)}; given are {sorted(given)}")
    whole, arrays = _CHECKS[kernel.name]
    for name, least, most, multiple in whole:
        if not least <= given[name] <= most or given[name] % multiple:
            raise ValueError(f"{kernel.name}: {name} is {given[name]}; expected {least} to {most}")
    for group in kernel.together:
        if len({given[one] is None for one in group}) > 1:
            raise ShapeError(f"{kernel.name}: {', '.join(group)} go together; some are None")
    if kernel.heads and (given["width"] % given["heads"] or given["width"] > MAX_HEAD * given["heads"]):
        found = f"{given['heads']} heads of {given['width']} channels"
        raise ShapeError(f"{found}; expected equal ones of at most {MAX_HEAD}")
    values = given.copy()
    for one in kernel.following:
        given[one] = FOLLOWING[one](given)
    for name, shape, dtype, array in arrays:  # in one place and by cheap questions: this runs before every kernel
        tensor = given[name]
        if tensor is None and array.optional:
            continue
        if (
            not isinstance(tensor, Tensor)
            or tensor.dtype is not dtype
            or tensor.shape != shape(given)
            or not tensor.is_cpu
            or not (tensor.is_contiguous() if not array.rows else row_stride(tensor) == given["row_stride"])
        ):
            _check(kernel.name, array, tensor, shape(given), given)
        values[name] = tensor.data_ptr()
        if array.aligned > 1 and values[name] % array.aligned:
            raise ShapeError(f"{kernel.name}: {name} has no memory at a multiple of {array.aligned}")
    return [values[one.name] for one in kernel.fields]


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


def _shape_of(array: Array) -> Callable[[Given], tuple[int, ...]]:
    """A function from sizes to the array's shape."""
    if len(array.axes) == 1:
        (axis,) = array.axes
        return lambda sizes: (sizes[axis],)
    return itemgetter(*array.axes)


_CHECKS = {
    name: (
        [
            (one.name, one.least, one.most, one.multiple)
            for one in kernel.fields
            if isinstance(one, Number) and one.kind is not ctypes.c_float
        ],
        [(one.name, _shape_of(one), one.dtype, one) for one in kernel.fields if isinstance(one, Array)],
    )
    for name, kernel in KERNELS.items()
}
"""What `_values` asks of each kernel's arguments, put together once; of a real number ctypes asks."""
