"""What is asked of a conversion of predictions, and what comes of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ConversionOptions:
    """How files of predictions are read, and what is made of them."""

    to: str
    """A name of a form of predictions, or a format of `ground`."""
    out: Path | None = None
    """File, or a folder for a file per video; None: the text is returned."""
    form: str | None = None
    """Of the files; None: seen by what stands there."""
    annotations: Path | None = None
    """Whose ids, durations and true windows the rows get."""
    videos: Path | None = None
    """Folder of the videos."""
    video: str | None = None
    """What rows are about that name no video."""
    units: str | None = None
    """Of the times, of UNITS; None: seconds, unless they look like something else, which is refused."""
    fps: float | None = None
    """Of frames; None: of the videos' own rate."""
    drop_faulty: bool = False
    """Leave out moments that end before they begin."""
    shape: Literal["cut", "markers"] | None = None
    """Of timelines."""
    relative: bool = False
    """Timelines name the videos from the folder that they lie in themselves."""


@dataclass
class Conversion:
    """What came of it."""

    notes: list[str] = field(default_factory=list)
    """What somebody should know, each once."""
    written: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Of several videos, those about which nothing could be written, and why."""
    text: str | None = None
    """The file, where it was not written."""
