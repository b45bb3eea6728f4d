"""Encoders: frames and sentences to features. None reads video files or writes any.

In:    frames of clips, uint8; sound of clips, float32; subtitles; sentences.
Out:   a row of numbers per clip, and per token.
First: base.py, what an encoder is; registry.py finds one by its name, and each module declares its own entry.

The names below are imported when they are first used, so that a list of encoders needs nothing of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikemba.encoders.base import (
        ClipEncoder,
        SoundEncoder,
        SubtitleEncoder,
        TextEncoder,
        TextFeatures,
        VideoEncoder,
    )
    from spikemba.encoders.registry import load_encoder, load_encoders

__all__ = [
    "ClipEncoder",
    "SoundEncoder",
    "SubtitleEncoder",
    "TextEncoder",
    "TextFeatures",
    "VideoEncoder",
    "load_encoder",
    "load_encoders",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'registry' if name.startswith('load') else 'base'}"), name)
