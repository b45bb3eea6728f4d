"""The mini encoder's two towers as graphs: frames to features of clips, words to features of a sentence."""

# Shapes: n clips, T frames of a clip, H, Wd pixels, W words, F feature width.

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikemba.encoders.mini import MiniEncoder
from spikemba.exporting.network import in_plain_operations


class VideoGraph(nn.Module):
    """What `MiniEncoder.encode_clips` gives."""

    def __init__(self, encoder: MiniEncoder) -> None:
        super().__init__()
        self.tower = in_plain_operations(encoder.model.video)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: (n, T, H, Wd, 3) uint8 RGB -> (n, F)."""
        found: Tensor = self.tower(frames)
        return found


class TextGraph(nn.Module):
    """What `MiniEncoder.encode_texts` gives for one sentence."""

    def __init__(self, encoder: MiniEncoder) -> None:
        super().__init__()
        self.tower = in_plain_operations(encoder.model.text)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """words: (1, W) int64, places in the vocabulary -> tokens (1, W, F) and the sentence (1, F)."""
        tokens, pooled = self.tower(words, torch.ones_like(words, dtype=torch.bool))
        return tokens, F.normalize(pooled, dim=-1)
