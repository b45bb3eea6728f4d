"""Ways to adapt a video encoder to other videos: all of it, its head, or few new parameters beside a frozen backbone.

    full      everything is trained
    linear    the head
    prompts   learned tokens at the end of each slice, own ones for each block (visual prompt tuning)
    adapter   a narrow layer behind each block
    ssp       State Space Prompting

The last three also train the norm before the head. Only what is trained is stored; see `checkpoint`.
"""

# Shapes: B videos, T slices, P prompts of a slice, D width, L tokens.

from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from spikemba.config import Config
from spikemba.errors import ConfigError
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.model.video_mamba.state_space_prompting import SSPConfig, StateSpacePrompting
from spikemba.model.video_mamba.token_grid import TokenGrid

Method = Literal["full", "linear", "prompts", "adapter", "ssp"]


class PromptsConfig(Config):
    """Plain learned prompts."""

    n_prompts: PositiveInt = 10
    """P, tokens per slice; with 8 frames and 32 blocks these are the 1.5 M parameters of the published comparison."""


class AdapterConfig(Config):
    """Adapters."""

    inner_width: PositiveInt = 64
    """Channels of the narrow layer; with a width of 576 and 32 blocks these are 2.4 M parameters, as published."""


class AdaptationConfig(Config):
    """How a video encoder is adapted."""

    method: Method = "ssp"
    """What is trained; see the module."""
    ssp: SSPConfig = SSPConfig()
    prompts: PromptsConfig = PromptsConfig()
    adapter: AdapterConfig = AdapterConfig()


class VisualPrompts(nn.Module):
    """Learned tokens that overwrite the prompts before each block (VPT-deep)."""

    def __init__(self, width: int, grid: TokenGrid, n_blocks: int, config: PromptsConfig) -> None:
        super().__init__()
        self.n_prompts = config.n_prompts
        self.tokens = nn.Parameter(0.02 * torch.randn(n_blocks, grid.n_slices, config.n_prompts, width))

    def forward(self, hidden: Tensor, grid: TokenGrid, n_done: int) -> Tensor:
        """hidden: (B, L, D) -> the same with this block's prompts."""
        if n_done == len(self.tokens):
            return hidden
        class_token, slices = grid.split(hidden)
        prompts = self.tokens[n_done].to(slices.dtype).expand(len(slices), -1, -1, -1)
        return grid.join(class_token, torch.cat((slices[:, :, : grid.n_patches], prompts), dim=2))


class Adapter(nn.Module):
    """hidden + up(gelu(down(hidden))) behind each block; the second projection begins at zero."""

    def __init__(self, width: int, n_blocks: int, config: AdapterConfig) -> None:
        super().__init__()
        self.n_prompts = 0
        self.down = nn.ModuleList(nn.Linear(width, config.inner_width) for _ in range(n_blocks))
        self.up = nn.ModuleList(nn.Linear(config.inner_width, width) for _ in range(n_blocks))
        for layer in self.up:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor, grid: TokenGrid, n_done: int) -> Tensor:  # noqa: ARG002
        """hidden: (B, L, D) -> the same, adapted."""
        if not n_done:
            return hidden
        out: Tensor = hidden + self.up[n_done - 1](F.gelu(self.down[n_done - 1](hidden)))
        return out


@dataclass(frozen=True)
class ParameterCount:
    """How many parameters an adaptation trains, and of what."""

    new: int
    """Of the new module: 2,418,274 for State Space Prompting of the M at 8 frames."""
    norm: int
    """Of the last norm, where it is trained."""
    head: int
    trained: int
    """All that are trained; for `full` also the backbone."""
    total: int
    """The whole model."""

    @property
    def share(self) -> float:
        """Part of the model that is trained, without the head, which every method trains."""
        return (self.trained - self.head) / (self.total - self.head)

    def __str__(self) -> str:
        parts = [f"{n:,} of the {what}" for what, n in (("new module", self.new), ("last norm", self.norm)) if n]
        if self.head:
            parts.append(f"{self.head:,} of the head")
        if self.trained == self.total:
            return f"all {self.total:,} parameters are trained"
        what = f"{self.trained:,} of {self.total:,} parameters are trained, {self.share:.2%} without the head"
        return f"{what}: {', '.join(parts)}" if parts else what


