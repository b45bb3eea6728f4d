"""What an encoder is, and what it is told when it is loaded.

Adding an encoder is one file with a class that has these attributes and an entry that declares it (docs/encoders.md
shows one whole). An encoder turns frames and sentences into numbers; it never opens a video and never writes a file.
"""

# Shapes: n clips, T frames of a clip, H, Wd height and width in pixels, W query tokens, F feature width.

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import QueryError, ShapeError
from spikemba.video.clips import ClipRule
from spikemba.video.sampling import FrameRule, VideoInfo

Array = NDArray[np.float32]

BATCH_CLIPS = 32
"""Clips per call of an encoder that does not say how many it takes at once."""


@dataclass(frozen=True)
class TextFeatures:
    """An encoded sentence."""

    tokens: Array
    """(W, F): states of the real tokens."""
    pooled: Array
    """(F',): one vector for the sentence, comparable with clip features where the encoder is made for it."""


@dataclass(frozen=True)
class EncoderOptions:
    """How an encoder is loaded and run."""

    weights: Path | None = None
    """File or folder of its weights; None: from `folder`, the hub's cache, or the hub."""
    folder: Path | None = None
    """Folder in which weight files are looked for by their published names."""
    frames: Literal["published", "corrected"] = "published"
    """Take the frames that made the published features, with their quirks, or those that were meant."""
    resize: Literal["published", "own"] = "published"
    """Scale and crop by the ffmpeg chain behind the published features, or as the model was trained."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of weights and activations; features are float32 all the same."""
    device: str = "auto"
    """As torch names it; auto: the GPU if there is one."""


@runtime_checkable
class ClipEncoder(Protocol):
    """What all encoders of videos have: they give a row per clip. Of what, `VideoEncoder` and the two below it say."""

    name: str
    dim: int
    """F of a clip."""
    weights: str
    """SHA-256 of the weights."""


@runtime_checkable
class VideoEncoder(ClipEncoder, Protocol):
    """Turns clips of frames into features."""

    frames_per_clip: int
    """T."""

    def frame_rule(self, clip_s: float) -> FrameRule:
        """Which frames it wants from a video cut into clips of `clip_s` seconds."""
        ...

    def encode_clips(self, frames: NDArray[np.uint8]) -> Array:
        """frames: (n, T, H, Wd, 3) uint8 RGB -> (n, F). A clip's features do not depend on the other clips.

        Raises ShapeError for anything else; without a clip the result is (0, F).
        """
        ...


@runtime_checkable
class SoundEncoder(ClipEncoder, Protocol):
    """Turns the sound of clips into features."""

    rate_hz: int
    """Samples per second that it hears, of one channel."""

    def encode_sounds(self, windows: NDArray[np.float32]) -> Array:
        """windows: (n, S) float32 samples in [-1, 1], a clip each -> (n, F). A row does not depend on other windows.

        Raises ShapeError for anything else; without a window the result is (0, F).
        """
        ...


@runtime_checkable
class SubtitleEncoder(ClipEncoder, Protocol):
    """Turns what is said in clips, as the subtitles have it, into features."""

    def encode_cues(self, cues: Sequence[Sequence[str]]) -> Array:
        """cues: of each of n clips, the subtitles that stand while it lasts -> (n, F); zeros where there are none."""
        ...


@runtime_checkable
class ClipPicker(Protocol):
    """A video encoder whose frames depend on the file, or that sees some frames of a clip more than once."""

    def clip_rule(self, clip_s: float, source: VideoInfo) -> ClipRule:
        """Which frames of this file it wants, and how they form clips of `clip_s` seconds."""
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
        """One TextFeatures per sentence; each independent of the others. Raises QueryError."""
        ...


@runtime_checkable
class WordKnower(Protocol):
    """A text encoder with a vocabulary, which can tell what it does not know."""

    def unknown_words(self, sentence: str) -> list[str]:
        """Words of the sentence that mean nothing to it, in lower case, each once."""
        ...


def unknown_words(encoder: TextEncoder, sentence: str) -> tuple[str, ...]:
    """Words that an encoder does not know; none where it cannot tell."""
    return tuple(encoder.unknown_words(sentence)) if isinstance(encoder, WordKnower) else ()


def clip_rule(encoder: VideoEncoder, clip_s: float, source: VideoInfo) -> ClipRule:
    """Which frames of a file an encoder sees, and how they form clips."""
    if isinstance(encoder, ClipPicker):
        return encoder.clip_rule(clip_s, source)
    return ClipRule(encoder.frame_rule(clip_s), encoder.frames_per_clip)


def folder_name(encoder: str) -> str:
    """A folder for the features of an encoder: `clip:ViT-L-14` -> clip_ViT-L-14."""
    return re.sub(r"[^\w.-]+", "_", encoder)


def check_clips(frames: NDArray[np.uint8], frames_per_clip: int, encoder: str) -> None:
    """Raise ShapeError for anything but (n, T, H, Wd, 3) uint8: some models would take it and give nonsense."""
    shape = frames.shape
    if len(shape) != 5 or (shape[1], shape[4]) != (frames_per_clip, 3) or frames.dtype != np.uint8:
        wanted = f"(n, {frames_per_clip}, height, width, 3) uint8"
        raise ShapeError(f"clips for {encoder} are {shape} {frames.dtype}; expected {wanted}")


def check_windows(windows: NDArray[np.float32], encoder: str) -> None:
    """Raise ShapeError for anything but (n, S) float32 samples."""
    if windows.ndim != 2 or not windows.shape[1] or windows.dtype != np.float32:
        raise ShapeError(f"sounds for {encoder} are {windows.shape} {windows.dtype}; expected (n, samples) float32")


def check_query(sentence: str, max_words: int) -> str:
    """The sentence without surrounding space. Raises QueryError when there is nothing in it, or too much."""
    n_words = len(sentence.split())
    if not n_words:
        raise QueryError('the query is empty; expected a sentence, as in "a dog enters"')
    if n_words > max_words:
        raise QueryError(f"the query has {n_words} words; this encoder reads at most {max_words}")
    return sentence.strip()
