"""A person's own annotations: a table or jsonl of video, start, end, query, and a rating if there is one.

    video,start,end,query,rating
    kitchen.mp4,12.5,18.0,she cracks two eggs,4

Rows with the same video and query are windows of one annotation; `none` as start and end says that the video shows
nothing of the query. Tables and times are read as `spikemba.tables` says.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.video_names import NamedVideos, VideoNotFound
from spikemba.errors import AnnotationError, VideoError
from spikemba.moments import Window
from spikemba.progress import Report, silent
from spikemba.tables.fault import TableFault
from spikemba.tables.sheet import Cell
from spikemba.tables.table import Record, Table, read_table
from spikemba.tables.times import (
    Unit,
    decimal_mark,
    looks_like_clock,
    number,
    parts_of_a_day,
    rate,
    seconds,
    thousands_or_decimals,
)

COLUMNS = ("video", "start", "end", "query")
OPTIONAL = ("rating", "fps")
SLACK_S = 0.5
"""A window may end this much after the video does: annotators round up."""

NONE = "none"
"""Start and end of a null query. A word and no empty cell, for those are forgotten ones."""

DurationOf = Callable[[Path], float]


@dataclass(frozen=True)
class _Row:
    """One line of the file."""

    line: int
    video: Path
    window: Window | None
    """None for a null query."""
    query: str
    rating: int | None


@dataclass(frozen=True)
class CustomData:
    """A person's annotations, and the videos that they are about."""

    annotations: list[Annotation]
    """Query ids count from 0 in the order of the file; the videos' ids are those of `spikemba.video.names`."""
    videos: list[Path]
    """What to encode: the folder of the videos, or files that lie elsewhere. The ids hold for just these together."""
    how: str
    """How the file was read, in one line."""
    corrections: dict[str, int] | None = None
    """What became of corrections, by name, where there are some."""


class Durations:
    """Seconds of video files, each looked at once."""

    def __init__(self, duration_of: DurationOf, report: Report = silent) -> None:
        """report: counts the files that were looked at."""
        self._duration_of, self._report = duration_of, report
        self._known: dict[Path, float | str] = {}
        self._wanted: int | None = None

    def expect(self, videos: Iterable[Path]) -> None:
        """Say which will be asked for, so that their number can be told."""
        self._wanted = len({*videos, *self._known})
        self._report(len(self._known), self._wanted)

    def of(self, video: Path) -> float:
        """Raises RowFault with what is wrong with the video."""
        if video not in self._known:
            try:
                self._known[video] = self._duration_of(video)
            except VideoError as error:
                self._known[video] = str(error)
            done = len(self._known)
            self._report(done, None if self._wanted is None else max(done, self._wanted))
        found = self._known[video]
        if isinstance(found, str):
            raise RowFault(found)
        return found


@dataclass(frozen=True)
class TableRows:
    """The rows of a person's table, all of them right, and the videos found."""

    path: Path
    how: list[str]
    """How it was read, in parts of a line."""
    kind: str
    """What a row is called."""
    rows: list[_Row]
    durations: Durations

    @property
    def videos(self) -> list[Path]:
        """The file of each row."""
        return [row.video for row in self.rows]

    def annotations(self, ids: Mapping[Path, str], clip_s: float) -> list[Annotation]:
        """The rows of a video and query as one; ids count from 0 in the order of the file.

        Raises AnnotationError where rows contradict each other.
        """
        grouped: dict[tuple[str, str], list[_Row]] = {}
        for row in self.rows:
            grouped.setdefault((ids[row.video], row.query), []).append(row)
        if unclear := [fault for group in grouped.values() for fault in _contradiction(group, self.kind)]:
            raise AnnotationError(self.path, unclear)
        return [
            _annotation(i, video_id, group, self.durations.of(group[0].video), clip_s)
            for i, ((video_id, _), group) in enumerate(grouped.items())
        ]


def read_custom(
    path: Path,
    videos: Path | None,
    duration_of: DurationOf,
    clip_s: float = 2.0,
    fps: float | None = None,
    report: Report = silent,
) -> CustomData:
    """Read the file. Videos are looked for below `videos`, by default beside the file.

    duration_of: seconds of a video file; raises VideoError. fps: the times are frames of this rate.  report: counts
    the videos that were looked at.
    Raises AnnotationError that names every line with a fault.
    """
    named = NamedVideos(videos or path.parent)
    table = read_rows(path, named, Durations(duration_of, report), fps)
    ids, inputs = named.ids(table.videos)
    annotations = table.annotations(ids, clip_s)
    return CustomData(annotations, inputs, f"{path}: {'; '.join([*table.how, *null_in_words(annotations)])}")


