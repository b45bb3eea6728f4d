"""Made files in a folder of bounded size: what was not used for longest goes first."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock

from spikemba.errors import OutputError
from spikemba.files import file_state, writing

_FREED = 0.9
"""A full folder is emptied down to this share of its limit."""


class KeptFiles:
    """A folder of files that can be made again; several threads and processes may share it."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes, self._lock = folder, limit_bytes, Lock()
        self._size: int | None = None

    def get(self, name: str) -> bytes | None:
        """What is kept under a name; None where nothing is."""
        path = self._path(name)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep something; where there is no room on the disk it is just not kept."""
        if len(content) > self.limit_bytes:
            return
        with suppress(OutputError):
            with writing(self._path(name)) as temporary:
                temporary.write_bytes(content)
            self._make_room(len(content))

    def _path(self, name: str) -> Path:
        return self.folder / sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:40]

    def _make_room(self, added: int) -> None:
        with self._lock:
            if self._size is not None:
                self._size += added
                if self._size <= self.limit_bytes:
                    return
            files = sorted(self._files())
            self._size = sum(size for _, size, _ in files)
            if self._size <= self.limit_bytes:
                return
            for _, size, path in files:
                with suppress(OSError):
                    Path(path).unlink()
                self._size -= size
                if self._size <= _FREED * self.limit_bytes:
                    return

    def _files(self) -> list[tuple[float, int, str]]:
        """(last use, bytes, path) of each file."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, status.st_size, entry.path))
        return found


def identity(path: Path) -> str:
    """Tells a file, and the same file after a change, from others.  Raises OSError."""
    status = path.stat()
    return "\n".join(map(str, (path.absolute(), *file_state(status))))


def etag_of(path: Path, name: str) -> str:
    """What stands for something made of a file, as it is now, in HTTP.  Raises OSError."""
    named = f"{identity(path)}\n{name}".encode("utf-8", "surrogateescape")
    return f'"{sha256(named).hexdigest()[:32]}"'
