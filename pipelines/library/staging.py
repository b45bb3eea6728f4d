"""Where features wait until a library takes them in: in a local library's folder, or in one of this run's own.

A library of LanceDB may be far away and has no lock, so every run keeps its features in a folder of its own in the
user's cache, whose lock it holds as long as it lives. What a killed run has left there the next one takes in.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from spikemba.errors import OutputError
from spikemba.library.address import Address
from spikemba.library.forms import Form
from spikemba.library.lock import held
from spikemba.user_folders import cache_folder
from spikemba.video.folders import absolute

INCOMING = "incoming"
KEPT_S = 7 * 24 * 3600
"""How long features of a killed run wait that cannot be taken in."""


@contextmanager
def staging(library: Address, form: Form, take_in: Callable[[Path], object]) -> Iterator[Path]:
    """The folder of this run. take_in: is given those that runs before it have left. Raises OutputError."""
    if form == "local":
        yield Path(library) / INCOMING
        return
    above = staged(library)
    try:
        above.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(dir=above))
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise OutputError(above, problem, "let SPIKEMBA_CACHE name a folder that can be written") from error
    with held(own):
        for left in sorted(above.iterdir()):
            if left != own and left.is_dir():
                _adopt(left, take_in)
        yield own
        if not list(own.rglob("*.npz")):
            rmtree(own, ignore_errors=True)


def staged(library: Address) -> Path:
    """The folder of all runs of this user into a library of LanceDB."""
    place = str(absolute(library)) if isinstance(library, Path) else library
    return cache_folder() / INCOMING / hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _adopt(left: Path, take_in: Callable[[Path], object]) -> None:
    with held(left) as free:
        if not free:
            return
        take_in(left)
        if not list(left.rglob("[!.]*.npz")) or time.time() - left.stat().st_mtime > KEPT_S:
            rmtree(left, ignore_errors=True)
