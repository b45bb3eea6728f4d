"""Files written whole or not at all, and JSON lines read with the line number of every fault."""

import errno
import glob
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from spikemba.errors import AnnotationError, OutputError, SpikeMbaError
from spikemba.reading.lines import broken_character, read_lines, split_lines
from spikemba.reading.printable import utf8_text
from spikemba.reading.trees import parse_json
from spikemba.reading.unreadable import Unreadable

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
        temporary = part_beside(path)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(path, (error.strerror or str(error)).lower()) from error
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                temporary.unlink()


def part_beside(path: Path) -> Path:
    """A new empty file beside `path`, hidden, by whose name `clear_abandoned` knows who writes it. Raises OSError.

    Missing parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = os.fsencode(path.stem)[:100].decode("utf-8", "ignore")
    suffix = path.suffix if len(path.suffix) < 32 else ""
    prefix = f".{stem}.{_machine()}-{os.getpid()}."  # shorter than the longest name that a file may have
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
    os.close(handle)
    return Path(name)


def file_state(status: os.stat_result) -> tuple[int, int, int, int]:
    """Changes when a file does, or another one takes its place, be it of the same size and time of writing."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


class NotRegular(OSError):
    """A name that should be a file's own is that of a link, a folder, a pipe or a device."""


def open_regular(path: Path, flags: int) -> int:
    """A handle of a file itself, for `os.read` and such; nothing is opened through a link, and no pipe is waited for.

    flags: as of `os.open`. Raises NotRegular, OSError.
    """
    links = path.is_symlink()
    if not links:
        own = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = os.open(path, flags | own, 0o666)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.EISDIR):
                raise NotRegular(error.errno, "is no regular file", str(path)) from None
            links = error.errno == errno.ELOOP
            if not links:
                raise
        else:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return handle
            os.close(handle)
            raise NotRegular(errno.EINVAL, "is no regular file", str(path))
    raise NotRegular(errno.ELOOP, "is a link", str(path))


def read_regular(path: Path) -> bytes:
    """The content of a file itself. Raises NotRegular, OSError."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        return file.read()


def move_onto_free(part: Path, path: Path) -> bool:
    """Move a file of `part_beside` to where there is none; False where there is one already. Raises OSError."""
    if hasattr(os, "fchmod"):  # of the file itself, should somebody have put a link in its place
        handle = open_regular(part, os.O_RDONLY)
        try:
            os.fchmod(handle, 0o666 & ~_umask())
        finally:
            os.close(handle)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # not every file system knows second names: take the name first, with a file that is ours
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        part.replace(path)
        return True
    part.unlink()
    return True


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


def folder_of_ours(kind: str) -> Path:
    """A new folder among the system's temporary ones, after those of its kind were removed that processes have left
    which are no more. Raises OSError.
    """
    return _made_anew(Path(tempfile.gettempdir()), kind)


def folder_beside(folder: Path) -> Path:
    """A new hidden folder beside one that it will become, after those were removed that processes have left which were
    making it and are no more. Missing parent folders are made. Raises OSError.
    """
    above = Path(os.path.abspath(folder)).parent  # noqa: PTH100 - a link stays one
    above.mkdir(parents=True, exist_ok=True)
    return _made_anew(above, f".{folder.name}")


def _made_anew(above: Path, kind: str) -> Path:
    """A new folder, after those of its kind were removed whose processes are no more."""
    for path in above.glob(f"{glob.escape(kind)}.*"):
        found = _FOLDER.fullmatch(path.name.removeprefix(kind))
        if found and found["machine"] == _machine() and not _lives(int(found["pid"])) and _is_our_folder(path):
            shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{kind}.{_machine()}-{os.getpid()}.", dir=above))


def _is_our_folder(path: Path) -> bool:
    """Whether it is a folder itself, and this user's."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (os.name != "posix" or status.st_uid == os.getuid())


_FOLDER = re.compile(r"\.(?P<machine>[0-9a-f]{12})-(?P<pid>[0-9]+)\.[a-z0-9_]{8}")
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


def is_file(path: Path) -> bool:
    """Whether a file is there; not where its name, out of somebody's list, is none that a file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises OutputError."""
    with writing(path) as temporary:
        temporary.write_text(utf8_text(text), encoding="utf-8")


_LEFT_RAW = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def json_text(document: Any, encoding: str = "utf-8") -> str:
    """One JSON document, indented. What JSON would leave raw, control characters behind ASCII and halves of characters,
    is escaped as JSON does; all letters are where the encoding has no sign for one.
    """
    text = _LEFT_RAW.sub(_escaped, json.dumps(document, indent=2, ensure_ascii=False)) + "\n"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(document, indent=2) + "\n"
    return text


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def write_json(path: Path, document: Any) -> None:
    """Write one JSON document, indented. Raises OutputError."""
    write_text(path, json_text(document))


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON document per line. Raises OutputError."""
    write_text(path, "".join(json_line(row) for row in rows))


def json_line(row: Any) -> str:
    """One JSON document and the end of its line, in characters that every reader of lines takes for one line."""
    line = json.dumps(row, ensure_ascii=False)
    if line.isascii():
        return line + "\n"
    if broken_character(line):  # a file name that is not UTF-8: escaped it can be written, and reads back as it was
        line = json.dumps(row)
    return line.translate(_LINE_ENDS_TO_OTHERS) + "\n"


_LINE_ENDS_TO_OTHERS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Where other tools' readers split lines; in a JSON document they stand in text alone, and mean the same escaped."""


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
        lines = read_lines(path)
    except OSError as error:
        raise AnnotationError(path, [(error.strerror or str(error)).lower()]) from None
    except Unreadable as fault:
        raise AnnotationError(path, [f"{fault}; expected one JSON object per line"]) from None
    rows, faults = _objects(lines)
    if faults:
        raise AnnotationError(path, faults)
    return rows


def read_what_can_be(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines that may be damaged, without the lines that are. Raises AnnotationError."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise AnnotationError(path, [(error.strerror or str(error)).lower()]) from None
    return [row for _, row in _objects(split_lines(text))[0]]


def _objects(lines: Iterable[str]) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """The lines that are objects, with their numbers, and the faults of the others."""
    rows, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except Unreadable as fault:
            faults.append(f"line {number}: {fault}")
            continue
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            faults.append(f"line {number}: expected an object, found {type(row).__name__}")
    return rows, faults


def _umask() -> int:
    """The process's file mode mask; there is no way to read it without setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


_FILE_NAME = re.compile(
    r"\.(html?|xml|json[l]?|csv|tsv|txt|md|pdf|png|jpe?g|gif|svg|webp|bmp|tiff?|mp4|m4v|mov|mkv|webm|avi|mp3|wav|srt|vtt"
    r"|ya?ml|npz|pt|zip|edl|otio|fcpxml|ffmetadata|xlsx?|ods|e?ps)",
    re.IGNORECASE,
)


def refuse_file_name(option: str, path: Path, files: str = "") -> None:
    """Raise SpikeMbaError where a folder is meant and its name is that of a file, unless it is a folder already.

    option: as it is typed.  files: with what files end that can stand there, too, for the user to read.
    """
    if path.is_dir() or not _FILE_NAME.fullmatch(path.suffix):
        return
    expected = f"a folder, or {files}" if files else "a folder"
    raise SpikeMbaError(
        f"{option} {path} is named like a file that ends in {path.suffix}; expected {expected} "
        f"(for a folder of that very name: mkdir {shlex.quote(str(path))})"
    )
