"""New videos: taken in parts, in whatever order the line allows, and put into one folder whole or not at all.

Off unless a folder is named for them. What comes is written to a hidden file; when all of it is there and it is a
video, it gets the name that was asked for, or that name with a number: nothing that lies there is ever written over.
"""

import os
import re
import secrets
import shutil
import stat
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import BinaryIO

from pipelines.serving.faults import Busy, NotThere, TooLarge
from spikemba.errors import OutputError, SpikeMbaError, VideoError
from spikemba.files import clear_abandoned, move_onto_free, open_regular, part_beside
from spikemba.reading.printable import printable
from spikemba.video.folders import VIDEO_SUFFIXES
from spikemba.video.names import fitting, no_device
from spikemba.video.sampling import probe

AT_ONCE = 16
"""Uploads that are begun and not over."""
IDLE_S = 3600.0
"""Seconds without a part after which an upload is given up."""
KEPT_FREE = 512 * 2**20
"""Bytes of the disk that uploads leave to others."""
KEPT_DONE, DONE_S = 64, 3600.0
"""Uploads that are over and still known, so that who lost the last reply can ask again; and for how long."""
FOLDER_TIMES = 16
"""How many of the largest files the folder may hold, in bytes."""


class WrongPlace(SpikeMbaError):
    """A part does not begin where the last one ended."""

    def __init__(self, at: int, received: int, *, busy: bool = False) -> None:
        why = "another part of this file is being received" if busy else f"the part begins at byte {at}"
        super().__init__(f"{why}; {received} bytes are here: go on with at={received}")
        self.received = received


@dataclass
class Upload:
    """A file that is being received."""

    id: str
    name: str
    """That it gets, where no other file has it."""
    size_bytes: int
    part: Path
    received: int = 0
    touched: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self.received == self.size_bytes


@dataclass(frozen=True)
class Done:
    """A file that was received and has its name."""

    id: str
    size_bytes: int
    path: Path
    at: float


