"""A table of any make to rows by the names of the columns that are wanted, with one line that says how it was read."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spikemba.errors import AnnotationError
from spikemba.tables.fault import TableFault
from spikemba.tables.header import SEARCHED_ROWS, Header, claims_of, find_header
from spikemba.tables.sheet import Cell, Sheet, sheets_of_text, sheets_of_workbook
from spikemba.tables.text import decode, from_text
from spikemba.tables.times import Unit

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
_ELSEWHERE = {
    ".xls": "the old form of Excel",
    ".xlsb": "the binary form of Excel",
    ".ods": "a sheet of LibreOffice",
    ".numbers": "a sheet of Numbers",
}
_BROKEN = {"#N/A", "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#NV", "#WERT!", "#BEZUG!", "#ZAHL!"}
"""What a spreadsheet writes where a formula failed."""


@dataclass(frozen=True)
class Record:
    """One row."""

    row: int
    cells: dict[str, Cell]
    """By the names that were asked for; None where there is nothing."""


@dataclass(frozen=True)
class Table:
    """The rows below the names of the columns."""

    records: list[Record]
    units: dict[str, Unit | None]
    """Of the times, as the columns' names say."""
    how: list[str]
    """How it was read, in parts of a line."""
    kind: str = "line"
    """What a row is called."""
    delimiter: str | None = None
    """What stands between the cells of a text."""
    faults: list[str] = field(default_factory=list)
    """Rows that cannot be read, each with its number."""


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read a table by its content and its suffix.

    required, optional: of video, start, end, query, rating, fps; a title such as `Von (ms)` is known as one of them.
    Raises AnnotationError for what makes the whole file unreadable; PackageMissing for .xlsx without openpyxl.
    """
    try:
        return _read(path, required, optional)
    except OSError as error:
        raise AnnotationError(path, [(error.strerror or str(error)).lower()]) from None
    except TableFault as fault:
        raise AnnotationError(path, [str(fault)]) from None


def _read(path: Path, required: Sequence[str], optional: Sequence[str]) -> Table:
    suffix = path.suffix.lower()
    if suffix in _ELSEWHERE:
        raise TableFault(f"is {_ELSEWHERE[suffix]}; save it as .xlsx or export it as CSV")
    content = path.read_bytes()
    if suffix in (".xlsx", ".xlsm") or _is_workbook(content):
        sheets = sheets_of_workbook(path)
        if not sheets:
            raise TableFault("it holds no rows")
        return _of_workbook(sheets, required, optional)
    text, encoding = decode(content)
    if suffix in JSON_SUFFIXES:
        return _table(_sheet_of_json(text, required), required, optional, [])
    if not text.strip():
        raise TableFault(f"it is empty; expected columns {', '.join(required)}")
    return _table(_delimited(text, required), required, optional, [encoding])


def _is_workbook(content: bytes) -> bool:
    return content.startswith(b"PK\x03\x04") and b"xl/" in content


def _delimited(text: str, required: Sequence[str]) -> Sheet:
    """The text as the one sign between cells makes a table of it. Raises TableFault when none or several do."""
    sheets = sheets_of_text(text)
    if len(sheets) == 1:
        return sheets[0]
    found = [
        sheet for sheet in sheets if (header := find_header(sheet, required)) and len(sheet.rows[header.index][1]) > 1
    ]
    if len(found) > 1:
        raise TableFault(
            f"its cells could be parted by {' or by '.join(one.how for one in found)}; name one: sep=; on top"
        )
    if found:
        return found[0]
    alone = next(sheet for sheet in sheets if sheet.how == "one column")
    return alone if find_header(alone, required) else max(sheets, key=_known)


def _known(sheet: Sheet) -> tuple[int, int]:
    """How much of a header a sheet has: to say what is missing from the likeliest."""
    rows = [cells for _, cells in sheet.rows[:SEARCHED_ROWS]]
    return max((len(claims_of(cells)) for cells in rows), default=0), len(rows[0]) if rows else 0


def _of_workbook(sheets: Sequence[Sheet], required: Sequence[str], optional: Sequence[str]) -> Table:
    """The only sheet that has the columns."""
    fitting = [sheet for sheet in sheets if find_header(sheet, required)]
    if len(fitting) > 1:
        names = " and ".join(sheet.how for sheet in fitting)
        raise TableFault(f"{names} both have the columns; put the rows into one sheet, or save one as CSV")
    chosen = fitting[0] if fitting else max(sheets, key=_known)
    return _table(chosen, required, optional, [".xlsx"] if len(sheets) == 1 else [f".xlsx, {chosen.how}"])


def _table(sheet: Sheet, required: Sequence[str], optional: Sequence[str], how: list[str]) -> Table:
    header = find_header(sheet, required, optional)
    if header is None:
        raise TableFault(_no_header(sheet, required))
    if sheet.kind == "line" and sheet.how:
        how = [sheet.how, *how]
    how += _renamed(header)
    above = sheet.rows[: header.index]
    if above:
        how.append(f"the names of the columns in {sheet.kind} {header.row}, and what is above left out")
    below = sheet.rows[header.index + 1 :]
    if 0 not in header.named and any(cells and str(cells[0] or "").strip() for _, cells in below):
        how.append("the first column, which has no name, left out")
    table = Table([], dict(header.units), how, sheet.kind, sheet.delimiter)
    for row, cells in below:
        try:
            table.records.append(_record(row, cells, header, sheet))
        except TableFault as fault:
            table.faults.append(f"{sheet.kind} {row}: {fault}")
    if sheet.fault:
        table.faults.append(sheet.fault)
    return table


def _record(row: int, cells: Sequence[Cell], header: Header, sheet: Sheet) -> Record:
    for place, cell in enumerate(cells):
        # what stands first is no part of a sentence with a comma: a number of the row, as pandas writes it
        if place in header.named or place == 0 or cell is None or not str(cell).strip():
            continue
        parted = sheet.kind == "line" and sheet.how
        cure = f'put text that holds {sheet.how.split()[0]} into "quotes"' if parted else "name that column"
        if parted and sheet.how.startswith("commas"):
            cure += ", and numbers such as 12,5"
        raise TableFault(f"{str(cell).strip()[:40]!r} stands in a column without a name (cell {place + 1}); {cure}")
    of_text = sheet.delimiter is not None
    found = {
        name: _cell(cells[place], of_text=of_text) if place < len(cells) else None
        for name, place in header.columns.items()
    }
    for name, value in found.items():
        if isinstance(value, str) and value.upper() in _BROKEN:
            raise TableFault(f"{name} is {value}: a formula failed there; mend it in the spreadsheet")
    return Record(row, found)


def _cell(cell: Cell, *, of_text: bool) -> Cell:
    if isinstance(cell, str):
        cell = cell.strip()
        return (from_text(cell) if of_text else cell) or None
    return cell


def _no_header(sheet: Sheet, required: Sequence[str]) -> str:
    """Which columns are missing, from the row that has most of them."""
    rows = sheet.rows[:SEARCHED_ROWS]
    if not rows:
        return sheet.fault or f"no rows; expected columns {', '.join(required)}"
    row, cells = max(rows, key=lambda one: len(claims_of(one[1])))
    missing = [name for name in required if name not in claims_of(cells)]
    seen = ", ".join(str(cell).strip()[:40] for cell in cells if cell is not None and str(cell).strip())
    where = f"{sheet.how}; " if sheet.kind == "line" and sheet.how != "one column" else ""
    return f"{sheet.kind} {row}: no column {', '.join(missing)}; found {seen} ({where}expected {', '.join(required)})"


def _renamed(header: Header) -> list[str]:
    return [f"{title} as {name}" for name, title in header.titles.items() if title.casefold() != name]


def _sheet_of_json(text: str, required: Sequence[str]) -> Sheet:
    """Objects, one per line or in one list, as a sheet whose header holds their keys."""
    objects = list(_objects(text))
    if not objects:
        raise TableFault(f"no rows; expected one JSON object per line with {', '.join(required)}")
    keys = list(dict.fromkeys(key for _, one in objects for key in one))
    rows = [(row, [_plain_value(one.get(key)) for key in keys]) for row, one in objects]
    return Sheet([(0, [*keys]), *rows], "")


def _objects(text: str) -> Iterator[tuple[int, dict[str, object]]]:
    faults = []
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TableFault(f"not JSON ({error})") from None
        numbered = list(enumerate(listed, start=1))
    else:
        numbered = []
        for row, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
            if line.strip():
                try:
                    numbered.append((row, json.loads(line)))
                except (ValueError, RecursionError) as error:
                    faults.append(f"line {row}: not JSON ({error})")
    faults += [
        f"line {row}: expected an object, found {type(one).__name__}"
        for row, one in numbered
        if not isinstance(one, dict)
    ]
    if faults:
        raise TableFault("\n  ".join(faults[:10]))
    yield from numbered


def _plain_value(value: object) -> Cell:
    if isinstance(value, bool) or not (value is None or isinstance(value, str | int | float)):
        return json.dumps(value)
    return value
