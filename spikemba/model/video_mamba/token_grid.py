"""The tokens of a video in one sequence: [class token, slice 1, slice 2, ...], each slice row by row, then its prompts.

A slice is what one tubelet covers in time. The forward scan reads the sequence as it stands; this says in which order
the backward scan reads it.
"""

# Shapes: B videos, T slices, N patches of a slice, P prompts of a slice, D width, L = 1 + T (N + P) tokens.

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Reversal = Literal["spatio_temporal", "spatial", "temporal"]


@dataclass(frozen=True)
class TokenGrid:
    """How the tokens of a video are laid out."""

    n_slices: int
    """T."""
    height: int
    """Patches of a column."""
    width: int
    """Patches of a row."""
    class_token: bool = True
    """Whether the sequence begins with one."""
    n_prompts: int = 0
    """P, further tokens at the end of each slice."""

    @property
    def n_patches(self) -> int:
        """N, patches per slice."""
        return self.height * self.width

    @property
    def n_tokens(self) -> int:
        """L."""
        return self.class_token + self.n_slices * (self.n_patches + self.n_prompts)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, D) -> the class token, (B, 1 or 0, D), and the slices, (B, T, N + P, D)."""
        first = int(self.class_token)
        return tokens[:, :first], tokens[:, first:].unflatten(1, (self.n_slices, -1))

    def join(self, class_token: Tensor, slices: Tensor) -> Tensor:
        """What `split` gave -> (B, L, D)."""
        return torch.cat((class_token, slices.flatten(1, 2)), dim=1)

    def backward_order(self, reversal: Reversal, device: torch.device | None = None) -> Tensor | None:
        """(L,): the tokens in the order of the backward scan; None when that is the whole sequence reversed.

        `spatial` reverses each slice and keeps the time, `temporal` reverses the time and keeps each slice. The class
        token is read last, as in the full reversal, where it sees everything; the source had none in these two.
        """
        if reversal == "spatio_temporal":
            return None
        index = torch.arange(self.n_slices * (self.n_patches + self.n_prompts), device=device)
        index = index.view(self.n_slices, -1).flip(1 if reversal == "spatial" else 0).flatten()
        if not self.class_token:
            return index
        return torch.cat((index + 1, index.new_zeros(1)))
