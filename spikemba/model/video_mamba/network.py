"""VideoMamba: tubelets of a video in one sequence, scanned in both directions, a class token read at the end.

    video -> patch_embed + positions -> n_blocks x [add, norm, mixer] -> norm_f -> head

Two published forms are values of one configuration: Park et al. (ECCV 2024, arXiv 2407.08476: tubelets of two frames,
one joint position table, LayerNorm) and Li et al. of OpenGVLab (arXiv 2403.06977: one frame, a spatial and a temporal
table, RMSNorm), whose weights are public. Parameters carry the names of the public weights; the mixer is SpikeMba's.
"""

# Shapes: B videos, T frames, H, Wd pixels, t slices, N patches of a slice, P prompts, D width, L tokens.

import math
from typing import Any, Literal, Protocol

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn

from spikemba.config import Config, Tree, from_preset
from spikemba.errors import ShapeError
from spikemba.model.mamba_block import STATE_SPACES, MixerConfig
from spikemba.model.mixers import state_space_mixer
from spikemba.model.video_mamba.token_grid import Reversal, TokenGrid
from spikemba.ops.recompute import recomputed

_PARK: Tree = {"tubelet": [2, 16, 16], "n_frames": 16, "position": "joint", "norm": "layer", "drop_path": 0.1}
_OPENGVLAB: Tree = {"tubelet": [1, 16, 16], "n_frames": 8, "position": "separate", "norm": "rms"}
PRESETS: dict[str, Tree] = {
    "park-ti": {**_PARK, "width": 192, "n_blocks": 24},
    "park-s": {**_PARK, "width": 384, "n_blocks": 24},
    "opengvlab-ti": {**_OPENGVLAB, "width": 192, "n_blocks": 24, "drop_path": 0.1},
    "opengvlab-s": {**_OPENGVLAB, "width": 384, "n_blocks": 24, "drop_path": 0.35},
    "opengvlab-m": {**_OPENGVLAB, "width": 576, "n_blocks": 32, "drop_path": 0.4},
}
"""Published sizes. Drop path of the M is that of its masked pre-training; plain training takes 0.8."""


class VideoMambaConfig(Config):
    """The VideoMamba network."""

    preset: Literal["park-ti", "park-s", "opengvlab-ti", "opengvlab-s", "opengvlab-m"] = "park-s"
    """Values that the other settings start from."""
    width: PositiveInt = 384
    """D, channels of every token."""
    n_blocks: PositiveInt = 24
    """Blocks of norm and mixer."""
    tubelet: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 16, 16)
    """Frames, rows and columns of pixels of one token; what does not fill a tubelet is cut off."""
    n_frames: PositiveInt = 16
    """T, frames of a video."""
    size_px: PositiveInt = 224
    """Height and width of a frame."""
    n_classes: NonNegativeInt = 400
    """Outputs of the head; 0: no head, the features come out."""
    position: Literal["joint", "separate"] = "joint"
    """One learned vector per token (Park), or one per place and one per slice that are added (OpenGVLab)."""
    norm: Literal["layer", "rms"] = "layer"
    """LayerNorm (Park) or RMSNorm (OpenGVLab)."""
    reversal: Reversal = "spatio_temporal"
    """What the backward scan reverses: everything, each slice, or the order of the slices (ablation of Park)."""
    class_token: bool = True
    """A learned token at the front; Park leaves it out with the other reversals."""
    readout: Literal["class", "mean"] = "class"
    """What the head reads: the class token, or the mean over the patches."""
    drop_path: float = Field(0.1, ge=0, lt=1)
    """Chance that training skips the last block for a video; it rises linearly from the first, which never is."""
    mixer: MixerConfig = MixerConfig()

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset(cls, tree: Any) -> Any:
        return from_preset(tree, PRESETS, "park-s")

    @model_validator(mode="after")
    def _fits_together(self) -> "VideoMambaConfig":
        frames, rows, columns = self.tubelet
        if self.n_frames < frames or self.size_px < max(rows, columns):
            raise ValueError(
                f"{self.n_frames} frames of {self.size_px} px hold no tubelet of {frames} x {rows} x {columns}"
            )
        if self.readout == "class" and not self.class_token:
            raise ValueError("readout is 'class' and class_token is false; choose readout 'mean'")
        if self.mixer.kind not in STATE_SPACES or self.mixer.directions != "both":
            kinds = " or ".join(map(repr, STATE_SPACES))
            raise ValueError(f"mixer: VideoMamba scans in both directions; expected kind {kinds}, directions 'both'")
        if self.mixer.kind == "hydra" and self.reversal != "spatio_temporal":
            raise ValueError(
                f"reversal is {self.reversal!r}, and hydra reads one order from both ends; expected 'spatio_temporal'"
            )
        self.mixer.n_dual_heads(self.width)  # refuses those that do not fit
        return self

    @property
    def grid(self) -> TokenGrid:
        """The layout of a video's tokens, without prompts."""
        frames, rows, columns = self.tubelet
        return TokenGrid(self.n_frames // frames, self.size_px // rows, self.size_px // columns, self.class_token)


class TokenEdit(Protocol):
    """What an adaptation does to the tokens between blocks; see `spikemba.model.video_mamba.adaptation`."""

    n_prompts: int
    """P, zero tokens that it wants at the end of every slice."""

    def __call__(self, hidden: Tensor, grid: TokenGrid, n_done: int) -> Tensor:
        """The tokens, (B, L, D), that go on to the residual stream: the embeddings when `n_done` is 0, then what each
        block has put out. n_done: blocks that have run.
        """
        ...


class PatchEmbed(nn.Module):
    """Tubelets that do not overlap, each projected to one token."""

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, config.width, config.tubelet, config.tubelet)

    def forward(self, video: Tensor) -> Tensor:
        """video: (B, 3, T, H, Wd) -> (B, t, N, D), time first, then rows."""
        out: Tensor = self.proj(video).flatten(3).permute(0, 2, 3, 1)
        return out


