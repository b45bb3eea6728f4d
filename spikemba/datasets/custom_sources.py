"""A person's table, people's corrections of a model's answers, or both, to what is trained on.

A correction takes the place of what the table says of the same video and sentence.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spikemba.datasets.agreement import Agreed, agreed, same_moment
from spikemba.datasets.annotations import Annotation
from spikemba.datasets.corrected_videos import Found, with_videos
from spikemba.datasets.corrections import Placed, correction_files, is_corrections, read_corrections
from spikemba.datasets.custom import (
    CustomData,
    DurationOf,
    Durations,
    TableRows,
    null_in_words,
    read_custom,
    read_rows,
)
from spikemba.datasets.video_names import NamedVideos
from spikemba.errors import AnnotationError
from spikemba.moments import Window
from spikemba.progress import Report, silent


@dataclass
class Corrected:
    """What became of the corrections."""

    n_rows: int = 0
    """The last row of each person about each video and query."""
    people: list[str] = field(default_factory=list)
    replaced: int = 0
    """Queries of the table whose windows they replaced."""
    new: int = 0
    """Queries that no table asks."""
    merged: int = 0
    """Windows that are the mean of several persons'."""
    silent: int = 0
    """Queries of which nobody says where the moment is, only what is wrong; they are left out."""

    def counts(self) -> dict[str, int]:
        """By name."""
        names = ("n_rows", "replaced", "new", "merged", "silent")
        return {"people": len(self.people)} | {name.removeprefix("n_"): getattr(self, name) for name in names}

    def in_words(self) -> str:
        """One line."""
        parts = [f"{_count(self.n_rows, 'row')} of {' and '.join(self.people)}"]
        parts += [f"{self.replaced} in the place of the table's"]
        parts += [f"{_count(self.new, 'new query', 'new queries')}"]
        if self.merged:
            parts.append(f"{_count(self.merged, 'window')} the mean of several people's")
        if self.silent:
            parts.append(f"{self.silent} left out, which only say what is wrong and so cannot teach")
        return ", ".join(parts)


def read_sources(
    sources: Sequence[Path],
    videos: Path | None,
    duration_of: DurationOf,
    clip_s: float = 2.0,
    fps: float | None = None,
    report: Report = silent,
) -> CustomData:
    """Read one table, any number of corrections (a folder of them, or one file), or both.

    videos: the folder of the videos; corrections need it, for they name videos as they are called below it.
    The table's ids stay what they are without the corrections; a query that only these know has an id of its own video
    and sentence, the same whatever is corrected later: features of sentences are stored under it.
    Raises AnnotationError that names every line with a fault, or two that contradict each other.
    """
    tables = [source for source in sources if not is_corrections(source)]
    if len(tables) > 1:
        named = " and ".join(map(str, tables))
        raise AnnotationError(tables[1], [f"is a second table ({named}); expected one, and corrections beside it"])
    if len(tables) == len(sources) == 1:
        return read_custom(tables[0], videos, duration_of, clip_s, fps, report)
    if videos is None:
        raise AnnotationError(
            sources[0], ["corrections name videos as the served folder does; add that folder with --videos FOLDER"]
        )
    named_videos, durations = NamedVideos(videos), Durations(duration_of, report)
    table = read_rows(tables[0], named_videos, durations, fps) if tables else None
    corrections = [source for source in sources if source not in tables]
    found, notes = _read(corrections, named_videos, durations)
    return _together(table, found, corrections[0], named_videos, durations, clip_s, notes)


def _read(sources: Sequence[Path], named: NamedVideos, durations: Durations) -> tuple[Found, list[str]]:
    """The rows that count, each with its video."""
    rows, faults, notes = list[Placed](), list[str](), list[str]()
    files = dict.fromkeys(path for source in sources for path in correction_files(source))
    for path in files:
        of_file, wrong, said = read_corrections(path)
        rows += of_file
        notes += said
        faults += [f"{path.name} {fault}" for fault in wrong]
    if not rows and not faults:
        faults.append("no corrections in it")
    found, lost = with_videos(rows, named, durations)
    faults += lost
    if faults:
        raise AnnotationError(sources[0], faults)
    return found, notes


def _together(
    table: TableRows | None,
    found: Found,
    source: Path,
    named: NamedVideos,
    durations: Durations,
    clip_s: float,
    notes: list[str],
) -> CustomData:
    """The table's annotations with the corrections in their place, and those that are new."""
    ids, inputs = named.ids([*(table.videos if table else ()), *(video for _, video in found)])
    own = {(one.video_id, one.query): one for one in (table.annotations(ids, clip_s) if table else ())}
    annotations, done, faults = dict(own), Corrected(people=_people(found)), list[str]()
    length = {ids[video]: durations.of(video) for _, video in found}
    for key, rows in _by_query(found, ids).items():
        done.n_rows += len(rows)
        said, wrong = agreed(rows)
        faults += wrong or (_denials(rows, own.get(key)) if said is None else [])
        if wrong:
            continue
        if said is None:
            done.silent += 1
            continue
        done.replaced, done.new = done.replaced + (key in own), done.new + (key not in own)
        done.merged += said.n_merged
        query_id = own[key].query_id if key in own else _own_id(*key)
        annotations[key] = _annotation(query_id, key, said, length[key[0]])
    if not annotations and not faults:
        faults.append(
            f"{_count(done.silent, 'row')} only say what is wrong; expected one that says where the moment is"
        )
    if faults:
        raise AnnotationError(source, faults)
    rows_out = list(annotations.values())
    how = [*([f"{table.path}: {'; '.join(table.how)}"] if table else []), f"{source}: {done.in_words()}"]
    words = "; ".join([*how, *null_in_words(rows_out), *notes])
    return CustomData(rows_out, inputs, words, done.counts())


def _by_query(found: Found, ids: dict[Path, str]) -> dict[tuple[str, str], list[Placed]]:
    """(Id, query) -> the last row of each person, whatever the file was called when they were written."""
    grouped: dict[tuple[str, str], list[Placed]] = {}
    for row, video in found:
        named = replace(row, correction=replace(row.correction, video_id=ids[video]))
        grouped.setdefault((ids[video], row.correction.query), []).append(named)
    return grouped


def _denials(rows: Sequence[Placed], of_table: Annotation | None) -> list[str]:
    """Windows of the table that somebody calls wrong, where nobody says what is right."""
    return [
        f"{row.place} ({row.correction.by}) says that [{wrong.start_s:g}, {wrong.end_s:g}] is wrong for "
        f"{row.correction.query!r} of {row.correction.video_id!r}, and the table gives [{given.start_s:g}, "
        f"{given.end_s:g}]; say on the page where it is, or that it is not in the video, or take the table's row out"
        for row in rows
        for wrong in row.correction.wrong
        for given in (of_table.windows or () if of_table else ())
        if same_moment(wrong, given)
    ]


def _annotation(query_id: int | str, key: tuple[str, str], said: Agreed, duration_s: float) -> Annotation:
    windows = tuple(Window(one.start_s, min(one.end_s, duration_s)) for one in said.windows)
    return Annotation(query_id, key[1], key[0], duration_s, windows)


def _own_id(video_id: str, query: str) -> str:
    text = f"{video_id}\n{query}".encode("utf-8", "surrogatepass")
    return f"corrected-{hashlib.sha256(text).hexdigest()[:12]}"


def _people(found: Found) -> list[str]:
    """Names, each person once."""
    return sorted({row.correction.person: row.correction.by for row, _ in found}.values())


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
