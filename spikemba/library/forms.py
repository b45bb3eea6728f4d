"""The two forms of a library, and which one lies where: a local folder of matrices, or a database of LanceDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from spikemba.errors import LibraryError, NoLibrary, command_line
from spikemba.library.address import Address, is_remote, library_address
from spikemba.library.protocol import Writer
from spikemba.library.reader import Library
from spikemba.library.schema import FILE
from spikemba.library.writer import changing as changing_local
from spikemba.reading.printable import counted

Form = Literal["local", "lance"]
"""local: library.sqlite and matrices in a folder.  lance: a database of LanceDB, in a folder or an object store."""
FORMS: tuple[Form, ...] = get_args(Form)
_LOG = "log.lance"
_OF_SYSTEMS = frozenset(("lost+found", "system volume information", "$recycle.bin", "thumbs.db", "desktop.ini"))
"""What file systems and file managers put into folders by themselves, beside names that begin with a dot."""


def form_of(address: Address) -> Form | None:
    """What lies there; None for a folder that holds no library. In an object store it is always LanceDB."""
    if is_remote(address):
        return "lance"
    folder = Path(address)
    if (folder / FILE).exists():
        return "local"
    return "lance" if (folder / _LOG).is_dir() else None


def is_library(address: Address) -> bool:
    """Whether there is one, of either form. Raises LibraryError where that cannot be known."""
    if form_of(address) != "lance":
        return form_of(address) is not None
    try:
        open_library(address).close()
    except NoLibrary:
        return False
    return True


def open_library(address: Path | str) -> Library:
    """The library of a folder or an address, of either form. Raises LibraryError as `Library.open`."""
    place = library_address(address)
    if form_of(place) == "lance":
        from spikemba.library.lance.reader import LanceLibrary

        return LanceLibrary.at(place)
    return Library.open(Path(place))


@contextmanager
def changing(address: Path | str, form: Form | None = None, *, make: bool = True) -> Iterator[Writer]:
    """Change a library of either form; it is made where there is none, local unless `form` says otherwise.

    make: False where one has to be there.
    Raises LibraryError, also where it is of another form, and OutputError.
    """
    place = library_address(address)
    there = check_form(place, form)
    if there == "lance":
        from spikemba.library.lance.writer import changing_lance

        with changing_lance(place, make=make) as writer:
            yield writer
    else:
        if not make:
            Library.open(Path(place)).close()
        with changing_local(Path(place)) as local:
            yield local


def check_room(place: Address) -> None:
    """Raises LibraryError for a folder that holds other things and no library: nothing is written among them."""
    if form_of(place) is not None or not Path(place).is_dir():
        return
    others = sorted(one.name for one in Path(place).iterdir() if not _may_be_ours(one.name))
    if others:
        held = f"{counted(len(others), 'file or folder', 'files and folders')}, as {others[0]}, and no library"
        raise LibraryError(place, f"the folder holds {held}", "name a new or empty one with --to")


def _may_be_ours(name: str) -> bool:
    """What somebody who was killed while he made a library may have left, and what systems put into every folder."""
    if name.lower() in _OF_SYSTEMS:
        return True
    return name.startswith((".", Path(FILE).stem + ".")) or name.endswith(".lance")


def check_form(place: Address, form: Form | None) -> Form:
    """The form that lies there, or that is to be made. Raises LibraryError when it is another one."""
    there = form_of(place)
    if form is not None and there is not None and form != there:
        copy = command_line("spikemba", "library", "copy", place, "--to", "ANOTHER", "--form", form)
        raise LibraryError(place, f"it is of the form {there}, not {form}", f"leave --form out, or run `{copy}`")
    return there or form or "local"
