"""Small random models in the published layouts, loaded and run by the encoders themselves, to see whether they work."""

import tempfile
from pathlib import Path

import numpy as np

from pipelines.doctor.processes import Absent, Blamed
from spikemba.encoders.base import (
    Array,
    ClipEncoder,
    EncoderOptions,
    SoundEncoder,
    SubtitleEncoder,
    TextEncoder,
    VideoEncoder,
)
from spikemba.encoders.registry import find_encoder, load_encoder
from spikemba.errors import SpikeMbaError


def run_tiny(name: str) -> str:
    """Make a small model of that encoder, load it as the encoder does and encode a clip, and a sentence if it reads.

    Returns what it gave, in words. Raises whatever stands in the way.
    """
    entry = find_encoder(name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _run(load_tiny(name, Path(folder)))
    except (SpikeMbaError, Absent):
        raise
    except Exception as error:
        raise Blamed(entry.library) from error


def load_tiny(name: str, folder: Path) -> ClipEncoder:
    """A small random model of that encoder, on the CPU; where it needs no weights from outside, the encoder itself.

    folder: an empty one, where the model is put. Raises Absent when the encoder's entry makes none.
    """
    entry = find_encoder(name)
    if entry.tiny is None and entry.source is not None:
        raise Absent("not tried: its entry makes no small model")
    asked, weights = entry.tiny(folder) if entry.tiny else (name, None)
    return load_encoder(asked, EncoderOptions(weights=weights, device="cpu"))


def _run(encoder: ClipEncoder) -> str:
    clip, of_what = _clip(encoder)
    words = encoder.encode_texts(["a dog enters"])[0].tokens if isinstance(encoder, TextEncoder) else None
    if not np.isfinite(clip).all() or (words is not None and not np.isfinite(words).all()):
        raise ArithmeticError("features are not finite")
    reads = "" if words is None else f", a sentence to {words.shape}"
    return f"a clip of {of_what} to {clip.shape}{reads}"


def _clip(encoder: ClipEncoder) -> tuple[Array, str]:
    """The row of one clip, and what the clip was."""
    chance = np.random.default_rng(0)
    if isinstance(encoder, SoundEncoder):
        sound = chance.uniform(-1, 1, (1, 2 * encoder.rate_hz)).astype(np.float32)
        return encoder.encode_sounds(sound), "2 s of sound"
    if isinstance(encoder, SubtitleEncoder):
        return encoder.encode_cues([["a dog enters"]]), "one subtitle"
    assert isinstance(encoder, VideoEncoder)
    px = encoder.frame_rule(2.0).size_px
    frames = chance.integers(0, 255, (1, encoder.frames_per_clip, px, px, 3), dtype=np.uint8)
    return encoder.encode_clips(frames), f"{encoder.frames_per_clip} frames"
