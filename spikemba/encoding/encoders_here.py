"""Encoders with the weights that this user has: those named, the settings', the weights folder's, or the hub's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spikemba.encoders import ClipEncoder, TextEncoder, load_encoders
from spikemba.encoders.base import EncoderOptions
from spikemba.errors import SpikeMbaError
from spikemba.user_folders import load_settings, weights_folder


def load_encoders_here(names: str, options: EncoderOptions, weights: Mapping[str, Path]) -> list[ClipEncoder]:
    """Encoders, with weights from the files named, the user's settings, the weights folder, or the hub.

    Raises UnknownName, WeightsMissing, CheckpointError.
    """
    options = options if options.folder else replace(options, folder=weights_folder())
    return load_encoders(names, options, {**load_settings().weights, **weights})


def text_encoder(encoders: Sequence[ClipEncoder]) -> TextEncoder:
    """The first of the encoders that reads text. Raises SpikeMbaError when none does."""
    for encoder in encoders:
        if isinstance(encoder, TextEncoder):
            return encoder
    names = "+".join(encoder.name for encoder in encoders)
    raise SpikeMbaError(
        f"no encoder of {names} reads text; name one that does with --text-encoder, or add it, as in clip+{names}"
    )
