"""Files written whole or not at all, and JSON lines read with the line number of every fault."""

import hashlib
import json
import os
import platform
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from spikemba.errors import AnnotationError, OutputError

CONFIG_FILE, WEIGHTS_FILE = CHECKPOINT_FILES = ("config.json", "model.safetensors")
"""The two files of a checkpoint's folder, of whatever network."""
ENCODERS_FOLDER = "encoders"
"""Folder of a grounding checkpoint in which encoders lie that were trained together with it, by their names."""


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, moved onto it when the block ends well and removed when it does not.

    Missing parent folders are made. Raises OutputError when there is no room or no permission.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stem = os.fsencode(path.stem)[:100].decode("utf-8", "ignore")
        suffix = path.suffix if len(path.suffix) < 32 else ""
        prefix = f".{stem}.{_machine()}-{os.getpid()}."  # shorter than the longest name that a file may have
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(path, (error.strerror or str(error)).lower()) from error
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                temporary.unlink()


def clear_abandoned(folder: Path) -> list[Path]:
    """Remove what killed processes were writing into a folder with `writing`; returns what was removed.

    Only files whose names say that a process of this machine, since it was started, began them, and that process is no
    more. Those of other machines, of other programs and of living processes stay.
    """
    removed = []
    for path in folder.rglob(".*") if folder.is_dir() else ():
        found = _TEMPORARY.fullmatch(path.name)
        if found and found["machine"] == _machine() and not _lives(int(found["pid"])) and path.is_file():
            with suppress(OSError):  # another process may clear the same
                path.unlink()
                removed.append(path)
    return removed


_TEMPORARY = re.compile(r"\..+\.(?P<machine>[0-9a-f]{12})-(?P<pid>[0-9]+)\.[a-z0-9_]{8}(?:\.[^.]*)?", re.DOTALL)


@cache
def _machine() -> str:
    """Names this machine, since it was started, and the space of its process numbers (a container has its own)."""
    parts = [platform.node(), str(uuid.getnode())]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with suppress(OSError):
            path = Path(place)
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _lives(pid: int) -> bool:
    """Whether there is a process of that number here; True where that cannot be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def folder_with(folder: Path, files: Iterable[str], places: Iterable[str] = ("best", "last")) -> Path | None:
    """The folder, or the first of the places below it, that holds all the files; None when there is none."""
    wanted = list(files)
    candidates = [folder, *(folder / place for place in places)]
    return next((one for one in candidates if all((one / name).is_file() for name in wanted)), None)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises OutputError."""
    with writing(path) as temporary:
        temporary.write_text(utf8_text(text), encoding="utf-8")


def utf8_text(text: str) -> str:
    """A text that may hold names that are not UTF-8, halves of surrogate pairs to Python; their bytes as \\xe9."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a half that is no byte of a name
        return text.encode("utf-8", "backslashreplace").decode()


def json_text(document: Any, encoding: str = "utf-8") -> str:
    """One JSON document, indented; escaped where the encoding has no sign for a letter, or a name is not UTF-8."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(document, indent=2) + "\n"
    return text


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document, indented. Raises OutputError."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON document per line. Raises OutputError."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def append_json(path: Path, row: Any) -> None:
    """Add one JSON document as a line, in one write: lines of several processes do not mix. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, ("\n" + json.dumps(row) + "\n").encode())  # ends what a killed process began
        finally:
            os.close(handle)
    except OSError as error:
        raise OutputError(path, (error.strerror or str(error)).lower()) from error


def read_jsonl(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Every non-empty line as (line number, object). Raises AnnotationError naming the lines that are not objects."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AnnotationError(path, [(error.strerror or str(error)).lower()]) from None
    except UnicodeDecodeError:
        raise AnnotationError(path, ["it is not a text file; expected one JSON object per line"]) from None
    rows, faults = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            faults.append(f"line {number}: not JSON ({error.msg} at column {error.colno})")
            continue
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            faults.append(f"line {number}: expected an object, found {type(row).__name__}")
    if faults:
        raise AnnotationError(path, faults)
    return rows


def _umask() -> int:
    """The process's file mode mask; there is no way to read it without setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
