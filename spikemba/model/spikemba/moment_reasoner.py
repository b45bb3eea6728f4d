"""The Contextual Moment Reasoner: one modality's sequence, scanned together with learned relevant slots."""

# Shapes: B pairs, L positions of one modality, D width, R slots.

import math
from typing import Literal

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from spikemba.config import Config
from spikemba.model.mamba_block import MixerConfig, make_mixer
from spikemba.model.spikemba.packing import Packing, Side


class SlotsConfig(Config):
    """Relevant slots: learned vectors that are scanned beside the real positions and carry context to them."""

    n_slots: NonNegativeInt = 16
    """R, slots per modality; 0 switches them off (ablation)."""
    per_block: bool = False
    """Own slots for every block; the source's R has no block index."""
    carry: bool = False
    """Hand a block's slot states to the next block, instead of starting from the learned vectors again."""
    place: Literal["front", "source"] = "front"
    """Where the video's slots stand: before the clips, where right padding is never in between, or after them, [O, R],
    as the source writes. The query is padded on the left, so its slots follow the source's order either way."""


class MomentReasonerConfig(Config):
    """The Contextual Moment Reasoner."""

    residual: bool = True
    """Add the input to the output; without it a stack of scans does not train. The source mentions none."""
    position: Literal["sine", "none"] = "sine"
    """Position embedding added to the video's output, counted over real clips; the query gets none."""


class MomentReasoner(nn.Module):
    """O' = O + Linear(scan(LN [O, R]) * gate) + position, for the real positions; the slots are dropped or carried."""

    def __init__(
        self, width: int, config: MomentReasonerConfig, mixer: MixerConfig, *, slots_side: Side, padding_side: Side
    ) -> None:
        super().__init__()
        self.residual = config.residual
        self.slots_first = slots_side == "left"
        self.padding_between = slots_side == padding_side
        self.norm = nn.LayerNorm(width)
        self.mixer = make_mixer(width, mixer)

    def forward(self, x: Tensor, mask: Tensor, slots: Tensor, position: Tensor | None) -> tuple[Tensor, Tensor]:
        """x: (B, L, D).  mask: (B, L) bool, True = real.  slots: (B, R, D).  position: (B, L, D) or None.

        Returns x: (B, L, D), zero at padding, and the slots' new states: (B, R, D).
        """
        sizes = [slots.shape[1], x.shape[1]]
        parts, masks = [slots, x], [mask.new_ones(slots.shape[:2]), mask]
        if not self.slots_first:
            parts, masks, sizes = parts[::-1], masks[::-1], sizes[::-1]
        joined, joined_mask = torch.cat(parts, dim=1), torch.cat(masks, dim=1)
        mixed = self._mix(joined, joined_mask)
        mixed = mixed + joined if self.residual else mixed
        mixed_parts = mixed.split(sizes, dim=1)
        new_slots, out = mixed_parts if self.slots_first else mixed_parts[::-1]
        if position is not None:
            out = out + position
        return out * mask[..., None], new_slots

    def _mix(self, joined: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm(joined)
        if not self.padding_between:
            mixed: Tensor = self.mixer(normed, mask)
            return mixed
        together = Packing(mask, side="left")
        return together.unpack(self.mixer(together.pack(normed), together.mask))


def new_slots(config: SlotsConfig, n_blocks: int, width: int) -> nn.Parameter:
    """Learned slots, (n_blocks or 1, R, D), drawn from N(0, 0.02^2)."""
    return nn.Parameter(0.02 * torch.randn(n_blocks if config.per_block else 1, config.n_slots, width))


def sine_position(mask: Tensor, width: int) -> Tensor:
    """Sine and cosine embedding of each real position's rank among the real ones. mask: (B, L) -> (B, L, D)."""
    rank = mask.cumsum(1).float() - 1
    channel = torch.arange(width, device=mask.device)
    wavelength = 10_000 ** (2 * (channel // 2) / width)
    angle = rank[..., None] / wavelength - (channel % 2) * (math.pi / 2)
    return -torch.sin(angle) * (2 * (channel % 2) - 1)  # sin on even channels, cos on odd ones
