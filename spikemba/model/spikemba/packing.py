"""Brings the real positions of a padded batch together, so that padding may stand anywhere in the input."""

# Shapes: B pairs, L positions as given, P positions packed, D channels.

from copy import copy
from typing import Literal

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
        chosen._order, chosen.mask = self._order[which], self.mask[which]
        return chosen

    def pack(self, x: Tensor) -> Tensor:
        """x: (B, L, D) -> (B, P, D), zero at padding."""
        x = F.pad(x, (0, 0, *self._pad))
        index = self._order[..., None].expand_as(x)
        return x.gather(1, index) * self.mask[..., None]

    def unpack(self, x: Tensor) -> Tensor:
        """x: (B, P, ...) -> (B, L, ...): each position back where it was given."""
        index = self._order.argsort(dim=1)
        index = index.view(*index.shape, *[1] * (x.dim() - 2)).expand_as(x)
        first = self._pad[0]
        return x.gather(1, index)[:, first : first + self._length]
