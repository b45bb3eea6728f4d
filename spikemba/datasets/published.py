"""Published results of a benchmark, each with where its numbers were read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """One method's results as its source prints them."""

    method: str
    values: tuple[float | None, ...]
    """Percent, one per column; None where the source gives none."""
    source: str
    """Where the numbers were read."""


@dataclass(frozen=True)
class PublishedTable:
    """The published results of one benchmark, in the order of the years they came."""

    columns: tuple[str, ...]
    """Keys of the brief, in the order of the papers."""
    test: tuple[PublishedRow, ...] = ()
    val: tuple[PublishedRow, ...] = ()


def published_table(columns: str, *, test: str, val: str = "") -> PublishedTable:
    """A table from text: columns between spaces; a line `method | values | source` per row, ~ where there is no value.

    A source that begins with "second-hand" is another work's table, not the authors' own text or repository.
    Raises ValueError that names a row with more or fewer values than columns.
    """
    names = tuple(columns.split())
    return PublishedTable(names, _rows(test, len(names)), _rows(val, len(names)))


def _rows(text: str, n_columns: int) -> tuple[PublishedRow, ...]:
    rows = []
    for line in filter(None, map(str.strip, text.splitlines())):
        method, numbers, source = (part.strip() for part in line.split("|"))
        values = tuple(None if number == "~" else float(number) for number in numbers.split())
        if len(values) != n_columns:
            raise ValueError(f"{method} has {len(values)} values for {n_columns} columns")
        rows.append(PublishedRow(method, values, source))
    return tuple(rows)
