"""Raw annotation files: what was read, where each row stands, and which rows cannot be used. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikemba.datasets.annotations import Annotation, Change, QueryId, read_numbered
from spikemba.errors import AnnotationError
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

SLACK_S = 0.01
"""A window may end this much after its video: durations are stored with two decimals."""


@dataclass
class RawRows:
    """The rows of one raw file, in its order."""

    path: Path
    rows: list[tuple[str, Annotation]] = field(default_factory=list)
    """Place in the file, as `line 12`, and what stands there."""
    faults: list[str] = field(default_factory=list)
    """Rows that could not be read at all, each with its place."""
    others: list[Path] = field(default_factory=list)
    """Files that were read beside it."""


def read_jsonl_rows(path: Path, change: Change = lambda row: row) -> RawRows:
    """A jsonl in the QVHighlights form, or one whose rows `change` brings into it.

    Raises AnnotationError when the file is not jsonl at all.
    """
    return RawRows(path, *read_numbered(path, change))


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object with a member per video. Raises AnnotationError when it does not."""
    try:
        tree = read_json(path)
    except OSError as error:
        raise AnnotationError(path, [f"cannot be read ({error.strerror or error})"]) from None
    except Unreadable as fault:
        raise AnnotationError(path, [f"cannot be read as JSON: {fault}"]) from None
    if not isinstance(tree, dict):
        raise AnnotationError(path, [f"expected an object of videos, found {type(tree).__name__}"])
    return tree


def row_faults(rows: Sequence[tuple[str, Annotation]]) -> dict[str, str]:
    """What is wrong with rows that could be read, by place."""
    found: dict[str, str] = {}
    seen: dict[QueryId, str] = {}
    for place, row in rows:
        problem = _problem(row)
        if problem is None and row.query_id in seen:
            problem = f"qid {row.query_id!r} stands at {seen[row.query_id]} already"
        seen.setdefault(row.query_id, place)
        if problem is not None:
            found[place] = problem
    return found


def _problem(row: Annotation) -> str | None:
    if not row.query.strip():
        return "its query is empty"
    for start_s, end_s in row.windows or ():
        shown = f"window [{start_s:g}, {end_s:g}]"
        if end_s < start_s:
            return f"{shown} ends before it starts"
        if end_s == start_s:
            cure = "; a query of which the video shows nothing has relevant_windows []" if start_s == 0 else ""
            return f"{shown} has zero length{cure}"
        if start_s < 0:
            return f"{shown} starts before the video"
        if end_s > row.duration_s + SLACK_S:
            return f"{shown} ends past the video, which lasts {row.duration_s:g} s"
    return _clip_problem(row)


def _clip_problem(row: Annotation) -> str | None:
    """What is wrong with the rated clips of a row."""
    seen: set[int] = set()
    for clip in row.relevant_clips:
        if clip < 0:
            return f"relevant_clip_ids holds {clip}; clips count from 0"
        if clip * row.rating_clip_s >= row.duration_s:
            lasts = f"clips of {row.rating_clip_s:g} s, and the video lasts {row.duration_s:g} s"
            return f"relevant_clip_ids holds {clip}, past the end: {lasts}"
        if clip in seen:
            return f"relevant_clip_ids holds {clip} twice"
        seen.add(clip)
    return None


def read_checked(path: Path, *, to_train: bool = False) -> tuple[list[Annotation], list[str]]:
    """The rows of a jsonl that can be used, and what is wrong with the others, each with its line.

    to_train: a row without any truth is a fault, too. Raises AnnotationError when the file is not jsonl at all.
    """
    found = read_jsonl_rows(path)
    faults = row_faults(found.rows)
    if to_train:
        faults |= {place: NO_TRUTH for place, row in found.rows if place not in faults and not _has_truth(row)}
    usable = [row for place, row in found.rows if place not in faults]
    return usable, [*found.faults, *(f"{place}: {what}" for place, what in faults.items())]


NO_TRUTH = "has no relevant_windows, saliency_scores or label, so there is nothing to learn from it"


def _has_truth(row: Annotation) -> bool:
    return row.windows is not None or bool(row.ratings) or bool(row.labels)
