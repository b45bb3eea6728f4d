"""Queries from a file: one per line of text, or the column or field `query` of a table or of JSON lines."""

import re
from pathlib import Path

from spikemba.errors import AnnotationError
from spikemba.reading.lines import split_lines
from spikemba.tables.fault import TableFault
from spikemba.tables.table import read_table
from spikemba.tables.text import decode

TABLES = (".csv", ".tsv", ".tab", ".xlsx", ".xlsm", ".xls", ".ods", ".json", ".jsonl", ".ndjson")
"""Suffixes of files with columns; any other is text with a query per line."""


def read_queries(path: Path) -> list[str]:
    """The queries, each once, in order; see `read_queries_of`."""
    return read_queries_of(path)[0]


def read_queries_of(path: Path) -> tuple[list[str], str]:
    """The queries, each once, in order, and one line that says how they were read; line breaks in a cell are spaces.

    Raises AnnotationError when there is none or the file cannot be read.
    """
    found, how = _of_table(path) if path.suffix.lower() in TABLES else _lines(path)
    queries = list(dict.fromkeys(re.sub(r"\s*[\r\n]\s*", " ", query.strip()) for query in found if query.strip()))
    if not queries:
        raise AnnotationError(path, ["no query; expected one per line, or a column or field `query`"])
    return queries, f"{path}: {how}"


def _of_table(path: Path) -> tuple[list[str], str]:
    table = read_table(path, ("query",))
    if table.faults:
        raise AnnotationError(path, table.faults)
    found = [str(record.cells["query"]) for record in table.records if record.cells["query"] is not None]
    return found, "; ".join(table.how) or "the field query of each object"


def _lines(path: Path) -> tuple[list[str], str]:
    try:
        text, encoding = decode(path.read_bytes())
    except OSError as error:
        raise AnnotationError(path, [f"cannot be read: {(error.strerror or str(error)).lower()}"]) from None
    except TableFault as fault:
        raise AnnotationError(path, [f"cannot be read: {fault}"]) from None
    return split_lines(text), f"one query per line; {encoding}"
