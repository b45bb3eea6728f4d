"""Rows of cells, before anybody knows what the columns are: of text with a sign between cells, and of a workbook."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from spikemba.errors import PackageMissing
from spikemba.libraries import is_installed
from spikemba.reading.unreadable import Unreadable
from spikemba.reading.zips import Zip
from spikemba.tables.fault import TableFault

Cell = str | int | float | None
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
ALONE = "\x1f"
"""Between the cells of a table of one column: nothing that stands in text."""
LAST_ROW = 1_048_576
_LONGEST_CELL = 1 << 24


@dataclass(frozen=True)
class Sheet:
    """Rows that are not empty, with the number that the file's editor shows for them."""

    rows: list[tuple[int, list[Cell]]]
    how: str
    """What was assumed, in words."""
    kind: str = "line"
    """What its rows are called."""
    delimiter: str | None = None
    """What stands between the cells of a text."""
    fault: str | None = None
    """Why it cannot be read that way."""


def sheets_of_text(text: str) -> list[Sheet]:
    """The text read with each sign that may stand between cells; where its first line names one, with that alone."""
    named = re.match(r"\s*\"?sep=(.)\"?[;,\t ]*(?:\r\n|\n|\r)", text, re.IGNORECASE)
    if named:
        return [_split(text[named.end() :], named[1], 1 + text[: named.end() - 1].count("\n"))]
    return [_split(text, sign) for sign in (*DELIMITERS, ALONE)]


def _split(text: str, delimiter: str, skipped: int = 0) -> Sheet:
    how = f"{DELIMITERS.get(delimiter, repr(delimiter))} between cells" if delimiter != ALONE else "one column"
    before = csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True
    )
    rows: list[tuple[int, list[Cell]]] = []
    begins = skipped + 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((begins, list(cells)))
            begins = skipped + reader.line_num + 1
    except csv.Error as error:
        reason = "its quotes do not close" if "unexpected end" in str(error) else f"its quotes are wrong ({error})"
        return Sheet(rows, how, delimiter=delimiter, fault=f'line {begins}: {reason}; write " inside a cell as ""')
    finally:
        csv.field_size_limit(before)
    return Sheet(rows, how, delimiter=delimiter)


def sheets_of_workbook(path: Path) -> list[Sheet]:
    """The sheets of an .xlsx that are not empty. Raises PackageMissing, TableFault."""
    if not is_installed("openpyxl"):
        raise PackageMissing("openpyxl", f"reading {path.name}", "tables")
    from openpyxl import load_workbook

    try:
        with Zip(path) as archive:
            archive.check_sizes()
        book = load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True)
        return [
            Sheet(rows, f"sheet {sheet.title!r}", kind="row")
            for sheet in book.worksheets
            if (rows := list(_rows(sheet)))
        ]
    except (OSError, TableFault):
        raise
    except Unreadable as fault:
        raise TableFault(f"it cannot be read as .xlsx: {fault}; save it again, or export it as CSV") from None
    except Exception as error:  # openpyxl raises whatever the damaged part gives
        raise TableFault(
            f"it cannot be read as .xlsx ({type(error).__name__}); save it again, or export it as CSV"
        ) from None


def _rows(sheet: Any) -> Iterator[tuple[int, list[Cell]]]:
    sheet.reset_dimensions()  # a sheet may say that it is as large as sheets can be
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        if number > LAST_ROW:
            raise TableFault(f"its {sheet.title!r} has a row past {LAST_ROW:,}, the last that a workbook has")
        values = [
            _value(cell.value, str(cell.number_format or "")) if cell.value is not None else None for cell in cells
        ]
        if any(str(value).strip() for value in values if value is not None):
            yield number, values


def _value(value: object, form: str) -> Cell:
    """Times as they are shown, so that a workbook and its export are read alike: 0:12 is 0:12, whatever Excel holds."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, datetime):
        if value.year > 1900:
            return value.isoformat(" ")
        value = (
            value - datetime(1899, 12, 31)
            if value.month == 1 and value.year == 1900
            else value - datetime(1899, 12, 30)
        )
    if isinstance(value, time):
        value = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    if not isinstance(value, timedelta):
        return str(value)
    total = value.total_seconds()
    whole, fraction = divmod(round(total * 1000), 1000)
    if "s" not in re.sub(r"\[\$[^\]]*\]|\"[^\"]*\"", "", form.casefold()):
        return f"{whole // 3600}:{whole // 60 % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}" + (f".{fraction:03d}" if fraction else "")
