"""Archives unpacked below one folder: nothing elsewhere, no links, and no more than a given number of bytes."""

import gzip
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from spikemba.errors import SpikeMbaError
from spikemba.files import writing
from spikemba.reading.unreadable import Unreadable

ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")
MAX_NESTED = 4
"""Archives inside each other."""
MAX_MEMBERS = 20_000
"""Files of an archive and of those inside it."""

_BLOCK = 1 << 20
_LONGEST_HEADER = 1 << 22
"""Bytes that a tar's header may take; files are read in blocks."""

Member = tuple[str, int, Callable[[], IO[bytes]]]
"""Name, size and contents of a file."""


def unpack(archive: Path, folder: Path, max_bytes: int) -> list[Path]:
    """Unpack regular files below `folder`, also of archives inside; what is there with the right size is kept.

    Links and devices are left out. max_bytes bounds all files together, by the sizes that the archive declares: both
    readers stop there. Raises Unreadable when a name leaves the folder, a bound is passed or an archive is damaged;
    OutputError.
    """
    written: list[Path] = []
    todo, left = [(archive, folder, 0)], max_bytes
    while todo:
        inner, place, depth = todo.pop(0)
        if depth > MAX_NESTED:
            raise Unreadable(f"holds archives in archives, more than {MAX_NESTED} deep")
        for path, size in _unpack_one(inner, place, left, max_bytes):
            left -= size
            written.append(path)
            if len(written) > MAX_MEMBERS:
                raise Unreadable(f"holds more than {MAX_MEMBERS:,} files")
            if path.name.endswith(ARCHIVES):
                todo.append((path, path.parent, depth + 1))
    return written


def _unpack_one(archive: Path, folder: Path, left: int, max_bytes: int) -> Iterator[tuple[Path, int]]:
    """Each file that is written, with its size."""
    files: set[Path] = set()
    try:
        with _members(archive, left) as members:
            for name, size, opened in members:
                target = _inside(folder, name)
                left -= size
                if left < 0 or size < 0:
                    raise Unreadable(f"holds more than {max_bytes:,} bytes unpacked, or says so")
                if target.samefile(archive) if target.exists() else files & set(target.parents):
                    raise Unreadable(f"holds {name!r}, which would be written over another file of it")
                files.add(target)
                if not (target.is_file() and target.stat().st_size == size):
                    with writing(target) as temporary, opened() as source, temporary.open("wb") as file:
                        while block := _next_block(source):
                            file.write(block)
                yield target, size
    except (SpikeMbaError, Unreadable):
        raise
    except Exception as error:  # what the modules of Python raise of archives that are none
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise Unreadable(f"is damaged ({reason})") from None


@contextmanager
def _members(archive: Path, max_bytes: int) -> Iterator[Iterator[Member]]:
    """The regular files of an archive, in its order."""
    with archive.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic.startswith(b"PK"):
            with zipfile.ZipFile(raw) as file:
                yield _zipped(file)
        elif magic.startswith(b"\x1f\x8b"):
            with gzip.open(raw) as packed, _tar(packed, max_bytes) as tar:
                yield _taped(tar)
        else:
            with _tar(raw, max_bytes) as tar:
                yield _taped(tar)


def _tar(source: Any, max_bytes: int) -> tarfile.TarFile:
    bounded: Any = _Bounded(source, max_bytes + MAX_MEMBERS * tarfile.BLOCKSIZE)
    return tarfile.open(fileobj=bounded, mode="r:")


def _zipped(file: zipfile.ZipFile) -> Iterator[Member]:
    for info in file.infolist():
        if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
            yield info.filename, info.file_size, partial(file.open, info)


def _taped(tar: tarfile.TarFile) -> Iterator[Member]:
    for member in tar:
        contents = tar.extractfile(member) if member.isreg() else None
        if contents is not None:
            yield member.name, member.size, partial(_same, contents)


def _next_block(source: IO[bytes]) -> bytes:
    """Bytes of a file in the archive; a fault in them is no fault of the place that they are written to."""
    try:
        return source.read(_BLOCK)
    except OSError as error:
        raise Unreadable(f"is damaged ({error})") from None


def _same(contents: IO[bytes]) -> IO[bytes]:
    return contents


class _Bounded:
    """A source that a tar is read from: a header cannot ask for more memory than headers take, nor for what is behind
    the bound, which in a packed archive takes time to reach."""

    def __init__(self, source: IO[bytes], limit: int) -> None:
        self.source, self.limit = source, limit

    def tell(self) -> int:
        return self.source.tell()

    def seek(self, place: int, whence: int = 0) -> int:
        if place > self.limit:
            raise Unreadable("says that it goes on far behind its bound")
        return self.source.seek(place, whence)

    def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= _LONGEST_HEADER:
            raise Unreadable("says that a name in it is millions of characters long")
        return self.source.read(n)

    def close(self) -> None:
        self.source.close()


def _inside(folder: Path, name: str) -> Path:
    """Where a member goes. Raises Unreadable when that is not below the folder, or is no name of a file."""
    parts = PurePosixPath(name.replace("\\", "/"))
    root = folder.resolve()
    if not name.isprintable() or not parts.parts or any(len(part.encode()) > 255 for part in parts.parts):
        raise Unreadable(f"holds a file with the name {name[:80]!r}, which is none")
    target = (root / parts).resolve()
    if parts.is_absolute() or ".." in parts.parts or ":" in name or not target.is_relative_to(root) or target == root:
        raise Unreadable(f"holds {name!r}, which would be written outside the folder")
    return target