class VideoMambaBlock(nn.Module):
    """Norm and mixer; what is added to what stands in the model's forward."""

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        self.norm = make_norm(config)
        self.mixer = state_space_mixer(config.width, config.mixer)

    def forward(self, residual: Tensor, order: Tensor | None) -> Tensor:
        """residual: (B, L, D) -> what is to be added to it."""
        out: Tensor = self.mixer(self.normed(residual), order=order)
        return out

    def normed(self, residual: Tensor) -> Tensor:
        """What the mixer reads; a network in half precision has its residual in float32 all the same."""
        out: Tensor = self.norm(residual.to(self.mixer.in_proj.weight.dtype))
        return out


class VideoMamba(nn.Module):
    """Videos to class scores, or to one vector each. A video's output does not depend on the others of its batch."""

    recompute_blocks = False
    """In training, keep only the inputs of each block and compute it again in the backward pass."""

    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid
        self.patch_embed = PatchEmbed(config)
        places = self.grid.n_patches + config.class_token
        if config.position == "joint":
            # The class token needs no vector of its own here: it would only be added to it.
            self.pos_embed = nn.Parameter(torch.empty(1, self.grid.n_slices * self.grid.n_patches, config.width))
        else:
            self.pos_embed = nn.Parameter(torch.empty(1, places, config.width))
            self.temporal_pos_embedding = nn.Parameter(torch.zeros(1, self.grid.n_slices, config.width))
        if config.class_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.layers = nn.ModuleList(VideoMambaBlock(config) for _ in range(config.n_blocks))
        self.norm_f = make_norm(config)
        self.head = new_head(config)
        self._initialise()

    def forward(self, video: Tensor) -> Tensor:
        """video: (B, 3, T, H, Wd), normalised -> (B, n_classes), logits. Raises ShapeError for another size."""
        out: Tensor = self.head(self.features(video))
        return out

    def features(
        self, video: Tensor, *, readout: Literal["class", "mean"] | None = None, edit: TokenEdit | None = None
    ) -> Tensor:
        """video: (B, 3, T, H, Wd), normalised -> (B, D), what the head reads.

        readout: instead of the configured one.  edit: an adaptation's changes between the blocks.
        """
        tokens, grid = self.tokens(video, edit)
        class_token, slices = grid.split(tokens)
        if (readout or self.config.readout) == "class":
            return class_token[:, 0]
        return slices[:, :, : grid.n_patches].mean((1, 2))

    def tokens(self, video: Tensor, edit: TokenEdit | None = None) -> tuple[Tensor, TokenGrid]:
        """The last states of all tokens, (B, L, D), normalised, and how they are laid out."""
        hidden, grid = self.embed(video, edit.n_prompts if edit else 0)
        order = grid.backward_order(self.config.reversal, hidden.device)
        residual = torch.zeros((), device=hidden.device)
        for n_done in range(len(self.layers) + 1):
            if edit is not None:
                hidden = edit(hidden, grid, n_done)
            # kept in float32 under autocast: what many blocks add up loses its last bits in half precision
            residual = residual + _wide(self._drop_path(hidden, n_done))
            if n_done < len(self.layers):
                layer = self.layers[n_done]
                again = self.recompute_blocks and self.training
                hidden = recomputed(layer, residual, order) if again else layer(residual, order)
        out: Tensor = self.norm_f(residual.to(self.pos_embed.dtype))
        return out, grid

    def embed(self, video: Tensor, n_prompts: int = 0) -> tuple[Tensor, TokenGrid]:
        """video: (B, 3, T, H, Wd) -> tokens with their positions, (B, L, D), zero at the prompts, and their layout."""
        self._check(video)
        c, grid = self.config, self.grid
        patches = self.patch_embed(video)
        class_position: Tensor | int = 0
        if c.position == "joint":
            patches = patches + self.pos_embed.view(1, grid.n_slices, grid.n_patches, c.width)
        else:
            places = self.pos_embed[:, None, int(c.class_token) :]
            patches = patches + places + self.temporal_pos_embedding[:, :, None]
            class_position = self.pos_embed[:, :1]
        first = self.cls_token + class_position if c.class_token else patches.new_zeros(1, 0, c.width)
        if n_prompts:
            patches = torch.cat((patches, patches.new_zeros(*patches.shape[:2], n_prompts, c.width)), dim=2)
        grid = TokenGrid(grid.n_slices, grid.height, grid.width, grid.class_token, n_prompts)
        return grid.join(first.expand(len(video), -1, -1).to(patches.dtype), patches), grid

    @torch.no_grad()
    def step_maps(self, video: Tensor, edit: TokenEdit | None = None) -> Tensor:
        """Where each block looks: the mean step size of every patch, (B, n_blocks, t, rows, columns).

        A large step writes the token into the state, a small one passes it by. Source: the delta maps of Park et al.
        """
        hidden, grid = self.embed(video, edit.n_prompts if edit else 0)
        order = grid.backward_order(self.config.reversal, hidden.device)
        residual, maps = torch.zeros((), device=hidden.device), []
        for n_done, layer in enumerate(self.layers):
            hidden = hidden if edit is None else edit(hidden, grid, n_done)
            residual = residual + _wide(hidden)
            assert isinstance(layer, VideoMambaBlock)
            steps = layer.mixer.step_sizes(layer.normed(residual), order)
            patches = grid.split(steps)[1][:, :, : grid.n_patches]
            maps.append(patches.unflatten(2, (grid.height, grid.width)))
            hidden = layer(residual, order)
        return torch.stack(maps, dim=1)

    def replace_head(self, n_classes: int) -> None:
        """A new head, for other classes."""
        self.config = self.config.model_copy(update={"n_classes": n_classes})
        self.head = new_head(self.config).to(self.pos_embed.device)

    def _drop_path(self, hidden: Tensor, n_done: int) -> Tensor:
        """What the block before put out, left out for some videos in training and scaled up for the others."""
        rate = self.config.drop_path * (n_done - 1) / max(1, len(self.layers) - 1)
        if not self.training or n_done < 2 or not rate:
            return hidden
        kept = torch.rand(len(hidden), 1, 1, device=hidden.device) >= rate
        return hidden * kept / (1 - rate)

    def _check(self, video: Tensor) -> None:
        expected = (3, self.config.n_frames, self.config.size_px, self.config.size_px)
        if video.dim() != 5 or tuple(video.shape[1:]) != expected:
            raise ShapeError(f"video is {tuple(video.shape)}; this model expects (B, {', '.join(map(str, expected))})")

    @torch.no_grad()
    def _initialise(self) -> None:
        """As the public code: truncated normals of 0.02 for tables and head, smaller outputs the more blocks add up."""
        for parameter in [self.pos_embed, *([self.cls_token] if self.config.class_token else [])]:
            nn.init.trunc_normal_(parameter, std=0.02)
        for layer in self.layers:
            assert isinstance(layer, VideoMambaBlock)
            layer.mixer.out_proj.weight.div_(math.sqrt(len(self.layers)))


def make_norm(config: VideoMambaConfig) -> nn.Module:
    """The norm that `config.norm` names, over a token's channels."""
    if config.norm == "layer":
        return nn.LayerNorm(config.width)
    return nn.RMSNorm(config.width, eps=1e-5)


def new_head(config: VideoMambaConfig) -> nn.Module:
    """A linear layer that begins small, as the public code's; without classes, nothing."""
    if not config.n_classes:
        return nn.Identity()
    head = nn.Linear(config.width, config.n_classes)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


def _wide(x: Tensor) -> Tensor:
    """In float32, or float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
