"""Shapes that must fit each other: what is broadcast, and what is refused before any backend sees it."""

import torch
from torch import Tensor

from spikemba.errors import ShapeError


def fitted(name: str, tensor: Tensor, shape: tuple[int, ...], beside: Tensor) -> Tensor:
    """The tensor, expanded to a shape as PyTorch broadcasts; never copied.

    beside: the tensor whose shape and device it must fit. Raises ShapeError that names both shapes.
    """
    if tensor.shape == shape and tensor.is_cpu and beside.is_cpu:
        return tensor
    check_device(name, tensor, beside)
    if not _broadcasts(tuple(tensor.shape), shape):
        raise ShapeError(f"{name} is {tuple(tensor.shape)}; expected {tuple(shape)} beside {tuple(beside.shape)}")
    return tensor.expand(shape)


def expanded(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A view of that shape, the tensor itself where it has it."""
    return tensor if tensor.shape == shape else tensor.expand(shape)


def fitted_mask(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """The mask as (B, L) of bool for x, (B, L, ...); raises ShapeError as `fitted`."""
    if mask is None:
        return None
    mask = fitted("mask", mask, x.shape[:2], x)
    return mask if mask.dtype is torch.bool else mask.bool()


def together(**tensors: Tensor | None) -> tuple[int, ...]:
    """The shape that all of them are broadcast to. Raises ShapeError that names them."""
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    first = next(iter(given.values()))
    shape: tuple[int, ...] = first.shape
    for name, tensor in given.items():
        if tensor.shape == shape and tensor.is_cpu and first.is_cpu:
            continue
        check_device(name, tensor, first)
        longest = max(len(shape), tensor.dim())
        mine, theirs = ((1,) * (longest - len(one)) + tuple(one) for one in (tensor.shape, shape))
        if any(a != b and 1 not in (a, b) for a, b in zip(mine, theirs, strict=True)):
            raise ShapeError(f"{name} is {tuple(tensor.shape)}; expected what fits {tuple(shape)}")
        shape = tuple(b if a == 1 else a for a, b in zip(mine, theirs, strict=True))
    return shape


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    if len(shape) > len(to):
        return False
    return all(mine in (1, theirs) for mine, theirs in zip(reversed(shape), reversed(to), strict=False))


def check_device(name: str, tensor: Tensor, beside: Tensor) -> None:
    """Raises ShapeError when two tensors are on different devices."""
    if not (tensor.is_cpu and beside.is_cpu) and tensor.device != beside.device:
        raise ShapeError(f"{name} is on {tensor.device}; expected {beside.device}")


def check_floating(name: str, tensor: Tensor) -> None:
    """Raises ShapeError when a tensor does not hold real numbers."""
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ShapeError(f"{name} is of {kind}; expected a floating dtype, as {torch.get_default_dtype()}")
