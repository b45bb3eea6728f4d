"""Text files: UTF-8, with a byte order mark or without, in lines that end as files' lines end.

`str.splitlines` also splits at U+0085, U+2028, U+2029 and four control characters, which stand in sentences that were
copied from web pages; JSON lets them stand raw.
"""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from spikemba.reading.unreadable import Unreadable

LONGEST_CELL = 1 << 24
"""Characters of a cell of a table; Python's own limit is 131,072."""


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError, Unreadable when it is not UTF-8."""
    return decoded(path.read_bytes())


def decoded(content: bytes) -> str:
    """The text of a file's bytes, without a byte order mark. Raises Unreadable."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise Unreadable("it is text in UTF-16; save it as UTF-8") from None
        line = content[: error.start].count(b"\n") + 1
        seen = content[error.start]
        raise Unreadable(f"it is not text in UTF-8 (byte 0x{seen:02x} on line {line}); save it as UTF-8") from None


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends: LF, CR LF or CR."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def read_lines(path: Path) -> list[str]:
    """The lines of a file. Raises OSError, Unreadable."""
    return split_lines(read_text(path))


def table_rows(text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Cells of each row of a table that is not empty, and the line on which the row begins; a quoted cell may hold line
    ends. Raises Unreadable when it is no such table."""
    before = csv.field_size_limit(LONGEST_CELL)
    reader, line = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True), 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(f"line {line}: not a row of a table ({error})") from None
    finally:
        csv.field_size_limit(before)


def table_records(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table below its line of column names, each as a dictionary; cells that are not there are empty."""
    names: list[str] | None = None
    for line, cells in table_rows(text):
        if names is None:
            names = [cell.strip() for cell in cells]
        else:
            yield line, {name: cell for name, cell in zip(names, cells + [""] * len(names), strict=False)}  # noqa: C416


def broken_character(text: str) -> str | None:
    """A half of a surrogate pair in a text, as `U+D800`, which no file or tokenizer takes; None: there is none."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"U+{ord(text[error.start]):04X}"
    return None
