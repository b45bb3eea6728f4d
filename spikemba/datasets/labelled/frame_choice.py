"""Which frames of a video a recogniser sees: spread over the whole of it, or a dense stretch."""

# Shapes: T frames of a clip, V views.

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from spikemba.config import Config

Indices = NDArray[np.intp]  # (T,), ascending


class FrameChoice(Config):
    """Frames of one clip."""

    n_frames: PositiveInt = 16
    """T."""
    rule: Literal["uniform", "dense"] = "uniform"
    """`uniform` cuts the video into T equal parts and takes a frame of each; `dense` takes every `stride`-th frame."""
    stride: PositiveInt = 2
    """Source frames from one to the next, for `dense`."""


def training_frames(choice: FrameChoice, n_source: int, rng: np.random.Generator) -> Indices:
    """A random clip of a video of `n_source` frames: any frame of each part, or a stretch that begins anywhere."""
    if choice.rule == "uniform":
        return _of_parts(choice.n_frames, n_source, rng.random(choice.n_frames))
    last_start = max(0, n_source - _span(choice))
    return _stretch(choice, n_source, int(rng.integers(last_start + 1)))


def viewed_frames(choice: FrameChoice, n_source: int, n_views: int) -> list[Indices]:
    """The clips of a test, spread evenly: the same place of every part in each view, or stretches from start to end.

    One view takes the middle of each part, or the stretch in the middle.
    """
    places = (np.arange(n_views) + 0.5) / n_views
    if choice.rule == "uniform":
        return [_of_parts(choice.n_frames, n_source, np.full(choice.n_frames, place)) for place in places]
    last_start = max(0, n_source - _span(choice))
    starts = np.linspace(0, last_start, n_views) if n_views > 1 else np.array([last_start / 2])
    return [_stretch(choice, n_source, round(start)) for start in starts]


def _of_parts(n_frames: int, n_source: int, places: NDArray[np.float64]) -> Indices:
    """places: (T,), where in its part each frame lies, from 0 to below 1. A short video shows frames repeatedly."""
    chosen = ((np.arange(n_frames) + places) * n_source / n_frames).astype(np.intp)
    return np.minimum(chosen, n_source - 1)


def _span(choice: FrameChoice) -> int:
    return (choice.n_frames - 1) * choice.stride + 1


def _stretch(choice: FrameChoice, n_source: int, start: int) -> Indices:
    """A short video ends with its last frame repeated."""
    return np.minimum(start + choice.stride * np.arange(choice.n_frames), n_source - 1)
