"""Encoders whose weights come with the package."""

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.mini import MiniEncoder
from spikemba.encoders.mini import load as load_mini


def load(name: str, model: str | None, options: EncoderOptions) -> MiniEncoder:  # noqa: ARG001
    """The mini encoder; of the options only the folder of its weights matters, it is too small for the others."""
    return load_mini(options.weights) if options.weights else load_mini()
