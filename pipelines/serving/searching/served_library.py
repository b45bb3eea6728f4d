"""The library that is searched: opened once, opened anew where another one lies in its place, asked by any thread."""

import threading
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from pipelines.library.space import search_space
from pipelines.serving.faults import NotThere
from spikemba.errors import LibraryError
from spikemba.grounder.grounder import Grounder
from spikemba.library import Library, StoredVideo
from spikemba.library.address import Address, library_address
from spikemba.library.forms import form_of, open_library
from spikemba.library.schema import FILE
from spikemba.reading.printable import printable
from spikemba.video.folders import common_folder


class ServedLibrary:
    """Where a library is, of either form, and what reads it."""

    def __init__(self, given: Address) -> None:
        """Raises LibraryError where there is none that can be read."""
        self.folder = library_address(given)
        self._lock = threading.Lock()
        self._library, self._mark = open_library(self.folder), _mark_of(self.folder)

    def library(self) -> Library:
        """What lies there now. Raises LibraryError."""
        with self._lock:
            mark = _mark_of(self.folder)
            if mark != self._mark:
                # whoever still asks the one of before is answered by it; it ends with its last question
                self._library, self._mark = open_library(self.folder), mark
            return self._library

    def _newest(self) -> Library:
        """What lies there now, in its newest state."""
        library = self.library()
        library.encoders()
        return library

    def taken_in(self) -> dict[Path, StoredVideo]:
        """Its videos by their absolute paths, those that could not be read aside. Raises LibraryError."""
        return {one.path: one for one in self._newest().videos()}

    def misfits(self, models: Mapping[str, Grounder]) -> dict[str, LibraryError]:
        """The models that cannot be asked about it, and why."""
        found = {}
        for name, model in models.items():
            try:
                search_space(self.library(), model)
            except LibraryError as error:
                found[name] = error
        return found

    def among(self, only: str) -> tuple[int, ...] | None:
        """Ids of the videos whose name or folder has every word; None where no word is asked for.

        Raises NotThere when there is none, LibraryError.
        """
        words = _plain(only).split()
        if not words:
            return None
        videos = self._newest().videos()
        top = common_folder(one.path for one in videos)
        found = [one.id for one in videos if _has(words, _plain(shown_below(one.path, top)))]
        if not found:
            shown = printable(only)[:60]
            raise NotThere(f"no video of the library has {shown!r} in its name or folder; ask about others")
        return tuple(found)


def shown_below(path: Path, top: Path | None) -> str:
    """A path from a folder on, where it lies below it."""
    return path.relative_to(top).as_posix() if top is not None and path.is_relative_to(top) else path.name


def _has(words: list[str], text: str) -> bool:
    return all(word in text for word in words)


def _plain(text: str) -> str:
    """As the page's list of videos filters: without accents, in lower case."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(one for one in letters if not unicodedata.category(one).startswith("M")).lower()


def _mark_of(place: Address) -> tuple[int, int] | None:
    """Changes when another database lies in a folder; None where one of LanceDB is, which tells itself."""
    if form_of(place) == "lance":
        return None
    try:
        status = (Path(place) / FILE).stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino
