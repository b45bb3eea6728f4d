"""Queries from a file: one per line of text, or the column or field `query` of a table or of JSON lines."""

from pathlib import Path

from spikemba.errors import AnnotationError
from spikemba.files import read_jsonl
from spikemba.reading.lines import read_text, split_lines, table_records
from spikemba.reading.unreadable import Unreadable


def read_queries(path: Path) -> list[str]:
    """The queries, each once, in order. Raises AnnotationError when there is none or the file cannot be read."""
    if path.suffix in (".jsonl", ".json"):
        found = [str(row.get("query", "")) for _, row in read_jsonl(path)]
    else:
        try:
            text = read_text(path)
            is_table = path.suffix == ".csv"
            found = [row.get("query", "") for _, row in table_records(text)] if is_table else split_lines(text)
        except OSError as error:
            raise AnnotationError(path, [f"cannot be read: {error.strerror}"]) from None
        except Unreadable as fault:
            raise AnnotationError(path, [f"cannot be read: {fault}"]) from None
    queries = list(dict.fromkeys(query.strip() for query in found if query.strip()))
    if not queries:
        raise AnnotationError(path, ["no query; expected one per line, or a column or field `query`"])
    return queries
