"""What encoders of images have in common: a clip is one frame, scaled, cropped and normalised as in their training."""

# Shapes: n clips, H, Wd pixels, W query tokens, F feature width.

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikemba.encoders.base import Array, TextFeatures, check_clips, check_query
from spikemba.encoders.placed_model import PlacedModel
from spikemba.video.clips import ClipRule, published_fps
from spikemba.video.sampling import FrameRule, VideoInfo


class OneFramePerClip(PlacedModel, ABC):
    """An image and text encoder behind the protocols of `base`, but for the towers themselves."""

    frames_per_clip = 1
    batch_clips = 16
    name: str
    dim: int
    size_px: int
    own_resize: str
    """How images were scaled in the training of the model."""
    max_words: int

    @abstractmethod
    def embed_images(self, pixels: Tensor) -> Tensor:
        """pixels: (n, 3, H, Wd), normalised -> (n, F)."""

    @abstractmethod
    def embed_text(self, sentence: str) -> TextFeatures:
        """States of the real tokens and a vector for the sentence. Raises QueryError when it has too many tokens."""

    def frame_rule(self, clip_s: float) -> FrameRule:
        """The frame just before the middle of each clip."""
        resize = "short_side_crop" if self.options.resize == "published" else self.own_resize
        return FrameRule(fps=1 / clip_s, size_px=self.size_px, resize=resize)

    def clip_rule(self, clip_s: float, source: VideoInfo) -> ClipRule:
        """One frame per clip; `published`: very short videos are read faster, as by the published pipelines."""
        rule = self.frame_rule(clip_s)
        if self.options.frames == "published":
            rule = FrameRule(published_fps(float(rule.fps), source), rule.size_px, rule.resize)
        return ClipRule(rule, 1)

    @torch.inference_mode()
    def encode_clips(self, frames: NDArray[np.uint8]) -> Array:
        """frames: (n, 1, H, Wd, 3) uint8 RGB -> (n, F)."""
        check_clips(frames, self.frames_per_clip, self.name)
        if not len(frames):
            return np.zeros((0, self.dim), np.float32)
        x = torch.from_numpy(frames[:, 0]).to(self.device).permute(0, 3, 1, 2).float() / 255
        out: Array = self.embed_images(((x - self.mean) / self.std).to(self.dtype)).float().cpu().numpy()
        return out

    @torch.inference_mode()
    def encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """One by one, so that a sentence's features do not depend on its neighbours."""
        return [self.embed_text(check_query(sentence, self.max_words)) for sentence in sentences]
