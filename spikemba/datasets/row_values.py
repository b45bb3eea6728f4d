"""Rows of JSON lines, value by value: what a row holds, or in one line why it cannot be used."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any, Protocol, TypeVar

from spikemba.errors import AnnotationError
from spikemba.files import read_jsonl
from spikemba.metrics.retrieval import QueryId
from spikemba.reading.lines import broken_character


class _WithId(Protocol):
    @property
    def query_id(self) -> QueryId: ...


Row = TypeVar("Row", bound=_WithId)


class BadRow(Exception):
    """Why a row cannot be used."""


def read_rows(path: Path, parse: Callable[[Mapping[str, Any]], Row]) -> list[Row]:
    """The rows of a file, each query once. Raises AnnotationError that names every row that cannot be used."""
    rows, faults = collect_rows(path, parse)
    if not rows and not faults:
        faults.append("no rows; expected one JSON object per line")
    faults += repeated_ids(rows)
    if faults:
        raise AnnotationError(path, faults)
    return [row for _, row in rows]


def collect_rows(path: Path, parse: Callable[[Mapping[str, Any]], Row]) -> tuple[list[tuple[str, Row]], list[str]]:
    """Rows with their places, as `line 12`, and what is wrong with the lines that are none."""
    return parsed_rows(((f"line {number}", raw) for number, raw in read_jsonl(path)), parse)


def parsed_rows(
    documents: Iterable[tuple[str, Mapping[str, Any]]], parse: Callable[[Mapping[str, Any]], Row]
) -> tuple[list[tuple[str, Row]], list[str]]:
    """Rows with their places, and what is wrong with the documents that are none.  documents: place, object."""
    rows: list[tuple[str, Row]] = []
    faults: list[str] = []
    for place, raw in documents:
        try:
            rows.append((place, parse(raw)))
        except BadRow as fault:
            faults.append(f"{place}: {fault}")
        except (TypeError, ValueError, OverflowError) as error:
            faults.append(f"{place}: a value is of another kind than it should be ({error})")
    return rows, faults


def repeated_ids(rows: Iterable[tuple[str, Row]]) -> list[str]:
    """A fault for each row whose query stands in the file before it.  rows: place, row."""
    seen: dict[QueryId, str] = {}
    faults: list[str] = []
    for place, row in rows:
        if row.query_id in seen:
            faults.append(f"{place}: qid {row.query_id!r} stands on {seen[row.query_id]} already")
        seen.setdefault(row.query_id, place)
    return faults


def value_of(row: Mapping[str, Any], key: str, kinds: tuple[type, ...]) -> Any:
    """What stands under a key, of one of these kinds. Raises BadRow."""
    if key not in row:
        raise BadRow(f"has no {key!r}")
    if not isinstance(row[key], kinds) or isinstance(row[key], bool):
        raise BadRow(f"{key} is {row[key]!r}; expected {' or '.join(kind.__name__ for kind in kinds)}")
    if key == "query" and (half := broken_character(row[key])):
        raise BadRow(f"query holds {half}, half of a character, which no encoder reads")
    return row[key]


LATEST = 1e12
"""Of times in any unit: no video is as long, and beyond it clocks cannot be written."""


def text_of(row: Mapping[str, Any], key: str) -> str:
    """The text under a key, a number as it is written; empty where there is none, or null. Raises BadRow."""
    return "" if row.get(key) is None else str(value_of(row, key, (str, int)))


def number_of(row: Mapping[str, Any], key: str) -> float | None:
    """The finite number under a key; None where there is none. Raises BadRow."""
    if row.get(key) is None:
        return None
    if not all_finite([row[key]]):
        raise BadRow(f"{key} is {row[key]!r}; expected a finite number")
    return float(row[key])


def number_lists(row: Mapping[str, Any], key: str, width: int | None = None) -> list[list[float]]:
    """A list of lists of finite numbers, each `width` long. Raises BadRow."""
    rows: list[Any] = row[key] if isinstance(row[key], list) else [None]
    # Nearly every row is right, and files have hundreds of thousands of numbers: look at them one by one only if not.
    even = all(type(item) is list for item in rows) and (width is None or {*map(len, rows)} <= {width})
    if even and all_finite([*chain.from_iterable(rows)]):
        return rows
    for item in rows:
        if not isinstance(item, list) or len(item) != (width or len(item)) or not all_finite(item):
            expected = f"lists of {width} finite numbers" if width else "lists of finite numbers"
            raise BadRow(f"{key} holds {item!r}; expected {expected}")
    return list(rows)


def all_finite(numbers: list[Any]) -> bool:
    """Whether all are numbers, and none infinite or NaN."""
    return {*map(type, numbers)} <= {int, float} and all(map(isfinite, numbers))
