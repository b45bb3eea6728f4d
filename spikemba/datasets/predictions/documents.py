"""The objects of a file, one after the other: JSON lines, a list, one object, or one with a member per query."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spikemba.datasets.predictions.timelens import keys_of
from spikemba.errors import AnnotationError
from spikemba.files import read_jsonl
from spikemba.reading.lines import read_text
from spikemba.reading.trees import parse_json
from spikemba.reading.unreadable import Unreadable

Document = tuple[str, dict[str, Any]]
"""Where it stands, as `line 12` or `entry 3`, and what stands there."""


def read_documents(path: Path) -> list[Document]:
    """Every object of a file with its place. Raises AnnotationError that names what is none."""
    try:
        text = read_text(path)
    except OSError as error:
        raise AnnotationError(path, [(error.strerror or str(error)).lower()]) from None
    except Unreadable as fault:
        raise AnnotationError(path, [f"{fault}; expected predictions in JSON or JSON lines"]) from None
    try:
        tree = parse_json(text)
    except Unreadable as fault:
        return _lines(path, text, fault)
    if isinstance(tree, list):
        faults = [f"entry {i}: expected an object, found {type(one).__name__}"
                  for i, one in enumerate(tree, start=1) if not isinstance(one, dict)]  # fmt: skip
        if faults:
            raise AnnotationError(path, faults)
        return [part for i, one in enumerate(tree, start=1) for part in _members(f"entry {i}", one)]
    if not isinstance(tree, dict):
        raise AnnotationError(path, [f"expected objects with predictions, found {type(tree).__name__}"])
    if len(tree) > 1 and len(keys_of(tree)) == len(tree):
        return [(f"entry {i}", {key: value}) for i, (key, value) in enumerate(tree.items(), start=1)]
    return [*_members("line 1", tree)]


def _lines(path: Path, text: str, fault: Unreadable) -> list[Document]:
    if text.lstrip("[ \r\n\t").startswith("{'"):
        raise AnnotationError(path, ["holds what Python prints, with ', and not JSON; write it with json.dump"])
    try:
        rows = read_jsonl(path)
    except AnnotationError:
        if path.suffix.lower() == ".json":
            raise AnnotationError(path, [f"cannot be read as JSON: {fault}"]) from None
        raise
    return [part for number, row in rows for part in _members(f"line {number}", row)]


def _members(place: str, row: dict[str, Any]) -> Iterator[Document]:
    """A row, or the several that TimeLens' evaluation would find in it."""
    if len(row) > 1 and len(keys_of(row)) == len(row):
        yield from ((place, {key: value}) for key, value in row.items())
    else:
        yield place, row
