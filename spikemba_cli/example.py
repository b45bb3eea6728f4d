"""The example video, for whoever installed the package and has no checkout beside it."""

from pathlib import Path

import spikemba
from spikemba_cli.console import print_note

EXAMPLE = Path("examples/shapes.mp4")
"""As README and the help name it."""


def example_or(video: Path) -> Path:
    """The video as given; in place of an example that is not in this folder, the copy inside the installed package."""
    copy = Path(spikemba.__file__).parent / "weights" / EXAMPLE.name
    if video == EXAMPLE and not video.exists() and copy.is_file():
        print_note(f"{EXAMPLE} is not in this folder; taking the copy that comes with the package")
        return copy
    return video
