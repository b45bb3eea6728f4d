"""What an encoder is, and the names by which the command line asks for one.

Adding an encoder is one file with a class that has these attributes, and one line in ENCODERS. An encoder turns
frames and sentences into numbers; it never opens a video and never writes a file.
"""

# Shapes: n clips, T frames of a clip, H, Wd height and width in pixels, W query tokens, F feature width.

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import QueryError, UnknownName
from spikemba.video import FrameRule

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TextFeatures:
    """An encoded sentence."""

    tokens: Array
    """(W, F): states of the real tokens."""
    pooled: Array
    """(F',): one vector for the sentence, comparable with clip features where the encoder is made for it."""


@runtime_checkable
class VideoEncoder(Protocol):
    """Turns clips into features."""

    name: str
    dim: int
    """F of a clip."""
    weights: str
    """SHA-256 of the weights."""
    frames_per_clip: int
    """T."""

    def frame_rule(self, clip_s: float) -> FrameRule:
        """Which frames it wants from a video cut into clips of `clip_s` seconds."""
        ...

    def encode_clips(self, frames: NDArray[np.uint8]) -> Array:
        """frames: (n, T, H, Wd, 3) uint8 RGB -> (n, F). A clip's features do not depend on the other clips."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Turns sentences into features."""

    name: str
    text_dim: int
    """F of a token."""
    weights: str
    max_words: int
    """Longer sentences are refused."""

    def encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """One TextFeatures per sentence; each independent of the others."""
        ...


ENCODERS = {
    "mini": "spikemba.encoders.mini:load",
}
"""Name -> the function that loads it; imported when it is asked for."""


def load_encoder(name: str) -> VideoEncoder:
    """The encoder of that name. Raises UnknownName, and WeightsMissing when its weights are not on this machine."""
    if name not in ENCODERS:
        raise UnknownName("encoder", name, sorted(ENCODERS))
    module, _, function = ENCODERS[name].partition(":")
    return cast(VideoEncoder, getattr(importlib.import_module(module), function)())


def load_encoders(names: str) -> list[VideoEncoder]:
    """Several encoders, as in `clip+slowfast`; features are joined in this order."""
    return [load_encoder(name) for name in names.split("+")]


def check_query(sentence: str, max_words: int) -> str:
    """The sentence without surrounding space. Raises QueryError when there is nothing in it, or too much."""
    n_words = len(sentence.split())
    if not n_words:
        raise QueryError('the query is empty; expected a sentence, as in "a dog enters"')
    if n_words > max_words:
        raise QueryError(f"the query has {n_words} words; this encoder reads at most {max_words}")
    return sentence.strip()
