"""The Contextual Moment Reasoner: one modality's sequence, scanned together with learned relevant slots."""

# Shapes: B pairs, L positions of one modality, D width, R slots.

import math
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from spikemba.config import Config
from spikemba.model.mamba_block import STATE_SPACES, MixerConfig
from spikemba.model.mixers import make_mixer
from spikemba.model.spikemba.packing import Packing, Side


class SlotsConfig(Config):
    """Relevant slots: learned vectors that are scanned beside the real positions and carry context to them."""

    n_slots: NonNegativeInt = 0
    """R, slots per modality. The source has some and does not say how many; preset `paper` has 16. None by default:
    with as many parameters elsewhere a network did as well where videos share scripts, nor on shapes."""
    per_block: bool = False
    """Own slots for every block; the source's R has no block index."""
    carry: bool = False
    """Hand a block's slot states to the next block, instead of starting from the learned vectors again."""
    place: Literal["front", "source", "both"] = "front"
    """Where the video's slots stand: before the clips, where right padding is never in between, or after them, [O, R],
    as the source writes. The query is padded on the left, so its slots follow the source's order either way. `both`:
    half of either modality's slots in front and half behind, so that scans of both directions begin with some."""
    step_offset: float | None = Field(None, ge=-100, le=100)
    """Initial value of what is added to the slots' steps before their softplus, a learned number per slot: with 8,
    what a slot writes survives tens of clips; None, the source's form, adds nothing and reaches three clips. Attention
    has no steps."""


class MomentReasonerConfig(Config):
    """The Contextual Moment Reasoner."""

    residual: bool = True
    """Add the input to the output; without it a stack of scans does not train. The source mentions none."""
    position: Literal["sine", "once", "read", "none"] = "read"
    """Where the sine embedding of a clip's rank enters; the query gets none. `sine`: the output of every reasoner, as
    the source says; after six blocks it is 96 % of the stream. `once`: the stream before the first block. `read`: what
    each reasoner's mixer reads and never the stream, as DETR adds it to queries and keys alone."""
    position_scale: float = Field(1.0, gt=0, le=1000)
    """What the embedding is multiplied by; the source names no factor."""


class MomentReasoner(nn.Module):
    """O' = O + Linear(scan(LN [O, R]) * gate) + position, for the real positions; the slots are dropped or carried."""

    def __init__(
        self, width: int, config: MomentReasonerConfig, mixer: MixerConfig, slots: SlotsConfig, padding_side: Side
    ) -> None:
        """padding_side: of the modality; right for the video, left for the query."""
        super().__init__()
        self.residual, self.reads_position = config.residual, config.position == "read"
        self.n_front = _slots_in_front(slots, padding_side)
        n_between = slots.n_slots - self.n_front if padding_side == "right" else self.n_front
        self.padding_between = n_between > 0
        self.norm = nn.LayerNorm(width)
        self.mixer = make_mixer(width, mixer)
        self.slot_step = None
        if slots.step_offset is not None and slots.n_slots and mixer.kind in STATE_SPACES:
            self.slot_step = nn.Parameter(torch.full((slots.n_slots,), float(slots.step_offset)))

    def forward(self, x: Tensor, mask: Tensor, slots: Tensor, position: Tensor | None) -> tuple[Tensor, Tensor]:
        """x: (B, L, D).  mask: (B, L) bool, True = real.  slots: (B, R, D).  position: (B, L, D) or None.

        Returns x: (B, L, D), zero at padding, and the slots' new states: (B, R, D).
        """
        joined, joined_mask = self._among(slots, x), self._among(mask.new_ones(slots.shape[:2]), mask)
        read = self.norm(joined)
        if position is not None and self.reads_position:
            read = read + self._among(torch.zeros_like(slots), position)
        mixed = self._mix(read, joined_mask, self._steps(mask))
        mixed = mixed + joined if self.residual else mixed
        out, slots = self._apart(mixed, slots)
        if position is not None and not self.reads_position:
            out = out + position
        return out * mask[..., None], slots

    def _among(self, slots: Tensor, x: Tensor) -> Tensor:
        """The slots' values and those of the positions, (B, R, ...) and (B, L, ...), in the order of the scan."""
        if not slots.shape[1]:
            return x
        return torch.cat((slots[:, : self.n_front], x, slots[:, self.n_front :]), dim=1)

    def _apart(self, x: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """The positions' values and the slots', after the scan of both."""
        n_slots = slots.shape[1]
        if not n_slots:
            return x, slots
        front, out, behind = x.split((self.n_front, x.shape[1] - n_slots, n_slots - self.n_front), dim=1)
        return out, torch.cat((front, behind), dim=1)

    def _steps(self, mask: Tensor) -> dict[str, Tensor]:
        """What the mixer is told of its steps: nothing, or what is added to each position's, 0 but for the slots."""
        if self.slot_step is None:
            return {}
        offset = self._among(self.slot_step.expand(len(mask), -1), self.slot_step.new_zeros(mask.shape))
        return {"step_offset": offset}

    def _mix(self, read: Tensor, mask: Tensor, steps: dict[str, Tensor]) -> Tensor:
        if not self.padding_between:
            mixed: Tensor = self.mixer(read, mask, **steps)
            return mixed
        together = Packing(mask, side="left")
        packed = {name: together.pack(one[..., None])[..., 0] for name, one in steps.items()}
        return together.unpack(self.mixer(together.pack(read), together.mask, **packed))


def _slots_in_front(config: SlotsConfig, padding_side: Side) -> int:
    """How many of a modality's slots stand before its positions."""
    if config.place == "both":
        return (config.n_slots + 1) // 2
    return config.n_slots if config.place == "front" and padding_side == "right" else 0


def new_slots(config: SlotsConfig, n_blocks: int, width: int) -> nn.Parameter:
    """Learned slots, (n_blocks or 1, R, D), drawn from N(0, 0.02^2)."""
    return nn.Parameter(0.02 * torch.randn(n_blocks if config.per_block else 1, config.n_slots, width))


def sine_position(mask: Tensor, width: int) -> Tensor:
    """Sine and cosine embedding of each real position's rank among the real ones. mask: (B, L) -> (B, L, D)."""
    rank = mask.long().cumsum(1).float() - 1
    channel = torch.arange(width, device=mask.device)
    wavelength = 10_000 ** (2 * (channel // 2) / width)
    angle = rank[..., None] / wavelength - (channel % 2) * (math.pi / 2)
    return -torch.sin(angle) * (2 * (channel % 2) - 1)  # sin on even channels, cos on odd ones