def read_rows(path: Path, named: NamedVideos, durations: Durations, fps: float | None = None) -> TableRows:
    """The table's rows with their videos. Raises AnnotationError that names every line with a fault."""
    table = read_table(path, COLUMNS, OPTIONAL)
    faults, rows = list(table.faults), list[_Row]()
    try:
        times = _Times(replace(table, records=[one for one in table.records if not _is_null(one)]), fps)
    except TableFault as fault:
        raise AnnotationError(path, [str(fault)]) from None
    parsed = [(record, _parsed(record, named, times)) for record in table.records]
    durations.expect(row.video for _, row in parsed if isinstance(row, _Row))
    for record, row in parsed:
        try:
            if not isinstance(row, _Row):
                raise row
            rows.append(_fit(row, durations.of(row.video)))
        except (RowFault, TableFault, VideoNotFound) as fault:
            faults.append(f"{table.kind} {record.row}: {fault}")
    if not rows and not faults:
        faults.append(f"no rows; expected columns {', '.join(COLUMNS)}")
    if faults:
        raise AnnotationError(path, faults)
    return TableRows(path, [*table.how, *times.how], table.kind, rows, durations)


def _parsed(record: Record, named: NamedVideos, times: "_Times") -> "_Row | RowFault | TableFault | VideoNotFound":
    """The row, or what is wrong with it."""
    try:
        return _parse(record, named, times)
    except (RowFault, TableFault, VideoNotFound) as fault:
        return fault


def null_in_words(annotations: Sequence[Annotation]) -> list[str]:
    """How many of them are null, where some are."""
    n_null = sum(one.is_null for one in annotations)
    return [f"{n_null} of {len(annotations)} queries are null: their video shows nothing of them"] if n_null else []


def _is_null(record: Record) -> bool:
    return all(str(record.cells.get(name) or "").strip().lower() == NONE for name in ("start", "end"))


def _contradiction(group: Sequence[_Row], kind: str) -> list[str]:
    """What is wrong with rows of one video and query of which one says that there is no moment."""
    null = [row for row in group if row.window is None]
    shown = [row for row in group if row.window is not None]
    if not null or not shown:
        return []
    place = f"{kind} {null[0].line}: {null[0].video.name} shows nothing of {null[0].query!r}"
    return [f"{place}, and has a window of it at {kind} {shown[0].line}"]


class RowFault(Exception):
    """What is wrong with a line, or with the video that it names."""


class _Times:
    """How a table's numbers and times are meant, decided once for all its rows."""

    def __init__(self, table: Table, fps: float | None) -> None:
        """fps: the times count frames of this rate. Raises TableFault when the table does not say what is meant."""
        names = ("start", "end")
        cells = [(record.row, record.cells.get(name)) for record in table.records for name in (*names, *OPTIONAL)]
        self.mark = decimal_mark(cells, table.delimiter == ";", table.kind)
        self.fps = None if fps is None else rate(fps)
        self.units = {name: table.units.get(name) for name in names}
        self.how = [f"times in {self._unit_in_words(table, fps)}"]
        self._check_meaning(table, names)
        if self.mark == ",":
            self.how.append("commas before decimals")
        elif table.delimiter == ";" and any("." in str(cell) for _, cell in cells):
            self.how.append("points before decimals")
        if looks_like_clock([record.cells.get(name) for record in table.records for name in names]):
            hours = "hh:mm" in self.units.values()
            self.how.append("0:12 is 12 minutes, as the column says" if hours else "0:12 is 12 seconds")

    def _check_meaning(self, table: Table, names: Sequence[str]) -> None:
        """Raises TableFault for numbers that cannot be what their columns say, or could be two things there."""
        cells = {name: [record.cells.get(name) for record in table.records] for name in names}
        bare = [cell for name in names if not self.units[name] for cell in cells[name]]
        if part := parts_of_a_day(bare, self.mark):
            raise TableFault(
                f"start and end are parts of a day ({part}), as spreadsheets hold times; format the columns as "
                "[h]:mm:ss, or call them start_s and end_s if they are seconds"
            )
        counted = [cell for name in names if self.units[name] in ("ms", "frames") for cell in cells[name]]
        if table.delimiter == ";" and self.mark == "." and (seen := thousands_or_decimals(counted)):
            whole = seen.replace(".", "")
            raise TableFault(f"{seen} is {whole}, or a part of a millisecond or frame; write it as {whole}")

    def of(self, record: Record, name: str) -> float:
        """The start or end of a row, in seconds. Raises TableFault, which names the column."""
        try:
            fps = self.fps if record.cells.get("fps") is None else rate(record.cells["fps"], self.mark)
        except TableFault as fault:
            raise TableFault(f"fps is {fault}") from None
        try:
            return seconds(record.cells[name], self.units[name] or "s", self.mark, fps)
        except TableFault as fault:
            raise TableFault(f"{name} is {fault}") from None

    def _unit_in_words(self, table: Table, fps: float | None) -> str:
        """Frames where the columns or the setting say so. A column fps beside whole numbers could mean either."""
        if fps is not None:
            self.units = {name: unit or "frames" for name, unit in self.units.items()}
        elif not any(self.units.values()):
            with_rate = [record for record in table.records if record.cells.get("fps") is not None]
            times = [record.cells.get(name) for record in with_rate for name in self.units]
            if times and all(_is_whole(cell) for cell in times):
                raise TableFault(
                    f"{table.kind} {with_rate[0].row}: start and end are whole numbers beside a column fps, frames or "
                    "seconds; call the columns start_frame and end_frame, or start_s and end_s"
                )
        units: set[Unit] = {unit or "s" for unit in self.units.values()}
        return " and ".join(sorted(_UNIT_WORDS.get(unit, unit) for unit in units))


