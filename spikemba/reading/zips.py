"""Zip archives, which npz files and PyTorch's are: read by member, with every size held against the file's own."""

import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from spikemba.reading.unreadable import NotRead, Unreadable

ALWAYS_ALLOWED = 256 << 20
"""Bytes that packed members may unpack to, however small the archive: features of a still picture are all alike."""
MAX_RATIO = 20
"""Of what packed members unpack to together, to the archive, beyond that."""

FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError)
"""What zipfile raises of an archive that is none."""


class Zip:
    """An open archive; a context. Its members are plain or deflated, in the open, and as long as they say."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, Unreadable."""
        self.size = path.stat().st_size
        try:
            self._archive = zipfile.ZipFile(path)
        except FAULTS as error:
            raise Unreadable(f"not an archive that can be read ({_reason(error)})") from None
        self._members = {info.filename: info for info in self._archive.infolist()}
        self._plain_left, self._packed_left = self.size, max(ALWAYS_ALLOWED, MAX_RATIO * self.size)
        self._counted: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._archive.close()

    @property
    def names(self) -> list[str]:
        """Of the members, in the archive's order."""
        return list(self._members)

    def read(self, name: str) -> bytearray:
        """All of a member. Raises KeyError for none, OSError, Unreadable when it is damaged or too large."""
        info = self._members[name]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotRead(f"its {name} is packed in a way that is not read (method {info.compress_type})")
        self._spend(info)
        if info.CRC == 0:  # torch.save can leave the sum out; a member whose sum is 0 is lost as a check, not as a file
            info.CRC = None  # type: ignore[assignment]
        try:
            with self._archive.open(info) as member:
                content = bytearray(member.read())
        except FAULTS as error:
            raise Unreadable(f"its {name} is damaged ({_reason(error)})") from None
        if len(content) != info.file_size:
            raise Unreadable(f"its {name} has {len(content):,} of {info.file_size:,} bytes")
        return content

    def n_bytes(self, name: str) -> int:
        """What a member is said to hold, unpacked. Raises KeyError for none."""
        return self._members[name].file_size

    def check_sizes(self) -> None:
        """Hold the sizes of all members against the file's, before another program unpacks them. Raises Unreadable."""
        for info in self._members.values():
            self._spend(info)

    def beginning(self, name: str, n_bytes: int) -> bytes:
        """The first bytes of a member. Raises as `read` does."""
        try:
            with self._archive.open(self._members[name]) as member:
                return member.read(n_bytes)
        except FAULTS as error:
            raise Unreadable(f"its {name} is damaged ({_reason(error)})") from None

    def _spend(self, info: zipfile.ZipInfo) -> None:
        """Members may lie over each other in an archive, so that each is small and all together are not.

        Each counts once: an archive that is held open is read again in every epoch.
        """
        if info.filename in self._counted:
            return
        self._counted.add(info.filename)
        if info.compress_type == zipfile.ZIP_STORED:
            self._plain_left -= info.file_size
        else:
            self._packed_left -= info.file_size
        if self._plain_left < 0 or self._packed_left < 0:
            raise Unreadable(f"its {info.filename} is said to have {info.file_size:,} bytes, more than the file holds")


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
