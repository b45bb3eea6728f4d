"""Queries from a file: one per line of text, or the column or field `query` of a table or of JSON lines."""

import csv
from pathlib import Path

from spikemba.errors import AnnotationError
from spikemba.files import read_jsonl


def read_queries(path: Path) -> list[str]:
    """The queries, each once, in order. Raises AnnotationError when there is none or the file cannot be read."""
    if path.suffix in (".jsonl", ".json"):
        found = [str(row.get("query", "")) for _, row in read_jsonl(path)]
    else:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise AnnotationError(path, [f"cannot be read: {reason}"]) from None
        lines = text.splitlines()
        found = [row.get("query") or "" for row in csv.DictReader(lines)] if path.suffix == ".csv" else lines
    queries = list(dict.fromkeys(query.strip() for query in found if query.strip()))
    if not queries:
        raise AnnotationError(path, ["no query; expected one per line, or a column or field `query`"])
    return queries
