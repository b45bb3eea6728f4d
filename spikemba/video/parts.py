"""Parts of videos on their way into files of their own: whole or not at all, each with its own fault."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import av

from spikemba.errors import OutputError, SpikeMbaError, VideoError
from spikemba.files import writing

_DISK_FAULTS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


class Part(NamedTuple):
    """What to cut out, in seconds of the source, and the file to write."""

    out: Path
    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"from {self.start_s:g} to {self.end_s:g} s"


class Cut(NamedTuple):
    """What was cut out, or why it could not be."""

    part: Part
    """What was asked for."""
    out: Path
    """The file: that of the part, with another suffix where a copied stream needs another container."""
    start_s: float
    """In the source; where packets are copied, earlier than asked for."""
    end_s: float
    note: str = ""
    """What a person should know of it; empty where it is as they expect."""
    fault: SpikeMbaError | None = None

    @classmethod
    def failed(cls, part: Part, fault: SpikeMbaError) -> "Cut":
        """A part that could not be cut out."""
        return cls(part, *part, fault=fault)


class NewFile:
    """A container being written beside its place, and moved there by `finish`."""

    def __init__(self, source: Path, part: Part, out: Path, form: str) -> None:
        self.source, self.part, self.out, self._stack = source, part, out, ExitStack()
        temporary = self._stack.enter_context(writing(out))
        try:
            self.container: Any = av.open(str(temporary.absolute()), "w", format=form)
        except BaseException:
            self.abandon()
            raise
        self._stack.callback(_close_quietly, self.container)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Leave nothing behind when something fails inside. Raises OutputError, VideoError for libav's."""
        try:
            yield
        except BaseException as error:
            self.abandon()
            if not isinstance(error, av.FFmpegError):
                raise
            if error.errno in _DISK_FAULTS:
                raise OutputError(self.out, error.strerror or "the disk failed") from error
            raise VideoError(self.source, f"cannot be cut {self.part}: {error.strerror or error}") from error

    def finish(self) -> None:
        """Put the file into its place."""
        with self.faults():
            self.container.close()
        self._stack.close()

    def abandon(self) -> None:
        """Leave nothing behind."""
        with suppress(_Abandoned):
            self._stack.__exit__(_Abandoned, _Abandoned(), None)


class _Abandoned(Exception):
    """Tells `writing` that its file is not wanted."""


def _close_quietly(container: Any) -> None:
    with suppress(OSError, av.FFmpegError, ValueError):
        container.close()


def make_folder(folder: Path) -> None:
    """The folder, before anything is decoded for it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, (error.strerror or str(error)).lower()) from error
