"""How a timeline names the files that it is made of."""

import os
from pathlib import Path, PurePath, PureWindowsPath
from urllib.parse import quote_from_bytes

from spikemba.errors import SpikeMbaError


def reference(video: Path, relative_to: Path | None = None) -> str:
    """The video's address as a percent-encoded URL, from that folder where one is given.

    Raises SpikeMbaError when there is no way from that folder to the video.
    """
    # `..` leads up from where a folder lies, whatever link led there; the file itself is named as it is
    folder = video.absolute().parent
    if relative_to is None:
        return file_url((folder.resolve() if ".." in folder.parts else folder) / video.name)
    try:
        way = os.path.relpath(folder.resolve() / video.name, relative_to.resolve())
    except ValueError:
        raise SpikeMbaError(
            f"{video} and {relative_to} lie on different drives, so that there is no way from one to the other; "
            "leave out --relative"
        ) from None
    return _quoted(PurePath(way).as_posix())


def file_url(path: PurePath) -> str:
    """file:///folder/a%20name.mp4, file:///C:/folder/name.mp4, file://server/share/name.mp4, each byte as it is."""
    text = path.as_posix()
    if isinstance(path, PureWindowsPath):
        if text.startswith("//"):
            return "file:" + _quoted(text)
        return f"file:///{path.drive}{_quoted(text.removeprefix(path.drive))}"
    return "file://" + _quoted(text)


def _quoted(text: str) -> str:
    return quote_from_bytes(os.fsencode(text))
