"""`spikemba examples`."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli.console import out, print_line
from spikemba_cli.example import EXAMPLE, SENTENCE, shipped


def examples(
    folder: Annotated[Path, typer.Argument(help="Folder to copy it into.", show_default="./examples")] = EXAMPLE.parent,
) -> None:
    """Copy the example video out of the package, to try things on.

    Example: spikemba examples
    """
    from spikemba.errors import SpikeMbaError, command_line

    source, copy = shipped(), folder / EXAMPLE.name
    if source is None:
        raise SpikeMbaError(f"{EXAMPLE.name} is missing from this installation; install spikemba again")
    _copy(source, copy)
    out.print(str(copy))
    print_line(f"next: {command_line('spikemba', 'ground', copy, SENTENCE, '--checkpoint', 'mini')}")


def _copy(source: Path, copy: Path) -> None:
    """Copy it unless it is there. Raises OutputError, also where something else is."""
    from spikemba.errors import OutputError
    from spikemba.files import writing

    cure = "choose another folder: `spikemba examples OTHER`"
    try:
        if copy.is_file() and copy.read_bytes() == source.read_bytes():
            return
        if copy.exists() or copy.is_symlink():
            raise OutputError(copy, "something else is there already", cure)
        with writing(copy) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise OutputError(copy, (error.strerror or str(error)).lower(), cure) from None
    except OutputError as error:
        if isinstance(cause := error.__cause__, OSError):
            raise OutputError(copy, (cause.strerror or str(cause)).lower(), cure) from None
        raise
