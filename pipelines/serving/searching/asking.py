"""Questions to the library: what may be asked, and how each is answered.

The work is that of `spikemba search`. A condition in SQL is never taken from a page: words that stand in names and
folders choose videos.
"""

import base64
import binascii
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace

from pipelines.library.alike import VideoPart, search_image, search_like
from pipelines.library.results import LibraryAnswer
from pipelines.library.search import SearchSettings, search
from pipelines.serving.footage.catalogue import ServedVideos
from pipelines.serving.search_messages import AskLibrary, Part
from pipelines.serving.searching.found import Found, PathNames, paths_of
from pipelines.serving.searching.search import Search
from pipelines.serving.searching.served_library import ServedLibrary, shown_below
from spikemba.errors import LibraryError, SpikeMbaError, VideoError
from spikemba.files import folder_of_ours
from spikemba.grounder.grounder import Grounder
from spikemba.library.address import Address
from spikemba.progress import Report
from spikemba.reading.printable import printable
from spikemba.video.folders import common_folder

AT_ONCE = 4
"""Videos that are looked at between two reports, and before it is noticed that nobody waits."""
MOST_PIXELS = 4096 * 4096
"""Of a picture."""

Look = Callable[[SearchSettings, Report], LibraryAnswer]


class LibraryDesk:
    """Takes questions to a library."""

    def __init__(
        self, library: ServedLibrary, models: Mapping[str, Grounder], videos: ServedVideos, *, full: bool
    ) -> None:
        """full: whether the library's folder is told. Raises LibraryError where no model can be asked about it."""
        self.library, self.models, self._videos, self._full = library, models, videos, full
        misfits = library.misfits(models)
        self.fitting = [name for name in models if name not in misfits]
        if not self.fitting:
            raise next(iter(misfits.values()), LibraryError(library.folder, "there is no checkpoint", "name one"))

    def n_videos(self) -> int:
        """Of the library, those that could be read; 0 where it cannot be read now."""
        try:
            return len(self.library.taken_in())
        except SpikeMbaError:
            return 0

    def ask(self, asked: AskLibrary) -> Search:
        """A search that nobody works on yet. Raises NotThere, QueryError, SpikeMbaError."""
        name = asked.checkpoint or self.fitting[0]
        model = self.models[name]
        if sum(one is not None for one in (asked.query, asked.like, asked.picture)) != 1:
            raise SpikeMbaError("give one of query, like and picture: what to look for")
        if asked.show_all and asked.min_exists is not None:
            raise SpikeMbaError(
                "show_all shows every moment, so min_exists means nothing beside it; give one of the two"
            )
        settings = SearchSettings(
            asked.top,
            asked.closely,
            None,
            0.0 if asked.show_all else asked.min_exists,
            texts=asked.texts,
            at_once=AT_ONCE,
        )
        settings.check(model)
        said, look = self._look(asked, model)
        names = PathNames(self.library.folder, self._full, {}, {})

        def found(report: Report) -> Found:
            library = self.library.library()
            among = self.library.among(asked.only)
            answer = look(replace(settings, among=among), report)
            return self._named(answer, name, model, library.folder)

        return Search(said, found, names.told)

    def _look(self, asked: AskLibrary, model: Grounder) -> tuple[str, Look]:
        """What is asked, in words, and what answers it."""
        if asked.query is not None:
            (query,) = model.check([asked.query])
            return query, lambda settings, report: search(self.library.library(), model, query, settings, report)
        if asked.like is not None:
            return self._like(asked.like, model)
        assert asked.picture is not None
        content = _picture(asked.picture)
        return "a picture", lambda settings, _: self._by_picture(content, model, settings)

    def _like(self, part: Part, model: Grounder) -> tuple[str, Look]:
        video = self._videos.get(part.video)
        if not part.start_s < part.end_s:
            raise SpikeMbaError(
                f"a part from {part.start_s:g} to {part.end_s:g} s is none; its end must lie behind its start"
            )
        known = VideoPart(video.path, part.start_s, part.end_s)

        def look(settings: SearchSettings, report: Report) -> LibraryAnswer:
            try:
                found = search_like(self.library.library(), model, known, settings, report)
            except VideoError as error:
                raise video.fault(error) from None
            except SpikeMbaError as error:
                raise SpikeMbaError(video.told(error)) from None
            return found

        return f"{video.name} from {part.start_s:g} to {part.end_s:g} s", look

    def _by_picture(self, content: bytes, model: Grounder, settings: SearchSettings) -> LibraryAnswer:
        folder = folder_of_ours("spikemba-pictures")  # what killed servers left there goes
        file = folder / "picture.jpg"
        try:
            file.write_bytes(content)
            return search_image(self.library.library(), model, file, settings)
        except VideoError as error:
            raise SpikeMbaError(str(error).replace(str(file), "the picture")) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _named(self, answer: LibraryAnswer, name: str, model: Grounder, folder: Address) -> Found:
        self._videos.all()  # what was taken in meanwhile is found by that
        stored = self.library.taken_in()
        top = common_folder(stored)
        served, others = {}, {}
        paths = [*paths_of(answer), *(path for path in stored if any(str(path) in note for note in answer.notes))]
        for path in paths:
            if (video := self._videos.of_path(path)) is not None and self._videos.may_be_served(path):
                served[path] = video
            else:
                others[path] = printable(shown_below(path, top))
        lengths = {one.video: stored[one.video].duration_s for one in answer.moments if one.video in stored}
        known = {one.video: one.duration_s for one in answer.groundings}
        duration_s = {path: length for path, length in lengths.items() if length is not None} | known
        return Found(answer, name, model.calibrated, PathNames(folder, self._full, served, others), duration_s)


def _picture(text: str) -> bytes:
    """A JPEG out of base64. Raises SpikeMbaError."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    size = _size_of(content)
    if size is None:
        raise SpikeMbaError("picture is no JPEG in base64")
    if size[0] * size[1] > MOST_PIXELS:
        raise SpikeMbaError(f"the picture has {size[0]} x {size[1]} pixels; send one of 4096 x 4096 at most")
    return content


def _size_of(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height in pixels as a JPEG's frame header says (ITU-T T.81, B.2.2); None for what is none."""
    at = 2 if jpeg.startswith(b"\xff\xd8") else len(jpeg)
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        kind, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
        at += 2 + length
    return None
