"""Brings the real positions of a padded batch together, so that padding may stand anywhere in the input."""

# Shapes: B pairs, L positions as given, P positions packed, D channels.

from copy import copy
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Side = Literal["left", "right"]

MIN_LENGTH = 8
"""Packed sequences are at least this long: BLAS multiplies fewer rows by another kernel, whose last bit differs, and on
a threshold a last bit decides whether a neuron fires. With it, a pair alone equals the same pair in any batch."""


class Packing:
    """The permutation that moves each row's real positions to one side, and back."""

    def __init__(self, mask: Tensor, side: Side) -> None:
        """mask: (B, L) bool, True = real.  side: where the real positions go; their order is kept."""
        missing = max(0, MIN_LENGTH - mask.shape[1])
        self._length, self._pad = mask.shape[1], (0, missing) if side == "left" else (missing, 0)
        padded = F.pad(mask, self._pad)
        self._order = padded.byte().argsort(dim=1, descending=side == "left", stable=True)
        self.mask = padded.gather(1, self._order)
        """(B, P) bool: True = real, after packing."""

    def rows(self, which: Tensor) -> "Packing":
        """The permutation of the rows that `which`, (B,) int, names; some more than once."""
        chosen = copy(self)
        vars(chosen).update({name: x[which] for name, x in vars(self).items() if isinstance(x, Tensor)})
        return chosen

    def pack(self, x: Tensor) -> Tensor:
        """x: (B, L, D) -> (B, P, D), zero at padding."""
        if any(self._pad):
            x = F.pad(x, (0, 0, *self._pad))
        return _rows(x, self._order) * self.mask[..., None]

    def unpack(self, x: Tensor) -> Tensor:
        """x: (B, P, ...) -> (B, L, ...): each position back where it was given."""
        first = self._pad[0]
        return _rows(x, self._back[:, first : first + self._length])

    @cached_property
    def _back(self) -> Tensor:
        return self._order.argsort(dim=1)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """x: (B, P, ...), index: (B, L) -> (B, L, ...). Whole rows are copied, where `gather` would look up each number."""
    first = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    rows: Tensor = x.flatten(0, 1).index_select(0, (index + first).flatten()).unflatten(0, index.shape)
    return rows
