"""What is written about the videos of a library, kept up to date: their names, and subtitles that lie beside them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from spikemba.errors import VideoError
from spikemba.library import StoredVideo
from spikemba.library.address import Address
from spikemba.library.forms import changing
from spikemba.library.rows import Text
from spikemba.video.subtitles import beside, read_subtitles

NAME, SUBTITLES = "name", "subtitles"
"""Sources of texts."""


def bring_in_texts(folder: Address, videos: Sequence[StoredVideo] | None = None) -> dict[Path, str]:
    """Read names and subtitles anew, and store what is not there as it is now; returns files that cannot be read.

    videos: None for all. What lies on a disk that is away stays as it was.
    """
    with changing(folder) as writer:
        asked = [one for one in (writer.videos() if videos is None else videos) if one.problem is None]
        stored = writer.texts()
        failed: dict[Path, str] = {}
        found = {(one.id, source): now for one, texts in _found(asked, failed) for source, now in texts.items()}
        writer.replace_texts({key: now for key, now in found.items() if stored.get(key, []) != now})
    return failed


def _found(videos: Sequence[StoredVideo], failed: dict[Path, str]) -> list[tuple[StoredVideo, dict[str, list[Text]]]]:
    names: dict[Path, list[str]] = {}
    found = []
    for one in videos:
        folder = one.path.parent
        if folder not in names:
            with suppress(OSError):
                names[folder] = [one.name for one in folder.iterdir()]
        texts: dict[str, list[Text]] = {NAME: [(None, None, _sayable(one.path.stem))]}
        if folder in names:
            texts[SUBTITLES] = _subtitles(beside(one.path, names[folder]), failed)
        found.append((one, texts))
    return found


def _subtitles(files: Sequence[Path], failed: dict[Path, str]) -> list[Text]:
    texts: list[Text] = []
    for file in files:
        try:
            texts += [(cue.start_s, cue.end_s, cue.text) for cue in read_subtitles(file)]
        except VideoError as error:
            failed[file] = str(error)
    return texts


def _sayable(name: str) -> str:
    """A name as text; bytes that are none become question marks."""
    return name.encode("utf-8", "replace").decode()
