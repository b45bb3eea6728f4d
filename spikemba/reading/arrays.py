"""NumPy's files: plain arrays of numbers, whose size is held against what is there before memory is taken."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.reading.unreadable import NotRead, Unreadable
from spikemba.reading.zips import Zip

MAX_AXES = 8
LONGEST_HEAD = 4096
"""Bytes before the numbers, at most."""
PLAIN = re.compile(r"[<>|=]?[fiub][1248]")
"""Types of numbers that are read: floats, integers and booleans; never objects."""

_MAGIC = b"\x93NUMPY"
_TYPE = re.compile(rb"""['"]descr['"] *: *['"]([^'"]*)['"]""")
_RECORDS = re.compile(rb"""['"]descr['"] *: *\[""")
_ORDER = re.compile(rb"""['"]fortran_order['"] *: *(True|False)""")
_SHAPE = re.compile(rb"""['"]shape['"] *: *\(([0-9L, ]*)\)""")


def read_array(path: Path, key: str) -> NDArray[Any]:
    """The array of an npz by its key, or the one of an npy. Raises KeyError for no such key, OSError, Unreadable."""
    if path.suffix == ".npy":
        with path.open("rb") as file:
            content = bytearray(path.stat().st_size)
            del content[file.readinto(content) :]
        return parse_array(content)
    with Zip(path) as archive:
        return parse_array(archive.read(f"{key}.npy"))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an npz. Raises OSError, Unreadable."""
    with Zip(path) as archive:
        return {name.removesuffix(".npy"): parse_array(archive.read(name)) for name in archive.names}


def array_names(path: Path) -> list[str]:
    """Keys of an npz. Raises OSError, Unreadable."""
    with Zip(path) as archive:
        return [name.removesuffix(".npy") for name in archive.names]


def array_shape(path: Path, key: str) -> tuple[int, ...]:
    """The shape of that array, by the head of its file alone. Raises as `read_array` does."""
    if path.suffix == ".npy":
        with path.open("rb") as file:
            content = file.read(LONGEST_HEAD)
    else:
        with Zip(path) as archive:
            content = archive.beginning(f"{key}.npy", LONGEST_HEAD)
    return parse_shape(content)


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every array of an npz, by their heads; () for what is no array. Raises OSError, Unreadable."""
    with Zip(path) as archive:
        return {
            name.removesuffix(".npy"): _shape_or_none(archive.beginning(name, LONGEST_HEAD)) for name in archive.names
        }


def _shape_or_none(content: bytes) -> tuple[int, ...]:
    try:
        return parse_shape(content)
    except Unreadable:
        return ()


def parse_shape(content: bytes) -> tuple[int, ...]:
    """The shape by the first bytes of an npy. Raises Unreadable."""
    return _head(content)[2]


def parse_array(content: bytearray) -> NDArray[Any]:
    """The array of an npy's bytes, which it shares. Raises Unreadable."""
    start, kind, axes, fortran = _head(content)
    if start > len(content):
        raise Unreadable("not an array of NumPy")
    return shaped(memoryview(content)[start:], kind, axes, fortran=fortran)


def _head(content: bytes | bytearray) -> tuple[int, str, tuple[int, ...], bool]:
    """Where the numbers begin, their type, the shape, and whether the first axis runs fastest."""
    if len(content) < 10 or not content.startswith(_MAGIC) or content[6] not in (1, 2, 3):
        raise Unreadable("not an array of NumPy")
    width = 2 if content[6] == 1 else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    header = bytes(content[8 + width : min(start, LONGEST_HEAD)])
    kind, order, shape = (pattern.search(header) for pattern in (_TYPE, _ORDER, _SHAPE))
    if kind is None or order is None or shape is None:
        if _RECORDS.search(header):
            raise NotRead("an array of records; expected one of numbers")
        raise Unreadable("not an array of numbers: its header is none of NumPy's")
    numbers = shape[1].replace(b"L", b"").replace(b",", b" ").split()
    if len(numbers) > MAX_AXES or any(len(number) > 18 for number in numbers):
        raise Unreadable("not an array of numbers: its shape is none")
    return start, kind[1].decode("latin1"), tuple(map(int, numbers)), order[1] == b"True"


def shaped(content: memoryview, kind: str, axes: tuple[int, ...], *, fortran: bool = False) -> NDArray[Any]:
    """Numbers of a type such as `<f4` in that shape, sharing the memory. Raises Unreadable when there are fewer."""
    if not PLAIN.fullmatch(kind):
        raise NotRead(f"an array of {kind!r}; expected one of numbers")
    try:
        dtype = np.dtype(kind)
    except TypeError:
        raise NotRead(f"an array of {kind!r}; expected one of numbers") from None
    wanted = math.prod(axes)
    if wanted * dtype.itemsize > len(content) or any(not 0 <= n <= 1 << 40 for n in axes) or len(axes) > MAX_AXES:
        shape = " x ".join(map(str, axes)) or "1"
        raise Unreadable(f"says that it is {shape} {dtype.name}, which is more than the {len(content):,} bytes it has")
    flat: NDArray[Any] = np.frombuffer(content, dtype, count=wanted)
    return flat.reshape(axes, order="F" if fortran else "C")
