"""What the program knows of an encoder: one value, which its module declares and the registry finds by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spikemba.encoders.base import ClipEncoder, EncoderOptions
    from spikemba.encoders.weights import Source


@dataclass(frozen=True)
class EncoderEntry:
    """One encoder: how it is asked for, loaded and tried."""

    name: str
    """As `--encoder` and `--weights` call it."""
    what: str
    """What it is, in a few words."""
    load: Callable[[str, str | None, "EncoderOptions"], "ClipEncoder"]
    """The encoder, of its whole name, what follows the colon in it, and the options.

    Raises WeightsMissing, CheckpointError, and UnknownName for a model that it does not have.
    """
    models: tuple[str, ...] = ()
    """What may follow the colon in NAME:MODEL, for the user to read; empty: nothing may."""
    of_another: Callable[[str, "ClipEncoder"], "ClipEncoder"] | None = None
    """Makes it, of its whole name, from the encoder that follows the colon, where one must; then `load` only raises."""
    reads_text: bool = False
    """Whether what `load` gives is a TextEncoder too."""
    source: Callable[[], "Source"] | None = None
    """Where the weights of its default model come from; None: they come with it, or it has no default."""
    length_matters: bool = False
    """Whether a clip's vector is longer the more goes on in it, so that grounding without training keeps its length."""
    knows: str = ""
    """All that it knows of the world, where that is so little that answers about anything else mean nothing."""
    library: str = ""
    """Import name of the library whose model it runs, blamed when that fails; empty: the package it comes with."""
    tiny: Callable[[Path], tuple[str, Path]] | None = None
    """Writes a small model with random weights, in the published layout, into a folder, for doctor and tests; returns
    the name and the weights to load it by. None: where `source` is None too, the encoder itself is tried.
    """

    @property
    def forms(self) -> list[str]:
        """Every way of asking for it: `clip`, `clip:MODEL`."""
        return [self.name, *(f"{self.name}:{model}" for model in self.models)]
