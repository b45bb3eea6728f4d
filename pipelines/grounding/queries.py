"""Queries from a file: one per line of text, or the column or field `query` of a table or of JSON lines."""

from pathlib import Path

from spikemba.errors import AnnotationError
from spikemba.tables.fault import TableFault
from spikemba.tables.table import read_table
from spikemba.tables.text import decode

TABLES = (".csv", ".tsv", ".tab", ".xlsx", ".xlsm", ".xls", ".ods", ".json", ".jsonl", ".ndjson")
"""Suffixes of files with columns; any other is text with a query per line."""


def read_queries(path: Path) -> list[str]:
    """The queries, each once, in order; line breaks in a cell are spaces.

    Raises AnnotationError when there is none or the file cannot be read.
    """
    found = _of_table(path) if path.suffix.lower() in TABLES else _lines(path)
    queries = list(dict.fromkeys(" ".join(query.split()) for query in found if query.strip()))
    if not queries:
        raise AnnotationError(path, ["no query; expected one per line, or a column or field `query`"])
    return queries


def _of_table(path: Path) -> list[str]:
    table = read_table(path, ("query",))
    if table.faults:
        raise AnnotationError(path, table.faults)
    return [str(record.cells["query"]) for record in table.records if record.cells["query"] is not None]


def _lines(path: Path) -> list[str]:
    try:
        text, _ = decode(path.read_bytes())
    except OSError as error:
        raise AnnotationError(path, [f"cannot be read: {(error.strerror or str(error)).lower()}"]) from None
    except TableFault as fault:
        raise AnnotationError(path, [f"cannot be read: {fault}"]) from None
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
