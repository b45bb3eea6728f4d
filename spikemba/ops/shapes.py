"""Shapes that must fit each other: what is broadcast, and what is refused before any backend sees it."""

import torch
from torch import Tensor

from spikemba.errors import ShapeError


def fitted(name: str, tensor: Tensor, shape: tuple[int, ...], beside: Tensor) -> Tensor:
    """The tensor, expanded to a shape as PyTorch broadcasts; never copied.

    beside: the tensor whose shape and device it must fit. Raises ShapeError that names both shapes.
    """
    if tensor.device != beside.device:
        raise ShapeError(f"{name} is on {tensor.device}; expected {beside.device}")
    if tensor.shape == shape:
        return tensor
    if not _broadcasts(tuple(tensor.shape), shape):
        raise ShapeError(f"{name} is {tuple(tensor.shape)}; expected {tuple(shape)} beside {tuple(beside.shape)}")
    return tensor.expand(shape)


def fitted_mask(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """The mask as (B, L) of bool for x, (B, L, ...); raises ShapeError as `fitted`."""
    if mask is None:
        return None
    return fitted("mask", mask, tuple(x.shape[:2]), x).bool()


def together(**tensors: Tensor | None) -> tuple[int, ...]:
    """The shape that all of them are broadcast to. Raises ShapeError that names them."""
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    first = next(iter(given.values()))
    if all(tensor.device == first.device and tensor.shape == first.shape for tensor in given.values()):
        return tuple(first.shape)
    shape: tuple[int, ...] = ()
    for name, tensor in given.items():
        if tensor.device != first.device:
            raise ShapeError(f"{name} is on {tensor.device}; expected {first.device}")
        longest = max(len(shape), tensor.dim())
        mine, theirs = ((1,) * (longest - len(one)) + tuple(one) for one in (tensor.shape, shape))
        if any(a != b and 1 not in (a, b) for a, b in zip(mine, theirs, strict=True)):
            raise ShapeError(f"{name} is {tuple(tensor.shape)}; expected what fits {shape}")
        shape = tuple(b if a == 1 else a for a, b in zip(mine, theirs, strict=True))
    return shape


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    if len(shape) > len(to):
        return False
    return all(mine in (1, theirs) for mine, theirs in zip(reversed(shape), reversed(to), strict=False))


def check_floating(name: str, tensor: Tensor) -> None:
    """Raises ShapeError when a tensor does not hold real numbers."""
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ShapeError(f"{name} is of {kind}; expected a floating dtype, as {torch.get_default_dtype()}")
