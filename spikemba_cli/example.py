"""The example video, for whoever installed the package and has no checkout beside it."""

from pathlib import Path

import spikemba
from spikemba_cli.console import print_note

EXAMPLE = Path("examples/shapes.mp4")
"""As README and the help name it."""
SENTENCE = "a red circle enters"
"""What it shows, from 21.3 to 25.8 s."""


def shipped() -> Path | None:
    """The video inside the installed package, or in the checkout that is installed."""
    package = Path(spikemba.__file__).parent
    places = package / "weights" / EXAMPLE.name, package.parent / EXAMPLE
    return next((place for place in places if place.is_file()), None)


def example_or(video: Path) -> Path:
    """The video as given; in place of an example that is not in this folder, the copy inside the installed package."""
    if video == EXAMPLE and not video.exists() and (copy := shipped()) is not None:
        print_note(f"{EXAMPLE} is not in this folder; taking the copy that comes with the package")
        return copy
    return video
