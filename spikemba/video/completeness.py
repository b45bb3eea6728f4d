"""Whether a file has all the bytes that its structure speaks of: a header that boasts is not a file cut short."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_whole(path: Path) -> bool:
    """Whether the last part of an MP4 or Matroska file is there to its end; False where that cannot be told.

    Source: ISO/IEC 14496-12, 4.2 (boxes); RFC 8794, 4 to 6 (elements of EBML).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        ends = list(_element_ends(file) if head == _EBML else _box_ends(file, size))
    return bool(ends) and 0 < ends[-1] <= size


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each box at the top of an MP4 ends, as it says of itself; 0 for what is no box."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = size - at
        if length < 8 or len(head) < 8:
            yield 0
            return
        at += length
        yield at


def _element_ends(file: BinaryIO) -> Iterator[int]:
    """Where the header and the segment of a Matroska file end; 0 for a segment of unknown length."""
    for expected in (_EBML, _SEGMENT):
        if file.read(4) != expected:
            yield 0
            return
        length = _vint(file)
        if length is None:
            yield 0
            return
        yield file.seek(length, 1)


def _vint(file: BinaryIO) -> int | None:
    """A length of EBML: as many bytes as the first one has leading zeros, and one; None for the reserved "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    n_bits = 7 * (9 - first[0].bit_length())
    value = int.from_bytes(first + file.read(8 - first[0].bit_length()), "big") & ((1 << n_bits) - 1)
    return None if value == (1 << n_bits) - 1 else value
