"""The models that `spikemba serve` and `spikemba mcp` answer with."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import spikemba
from spikemba_cli import completion
from spikemba_cli.console import print_note

if TYPE_CHECKING:
    from spikemba.grounder.grounder import Grounder

CheckpointsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--checkpoint",
        help="Run folder, checkpoint folder, bundled name, or OWNER/NAME; may be repeated.",
        autocompletion=completion.checkpoints,
    ),
]
ServedLibraryOption = Annotated[
    str | None,
    typer.Option("--library", help="Folder or address of a library to search, too; without VIDEOS its own are shown."),
]


def check_served(paths: Sequence[Path], library: str | None, asked: Sequence[str | None]) -> None:
    """Say before anything slow what videos or library cannot be shown. asked: checkpoints and encoders.

    Raises VideoError, and LibraryError as `spikemba search` does.
    """
    from spikemba.video.folders import search

    if paths:
        search(paths)
    if library is None:
        return
    from spikemba.library.forms import open_library
    from spikemba_cli.search import check_asked

    with open_library(library) as opened:
        check_asked(opened, next((one for one in asked if one), None))


def load_models(checkpoints: Sequence[str], encoder: str | None, *, bundled: bool, **how: Any) -> "dict[str, Grounder]":
    """Name -> what answers under it, in the order given. bundled: where none is named, take the model of the package.

    Raises CheckpointError and others when one cannot be used here, SpikeMbaError for a name that is there twice.
    """
    from spikemba.errors import SpikeMbaError
    from spikemba.user_folders import load_settings

    if twice := sorted({name for name in checkpoints if checkpoints.count(name) > 1}):
        raise SpikeMbaError(f"--checkpoint {twice[0]} is given twice; name each once")
    if not checkpoints and not encoder and bundled and not load_settings().checkpoint:
        checkpoints = ["mini"]
    found = [spikemba.load(name, **how) for name in checkpoints]
    if encoder or not found:
        found.append(spikemba.load(None, encoder=encoder, **how))
        if not found[-1].trained:
            print_note(f"{found[-1].name}: untrained, it cannot know whether a video shows what is asked at all")
    return {one.name: one for one in found}
