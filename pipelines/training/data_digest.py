"""Short marks of the training data, kept in a run's state: a run that goes on can say what has changed."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

_ENDS = 4096  # bytes; the directory at the end of an npz holds the checksums of its arrays
_MOST = 2000


def of_rows(rows: Iterable[str]) -> str:
    """A mark of all rows, in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:16]


def of_files(files: Sequence[Path]) -> str:
    """A mark of the sizes, beginnings and ends of files; of more than 2000, of as many spread evenly over them.

    Where a folder lies and when it was copied does not count. A file that is gone has a mark too.
    """
    chosen = files if len(files) <= _MOST else [files[i * len(files) // _MOST] for i in range(_MOST)]
    return of_rows([str(len(files)), *map(_of_file, chosen)])


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            ends = file.read(_ENDS)
            if size > _ENDS:
                file.seek(max(_ENDS, size - _ENDS))
                ends += file.read(_ENDS)
    except OSError as error:
        return f"{path.name} {error.strerror}"
    return f"{path.name} {size} {hashlib.sha256(ends).hexdigest()}"