class Uploads:
    """The files that are being received into a folder; threads may call at once."""

    def __init__(self, folder: Path, limit_bytes: int, total_bytes: int | None = None) -> None:
        """limit_bytes: of a file.  total_bytes: of the folder; FOLDER_TIMES as much where it is not given.

        Removes what processes that are no more have left unfinished there: `cleared`. Raises OutputError.
        """
        self.folder, self.limit_bytes = folder, limit_bytes
        self.total_bytes = FOLDER_TIMES * limit_bytes if total_bytes is None else total_bytes
        self._uploads: dict[str, Upload] = {}
        self._done: OrderedDict[str, Done] = OrderedDict()
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part_beside(folder / "probe").unlink()
        except OSError as error:
            raise OutputError(folder, (error.strerror or str(error)).lower(), "name another one, --uploads") from None
        self.cleared: list[Path] = clear_abandoned(folder)

    def begin(self, name: str, size_bytes: int) -> Upload:
        """A new upload. Raises TooLarge, Busy, SpikeMbaError for a name that is none of a video."""
        wanted = safe_name(name)
        if size_bytes < 1:
            raise SpikeMbaError(f"size_bytes is {size_bytes}; expected the size of the file")
        if size_bytes > self.limit_bytes:
            line = f"the file has {size_bytes:,} bytes, and {self.limit_bytes:,} are taken"
            raise TooLarge(f"{line}; --upload-limit sets that")
        with self._lock:
            self._give_up_idle()
            if len(self._uploads) >= AT_ONCE:
                raise Busy(f"{AT_ONCE} files are being received already; try again when one is here")
            self._check_room(size_bytes)
            try:
                part = part_beside(self.folder / wanted)
            except OSError as error:
                raise OutputError(wanted, (error.strerror or str(error)).lower(), "see the server's disk") from None
            upload = Upload(secrets.token_hex(16), wanted, size_bytes, part, touched=time.monotonic())
            self._uploads[upload.id] = upload
        return upload

    def get(self, upload_id: str) -> Upload:
        """The upload of an id. Raises NotThere."""
        found = self._uploads.get(upload_id)
        if found is None:
            raise NotThere(f"no upload has the id {printable(upload_id)[:100]!r}; begin it again: POST /api/uploads")
        return found

    def done(self, upload_id: str) -> Done | None:
        """An upload that is over, by its id, for a while after."""
        found = self._done.get(upload_id)
        return found if found is not None and time.monotonic() - found.at < DONE_S else None

    @contextmanager
    def receiving(self, upload_id: str, at: int) -> Iterator["Part"]:
        """A part that begins at a byte; nobody else can add to the file while the block runs.

        Raises NotThere, and WrongPlace, which says where the next part begins.
        """
        upload = self.get(upload_id)
        if not upload.lock.acquire(blocking=False):
            raise WrongPlace(at, upload.received, busy=True)
        try:
            if at != upload.received:
                raise WrongPlace(at, upload.received)
            with os.fdopen(open_regular(upload.part, os.O_RDWR), "r+b", buffering=0) as file:
                file.seek(at)
                yield Part(upload, file)
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise OutputError(upload.name, problem, "see the server's disk") from None
        finally:
            upload.touched = time.monotonic()
            upload.lock.release()

    def finish(self, upload: Upload) -> Path:
        """Give a whole file its name; returns it. Raises VideoError for what is no video, which is removed."""
        with upload.lock:
            self.get(upload.id)  # once only
            try:
                probe(upload.part)
                path = self._named(upload)
                self._done[upload.id] = Done(upload.id, upload.size_bytes, path, time.monotonic())
                while len(self._done) > KEPT_DONE:
                    self._done.popitem(last=False)
                return path
            except VideoError as error:
                problem = str(error).removeprefix(f"{upload.part}: ").replace(str(upload.part), upload.name)
                raise VideoError(upload.name, problem) from None
            except OSError as error:
                problem = (error.strerror or str(error)).lower()
                raise OutputError(upload.name, problem, "see the server's disk") from None
            finally:
                self._forget(upload)

    def close(self) -> None:
        """Give up what is not whole."""
        with self._lock:
            for upload in list(self._uploads.values()):
                self._forget(upload)

    def _named(self, upload: Upload) -> Path:
        stem, suffix = Path(upload.name).stem, Path(upload.name).suffix
        for number in count(1):
            name = upload.name if number == 1 else fitting(f"{stem}-{number}", suffix)
            if move_onto_free(upload.part, self.folder / name):
                return self.folder / name
        raise AssertionError("numbers do not end")

    def _forget(self, upload: Upload) -> None:
        self._uploads.pop(upload.id, None)
        with suppress(FileNotFoundError):
            upload.part.unlink()

    def _give_up_idle(self) -> None:
        for upload in list(self._uploads.values()):
            if time.monotonic() - upload.touched > IDLE_S and upload.lock.acquire(blocking=False):
                self._forget(upload)
                upload.lock.release()

    def _check_room(self, size_bytes: int) -> None:
        """Raises TooLarge where the folder, or its disk, has no place for one more file of a size."""
        promised = sum(one.size_bytes - one.received for one in self._uploads.values())
        held = sum(map(_size, self.folder.rglob("*")))
        if held + promised + size_bytes > self.total_bytes:
            line = f"the folder of uploads has {held + promised:,} bytes of {self.total_bytes:,}"
            raise TooLarge(f"{line}, and {size_bytes:,} more are too many; remove some files from it")
        free = shutil.disk_usage(self.folder).free - promised - KEPT_FREE
        if size_bytes > free:
            raise TooLarge(f"the file has {size_bytes:,} bytes, and the server's disk has {max(0, free):,} to spare")


@dataclass
class Part:
    """Where bytes of an upload go."""

    upload: Upload
    file: BinaryIO

    def write(self, chunk: bytes) -> None:
        """Add bytes. Raises TooLarge for more than the file was said to have, OSError where the disk is full."""
        upload = self.upload
        if upload.received + len(chunk) > upload.size_bytes:
            raise TooLarge(f"the file was said to have {upload.size_bytes:,} bytes, and more came; begin it again")
        left = memoryview(chunk)
        while left:
            n_bytes = self.file.write(left)
            left = left[n_bytes:]
            upload.received += n_bytes


def _size(path: Path) -> int:
    """Bytes of a file; 0 for what is none, or no more."""
    with suppress(OSError):
        status = path.lstat()
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return 0


def safe_name(name: str) -> str:
    """The name of a video file out of what somebody calls it: no folders, not hidden, fit for every file system.

    Raises SpikeMbaError for a suffix that no video has.
    """
    text = unicodedata.normalize("NFC", "".join(one for one in name if one.isprintable()))
    last = re.sub(r'[<>:"|?*]', "_", re.split(r"[/\\]", text)[-1]).rstrip(" .")
    stem, dot, ending = last.rpartition(".")
    suffix = dot + ending.strip().lower()
    if suffix not in VIDEO_SUFFIXES:
        shown = printable(name)[-60:]
        raise SpikeMbaError(f"{shown!r} is no name of a video; expected one that ends in {', '.join(VIDEO_SUFFIXES)}")
    stem = stem.strip(" .") or "video"
    return fitting(no_device(stem), suffix)
