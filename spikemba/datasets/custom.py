"""A person's own annotations: a CSV or jsonl of video, start, end, query, and a rating if there is one.

    video,start,end,query,rating
    kitchen.mp4,12.5,18.0,she cracks two eggs,4

Rows with the same video and query are windows of one annotation. Times are seconds.
"""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikemba.datasets.annotations import Annotation
from spikemba.errors import AnnotationError, VideoError
from spikemba.files import read_jsonl
from spikemba.moments import Window

COLUMNS = ("video", "start", "end", "query")
SLACK_S = 0.5
"""A window may end this much after the video does: annotators round up."""

DurationOf = Callable[[Path], float]


@dataclass(frozen=True)
class _Row:
    """One line of the file."""

    line: int
    video: Path
    window: Window
    query: str
    rating: int | None


def read_custom(path: Path, videos: Path | None, duration_of: DurationOf, clip_s: float = 2.0) -> list[Annotation]:
    """Read the file. Videos are looked for below `videos`, by default beside the file.

    duration_of: seconds of a video file; raises VideoError. Query ids count from 0 in the order of the file.
    Raises AnnotationError that names every line with a fault.
    """
    faults: list[str] = []
    rows: list[_Row] = []
    durations: dict[Path, float | str] = {}
    for line, raw in _raw_rows(path):
        try:
            row = _parse(line, raw, videos or path.parent)
            rows.append(_fit(row, _duration(row.video, durations, duration_of)))
        except _Fault as fault:
            faults.append(f"line {line}: {fault}")
    if not rows and not faults:
        faults.append(f"no rows; expected columns {', '.join(COLUMNS)}")
    if faults:
        raise AnnotationError(path, faults)
    grouped: dict[tuple[Path, str], list[_Row]] = {}
    for row in rows:
        grouped.setdefault((row.video, row.query), []).append(row)
    return [
        _annotation(i, group, float(durations[video]), clip_s) for i, ((video, _), group) in enumerate(grouped.items())
    ]


class _Fault(Exception):
    """What is wrong with a line."""


def _raw_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix.lower() in (".jsonl", ".json"):
        yield from read_jsonl(path)
        return
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                seen = ", ".join(reader.fieldnames or ()) or "nothing"
                raise AnnotationError(path, [f"line 1: no column {', '.join(missing)}; found {seen}"])
            for raw in reader:
                yield reader.line_num, raw
    except OSError as error:
        raise AnnotationError(path, [(error.strerror or str(error)).lower()]) from None
    except UnicodeDecodeError:
        raise AnnotationError(path, ["it is not a text file; expected CSV or jsonl"]) from None


def _parse(line: int, raw: dict[str, Any], folder: Path) -> _Row:
    missing = [name for name in COLUMNS if raw.get(name) in (None, "")]
    if missing:
        raise _Fault(f"has no {', '.join(missing)}")
    start_s, end_s = _number(raw["start"], "start"), _number(raw["end"], "end")
    if not 0 <= start_s < end_s:
        raise _Fault(f"start {start_s:g} and end {end_s:g} are not a window; expected 0 <= start < end, in seconds")
    query = str(raw["query"]).strip()
    if not query:
        raise _Fault("its query is empty")
    return _Row(line, folder / str(raw["video"]), Window(start_s, end_s), query, _rating(raw.get("rating")))


def _rating(value: Any) -> int | None:
    if value in (None, ""):
        return None
    rating = _number(value, "rating")
    if rating not in (0, 1, 2, 3, 4):
        raise _Fault(f"rating {rating:g}; expected 0 (very bad) to 4 (very good)")
    return int(rating)


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _Fault(f"{name} is {value!r}; expected a number")
    return number


def _duration(video: Path, known: dict[Path, float | str], duration_of: DurationOf) -> float:
    """Seconds of the video, asked for once per file."""
    if video not in known:
        try:
            known[video] = duration_of(video)
        except VideoError as error:
            known[video] = str(error)
    found = known[video]
    if isinstance(found, str):
        raise _Fault(found)
    return found


def _fit(row: _Row, duration_s: float) -> _Row:
    """The row with its end cut to the video's."""
    if row.window.end_s > duration_s + SLACK_S:
        raise _Fault(f"the window ends at {row.window.end_s:g} s and {row.video.name} at {duration_s:.1f} s")
    window = Window(row.window.start_s, min(row.window.end_s, duration_s))
    if window.start_s >= window.end_s:
        raise _Fault(f"the window begins at {row.window.start_s:g} s, where {row.video.name} ends")
    return _Row(row.line, row.video, window, row.query, row.rating)


def _annotation(query_id: int, rows: list[_Row], duration_s: float, clip_s: float) -> Annotation:
    rated: dict[int, int] = {}
    for row in rows:
        if row.rating is not None:
            first, last = int(row.window.start_s / clip_s), math.ceil(row.window.end_s / clip_s)
            rated |= dict.fromkeys(range(first, max(last, first + 1)), row.rating)
    return Annotation(
        query_id=query_id,
        query=rows[0].query,
        video_id=rows[0].video.stem,
        duration_s=duration_s,
        windows=tuple(sorted(row.window for row in rows)),
        relevant_clips=tuple(sorted(rated)),
        ratings=tuple((rated[clip],) * 3 for clip in sorted(rated)),
        rating_clip_s=clip_s,
    )
