"""Where a library is: a folder, or the address of a place in an object store, which is no path."""

import posixpath
import re
from pathlib import Path

from spikemba.errors import LibraryError

Address = Path | str
"""A folder, or text such as `s3://bucket/place`."""

STORES = ("s3", "s3+ddb", "gs", "az", "abfs", "abfss", "memory")
"""What an address in an object store begins with."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
"""Of two letters at least: one alone is a drive."""


def library_address(given: Path | str) -> Address:
    """A path, unless it is an address such as s3://bucket/place, gs://…, az://… Raises LibraryError for another one."""
    text = str(given)
    match = _SCHEME.match(text)
    if match is None or (isinstance(given, Path) and match[1].lower() not in STORES):
        return Path(given)
    scheme, rest = match[1].lower(), text[match.end() :].rstrip("/")
    expected = "give a folder, or an address such as s3://BUCKET/PLACE, gs://BUCKET/PLACE or az://CONTAINER/PLACE"
    if scheme not in STORES:
        raise LibraryError(text, f"{match[1]}:// is no object store that LanceDB reads", expected)
    if not text[len(scheme) :].startswith("://"):
        problem = "an address has two strokes and is text, no path"
        raise LibraryError(text, problem, f"give '{scheme}://{rest}', or ./{text} for a folder of that name")
    if not rest:
        raise LibraryError(text, "it names no bucket", expected)
    return f"{scheme}://{rest}"


def is_remote(address: Address) -> bool:
    """Whether it is in an object store."""
    return not isinstance(address, Path)


def is_same_place(one: Address, other: Address) -> bool:
    """Whether two addresses lead to one place, however they are written."""
    if isinstance(one, Path) and isinstance(other, Path):
        try:
            return one.samefile(other)
        except OSError:  # one is still to be made
            return one.resolve() == other.resolve()
    return _plain(one) == _plain(other)


def _plain(address: Address) -> tuple[str, str]:
    if isinstance(address, Path):
        return "", str(address)
    scheme, _, rest = address.partition("://")
    return {"s3+ddb": "s3", "abfss": "abfs"}.get(scheme, scheme), posixpath.normpath(rest)