class AdaptedVideoMamba(nn.Module):
    """A video encoder with what adapts it. What is not trained has no gradient."""

    def __init__(self, backbone: VideoMamba, config: AdaptationConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.edit = _edit(backbone, config)
        backbone.requires_grad_(config.method == "full")
        backbone.head.requires_grad_(True)
        if self.edit is not None:
            backbone.norm_f.requires_grad_(True)
        # kept by name: an encoder that is only used has no gradients, and is stored as it was trained all the same
        self._trained = frozenset(name for name, p in self.named_parameters() if p.requires_grad)

    def train(self, mode: bool = True) -> Self:
        """As any module; but what is read by a linear probe does not change from one time to the next."""
        super().train(mode)
        if self.config.method == "linear":
            self.backbone.eval()
        return self

    def forward(self, video: Tensor) -> Tensor:
        """video: (B, 3, T, H, Wd), normalised -> (B, n_classes), logits."""
        out: Tensor = self.backbone.head(self.features(video))
        return out

    def features(self, video: Tensor, *, readout: Literal["class", "mean"] | None = None) -> Tensor:
        """video: (B, 3, T, H, Wd), normalised -> (B, D), what the head reads."""
        return self.backbone.features(video, readout=readout, edit=self.edit)

    def step_maps(self, video: Tensor) -> Tensor:
        """Where each block looks, (B, n_blocks, t, rows, columns); see VideoMamba."""
        return self.backbone.step_maps(video, self.edit)

    def trained_state(self) -> dict[str, Tensor]:
        """The tensors that are trained, by name; the rest is the backbone's."""
        return {name: p.detach() for name, p in self.named_parameters() if name in self._trained}

    def frozen_state(self) -> dict[str, Tensor]:
        """The backbone's tensors that are not trained, by name."""
        return {name: p.detach() for name, p in self.named_parameters() if name not in self._trained}

    def count(self) -> ParameterCount:
        """What is trained, in numbers."""
        new = sum(p.numel() for p in self.edit.parameters()) if self.edit is not None else 0
        norm = sum(p.numel() for p in self.backbone.norm_f.parameters() if p.requires_grad)
        head = sum(p.numel() for p in self.backbone.head.parameters())
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return ParameterCount(new, norm, head, trained, sum(p.numel() for p in self.parameters()))


def adapt_model(
    model: VideoMamba, how: AdaptationConfig | Method = "ssp", *, n_classes: int | None = None
) -> AdaptedVideoMamba:
    """The model, frozen but for what the method trains, with the method's new parameters.

    The model itself is wrapped, not copied.  n_classes: a new head for other classes; None keeps the head.
    """
    config = how if isinstance(how, AdaptationConfig) else AdaptationConfig(method=how)
    if n_classes is not None:
        model.replace_head(n_classes)
    return AdaptedVideoMamba(model, config)


def ssp_within(config: SSPConfig, backbone: VideoMambaConfig, share: float) -> SSPConfig:
    """The settings with both inner widths narrowed until prompting has less than a share of the backbone's parameters.

    Raises ConfigError when that cannot be done.
    """
    with torch.device("meta"):
        n_backbone = sum(p.numel() for p in VideoMamba(backbone.model_copy(update={"n_classes": 0})).parameters())
        for part in range(16, 0, -1):
            narrow = config.model_copy(
                update={
                    "gathering_width": max(1, config.gathering_width * part // 16),
                    "attention_width": max(1, config.attention_width * part // 16 // config.n_heads) * config.n_heads,
                }
            )
            edit = StateSpacePrompting(backbone.width, backbone.grid, backbone.n_blocks, narrow)
            n_new = sum(p.numel() for p in edit.parameters()) + 2 * backbone.width  # with the last norm
            if n_new < share * (n_backbone + n_new):
                return narrow
    raise ConfigError(
        "encoder", [f"max_share: prompting has no settings with under {share:.1%} of {n_backbone:,} parameters"]
    )


def _edit(backbone: VideoMamba, config: AdaptationConfig) -> StateSpacePrompting | VisualPrompts | Adapter | None:
    width, n_blocks = backbone.config.width, backbone.config.n_blocks
    if config.method == "ssp":
        return StateSpacePrompting(width, backbone.grid, n_blocks, config.ssp)
    if config.method == "prompts":
        return VisualPrompts(width, backbone.grid, n_blocks, config.prompts)
    if config.method == "adapter":
        return Adapter(width, n_blocks, config.adapter)
    return None
