"""THE path clips -> probabilities of classes: training's evaluation, `evaluate` and `recognize` all use it."""

# Shapes: B clips, V views of a video, T frames, S pixels a side, K classes.

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikemba.model.video_mamba.checkpoint import Preprocessing

Probabilities = NDArray[np.float32]  # (K,)

CLIPS_AT_ONCE = 16
"""Clips that go through the network together, in a test."""


def model_input(clips: Tensor, preprocessing: Preprocessing) -> Tensor:
    """clips: (B, T, 3, S, S) uint8 -> (B, 3, T, S, S) float, normalised."""
    return preprocessing.normalised(clips.movedim(2, -1))


@torch.inference_mode()
def probabilities(
    model: nn.Module, clips: Tensor, preprocessing: Preprocessing, at_once: int = CLIPS_AT_ONCE
) -> Tensor:
    """clips: (B, T, 3, S, S) uint8 -> (B, K), each row summing to 1; on the CPU. The model is in eval mode."""
    device = next(model.parameters()).device
    found = [
        model(model_input(part.to(device), preprocessing)).float().softmax(-1).cpu() for part in clips.split(at_once)
    ]
    return torch.cat(found)


def averaged(of_views: Tensor, n_views: Sequence[int]) -> Iterator[Probabilities]:
    """of_views: (sum of n_views, K), the views of several videos one after another -> the mean of each video's."""
    for of_video in of_views.split(list(n_views)):
        yield of_video.mean(0).numpy()