_UNIT_WORDS = {"s": "seconds", "ms": "milliseconds", "min": "minutes", "h": "hours", "mm:ss": "m:ss", "hh:mm": "h:mm"}


def _is_whole(cell: Cell) -> bool:
    return isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer()) or str(cell).strip().isdigit()


def _parse(record: Record, videos: NamedVideos, times: _Times) -> _Row:
    cells = record.cells
    missing = [name for name in COLUMNS if cells.get(name) is None]
    if missing:
        untimed = {"start", "end"} <= set(missing)
        cure = f"; where the video shows nothing of the query, write {NONE} as start and end" if untimed else ""
        raise RowFault(f"has no {', '.join(missing)}{cure}")
    query = re.sub(r"\s*[\r\n]\s*", " ", _text(cells["query"]).strip())
    if _is_null(record):
        if cells.get("rating") is not None:
            raise RowFault(f"has a rating of a moment that there is not; with {NONE} as start and end leave it empty")
        return _Row(record.row, videos.find(_text(cells["video"])), None, query, None)
    start_s, end_s = times.of(record, "start"), times.of(record, "end")
    if not 0 <= start_s < end_s:
        raise RowFault(f"start {start_s:g} and end {end_s:g} are not a window; expected 0 <= start < end, in seconds")
    return _Row(
        record.row,
        videos.find(_text(cells["video"])),
        Window(start_s, end_s),
        query,
        _rating(cells.get("rating"), times),
    )


def _text(cell: Cell) -> str:
    """A cell as words: a spreadsheet's 7.0 is 7."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _rating(value: Cell, times: _Times) -> int | None:
    if value is None:
        return None
    try:
        rating = number(value, times.mark)
    except TableFault as fault:
        raise TableFault(f"rating is {fault}") from None
    if rating not in (0, 1, 2, 3, 4):
        raise RowFault(f"rating {rating:g}; expected 0 (very bad) to 4 (very good)")
    return int(rating)


def _fit(row: _Row, duration_s: float) -> _Row:
    """The row with its end cut to the video's."""
    if row.window is None:
        return row
    if row.window.end_s > duration_s + SLACK_S:
        raise RowFault(
            f"the window ends at {row.window.end_s:g} s and {row.video.name} at {duration_s:.1f} s{_hint(row.window)}"
        )
    window = Window(row.window.start_s, min(row.window.end_s, duration_s))
    if window.start_s >= window.end_s:
        raise RowFault(f"the window begins at {row.window.start_s:g} s, where {row.video.name} ends")
    return _Row(row.line, row.video, window, row.query, row.rating)


def _hint(window: Window) -> str:
    """Spreadsheets take 0:12 for twelve minutes; whole minutes after the end are likely that."""
    if window.start_s % 60 or window.end_s % 60:
        return ""
    return "; if 00:12:00 stands for 12 seconds, write 0:00:12"


def _annotation(query_id: int, video_id: str, rows: list[_Row], duration_s: float, clip_s: float) -> Annotation:
    rated: dict[int, int] = {}
    for row in rows:
        if row.rating is not None and row.window is not None:
            first, last = int(row.window.start_s / clip_s), math.ceil(row.window.end_s / clip_s)
            rated |= dict.fromkeys(range(first, max(last, first + 1)), row.rating)
    return Annotation(
        query_id=query_id,
        query=rows[0].query,
        video_id=video_id,
        duration_s=duration_s,
        windows=tuple(sorted(row.window for row in rows if row.window is not None)),
        relevant_clips=tuple(sorted(rated)),
        ratings=tuple((rated[clip],) * 3 for clip in sorted(rated)),
        rating_clip_s=clip_s,
    )
