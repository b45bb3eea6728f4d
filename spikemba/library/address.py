"""Where a library is: a folder, or the address of a place in an object store, which is no path."""

import re
from pathlib import Path

Address = Path | str
"""A folder, or text such as `s3://bucket/place`."""

_STORE = re.compile(r"(s3|s3\+ddb|gs|az|abfss?|memory)://.")


def library_address(given: Path | str) -> Address:
    """A path, unless it is an address such as s3://bucket/place, gs://…, az://…"""
    text = str(given)
    return text.rstrip("/") if _STORE.match(text) else Path(given)


def is_remote(address: Address) -> bool:
    """Whether it is in an object store."""
    return not isinstance(address, Path)
