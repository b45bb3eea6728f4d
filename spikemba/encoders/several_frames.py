"""What encoders of moving pictures have in common: T frames spread evenly over each clip, normalised together."""

# Shapes: n clips, T frames of a clip, H, Wd pixels, F feature width.

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikemba.encoders.base import Array, check_clips
from spikemba.encoders.placed_model import PlacedModel
from spikemba.video.sampling import FrameRule


class SeveralFramesPerClip(PlacedModel, ABC):
    """A video encoder behind the protocol of `base`, but for the tower itself."""

    batch_clips = 4
    name: str
    dim: int
    frames_per_clip: int
    size_px: int
    own_resize = "pillow_short_side_crop"
    """How frames were scaled in the training of the model."""

    @abstractmethod
    def embed_videos(self, pixels: Tensor) -> Tensor:
        """pixels: (n, T, 3, H, Wd), normalised -> (n, F)."""

    def frame_rule(self, clip_s: float) -> FrameRule:
        """T frames, spread evenly over each clip."""
        resize = "short_side_crop" if self.options.resize == "published" else self.own_resize
        return spread_frames(self.frames_per_clip, self.size_px, clip_s, resize)

    @torch.inference_mode()
    def encode_clips(self, frames: NDArray[np.uint8]) -> Array:
        """frames: (n, T, H, Wd, 3) uint8 RGB -> (n, F)."""
        check_clips(frames, self.frames_per_clip, self.name)
        if not len(frames):  # which not every model of transformers can be asked for
            return np.zeros((0, self.dim), np.float32)
        x = torch.from_numpy(frames).to(self.device).permute(0, 1, 4, 2, 3).float() / 255
        out: Array = self.embed_videos(((x - self.mean) / self.std).to(self.dtype)).cpu().numpy()
        return out


def short_side_crop(bilinear: bool) -> str:
    """A model's own resize that keeps the middle of the picture."""
    return "pillow_short_side_crop_bilinear" if bilinear else "pillow_short_side_crop"


def spread_frames(n_frames: int, size_px: int, clip_s: float, resize: str = "short_side_crop") -> FrameRule:
    """n frames, spread evenly over each clip of `clip_s` seconds."""
    return FrameRule(fps=n_frames / clip_s, size_px=size_px, resize=resize)
