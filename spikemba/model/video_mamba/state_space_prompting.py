"""State Space Prompting: a few new parameters that gather inside frames and spread between them (arXiv 2510.12160).

    before each block:  F, g = gathering(patches)          one module for all blocks
                        prompts of each slice := spreading(last patches, entropy of F) * g      from the second block on
                        patches += F

The backbone stays as it is. Prompts stand at the end of each slice, so the forward scan carries them into the next one.
"""

# Shapes: B videos, T slices, N = rows x columns patches of a slice, P prompts of a slice, D width, G gathering width.

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from spikemba.config import Config
from spikemba.model.video_mamba.token_grid import TokenGrid


class SSPConfig(Config):
    """State Space Prompting; the defaults give the published number of parameters."""

    n_prompts: PositiveInt = 3
    """P, prompt tokens per slice."""
    gathering_width: PositiveInt = 384
    """G, channels of the gathering inside frames."""
    kernel: Literal[1, 3] = 1
    """Patches a side that the gathering sees around each patch: 1 as released, 3 as the paper's words have it."""
    attention_width: PositiveInt = 256
    """Channels of the attention between slices."""
    n_heads: PositiveInt = 8
    """Heads of that attention."""
    entropy_norm: Literal["logd", "batch"] = "logd"
    """What a patch's entropy is divided by: its greatest possible value, or the greatest of the batch, as released,
    which makes a video's output depend on its neighbours."""
    start: Literal["one_zero", "released"] = "one_zero"
    """Both begin as the backbone with zero tokens. `one_zero`: exactly one factor of each branch is zero, so the branch
    learns from the first step. `released`: several are, and most tensors have no gradient in the first step."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "SSPConfig":
        if self.attention_width % self.n_heads:
            raise ValueError(f"attention_width {self.attention_width} is not a multiple of n_heads {self.n_heads}")
        return self


class IntraFrameGathering(nn.Module):
    """What a patch gathers from its frame, and a gate that sums up the frame."""

    def __init__(self, width: int, grid: TokenGrid, config: SSPConfig) -> None:
        super().__init__()
        inner, k = config.gathering_width, config.kernel
        self.down = nn.Linear(width, inner)
        self.local = nn.Conv2d(inner, inner, k, padding=k // 2, groups=inner)
        self.up = nn.Linear(inner, width)
        self.whole = nn.Conv2d(inner, inner, (grid.height, grid.width), groups=inner)
        self.gate = nn.Linear(inner, width)
        self._initialise(config.start)

    def forward(self, patches: Tensor, grid: TokenGrid) -> tuple[Tensor, Tensor]:
        """patches: (B, T, N, D) -> what to add to them, (B, T, N, D), and the gate of each slice, (B, T, D)."""
        low = self.down(patches)
        low = self._scaled(low) if self.local.kernel_size == (1, 1) else self._around(low, grid)
        whole = self.whole.weight.flatten(1).t()  # (N, G): a kernel as large as the frame is one weighted sum
        assert self.whole.bias is not None
        gate: Tensor = self.gate((low.detach() * whole).sum(2) + self.whole.bias)
        return self.up(low), gate

    def _scaled(self, low: Tensor) -> Tensor:
        """A depthwise convolution of one patch is a scale and a shift."""
        assert self.local.bias is not None
        return low * self.local.weight.flatten() + self.local.bias

    def _around(self, low: Tensor, grid: TokenGrid) -> Tensor:
        images = low.unflatten(2, (grid.height, grid.width)).movedim(-1, 2).flatten(0, 1)  # (B T, G, rows, columns)
        out: Tensor = self.local(images).flatten(2).transpose(1, 2).unflatten(0, low.shape[:2])
        return out

    @torch.no_grad()
    def _initialise(self, start: str) -> None:
        for layer in (self.down, self.up, self.gate):
            nn.init.zeros_(layer.bias)
        nn.init.xavier_normal_(self.gate.weight)
        for parameter in (*self.local.parameters(), *self.whole.parameters()):
            nn.init.zeros_(parameter)
        if start == "one_zero":
            centre = self.local.kernel_size[0] // 2
            self.local.weight[:, :, centre, centre] = 1
            self.whole.weight.fill_(1 / self.whole.weight[0].numel())
            nn.init.zeros_(self.up.weight)
            nn.init.ones_(self.gate.bias)


class SliceAttention(nn.Module):
    """Attention over the slices of a video, in a narrower space; without residual and norm."""

    def __init__(self, width: int, config: SSPConfig) -> None:
        super().__init__()
        self.down = nn.Linear(width, config.attention_width)
        self.attention = nn.MultiheadAttention(config.attention_width, config.n_heads, batch_first=True)
        self.up = nn.Linear(config.attention_width, width)
        self.scale = nn.Parameter(torch.ones(()))
        if config.start == "one_zero":
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, D), one vector per slice -> (B, T, D)."""
        low = self.down(x)
        mixed, _ = self.attention(low, low, low, need_weights=False)
        out: Tensor = self.up(mixed) * self.scale
        return out


class InterFrameSpreading(nn.Module):
    """The prompts of each slice, from what all slices end with."""

    def __init__(self, width: int, n_blocks: int, config: SSPConfig) -> None:
        super().__init__()
        self.entropy_norm = config.entropy_norm
        self.strength = nn.Parameter(torch.zeros(max(0, n_blocks - 1)))
        self.prompts = nn.ModuleList(SliceAttention(width, config) for _ in range(config.n_prompts))

    def forward(self, last: Tensor, gathered: Tensor, gate: Tensor, n_done: int) -> Tensor:
        """last: (B, T, D), the last patch of each slice, where the scan has seen all of it.  gathered: (B, T, N, D).
        gate: (B, T, D).  n_done: blocks that have run, 1 or more.  Returns (B, T, P, D).
        """
        weight = self.weights(gathered)[..., None]
        summary = last * (1 + self.strength[n_done - 1] * weight)
        return torch.stack([attend(summary) * gate for attend in self.prompts], dim=2)

    @torch.no_grad()
    def weights(self, gathered: Tensor) -> Tensor:
        """How much each slice matters, (B, T), summing to 1: the more, the less even its patches' channels are."""
        q = gathered.float().softmax(-1)
        entropy = -(q * (q + 1e-10).log()).sum(-1)  # (B, T, N)
        highest = entropy.max() if self.entropy_norm == "batch" else math.log(gathered.shape[-1])
        return F.softmax((1 - entropy / highest).mean(-1), dim=1).to(gathered.dtype)


class StateSpacePrompting(nn.Module):
    """Both modules, as an edit of a video encoder's tokens before each of its blocks."""

    def __init__(self, width: int, grid: TokenGrid, n_blocks: int, config: SSPConfig) -> None:
        super().__init__()
        self.n_prompts, self.n_blocks = config.n_prompts, n_blocks
        self.gathering = IntraFrameGathering(width, grid, config)
        self.spreading = InterFrameSpreading(width, n_blocks, config)

    def forward(self, hidden: Tensor, grid: TokenGrid, n_done: int) -> Tensor:
        """hidden: (B, L, D), the embeddings or what the last block has put out -> the same, edited."""
        if n_done == self.n_blocks:
            return hidden
        class_token, slices = grid.split(hidden)
        patches, prompts = slices.split((grid.n_patches, grid.n_prompts), dim=2)
        gathered, gate = self.gathering(patches, grid)
        if n_done:
            prompts = self.spreading(patches[:, :, -1], gathered, gate, n_done)
        return grid.join(class_token, torch.cat((patches + gathered, prompts.to(patches.dtype)), dim=2))
