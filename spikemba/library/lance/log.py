"""What a library of LanceDB knows: a log that is only ever added to, and the state that its records make.

    video         a file as it was: path, size, time, digest, length, problem; its rows: table -> entry, number, length
    gone          a path that is in the library no more
    texts         what a source says of a path, as long as the digest of its file stays the one that is named
    encoder_gone  a table of rows that is in the library no more
    setting       how an index is made and asked

Adding rows to a table never disagrees with others who add, so any number of processes and machines write at once and
none waits for another. Rows come first; then one record names the entries of all of a video's encoders, and makes them
exist: what no record names was left by a process that was killed. Of two records about a path the later counts. Each
carries a number: the time in nanoseconds, or one more than the greatest that its writer had read, where that is later;
so what was done in knowledge of something comes after it, whatever the clocks say.
"""

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from spikemba.library.rows import Text

VIDEO, GONE, TEXTS, ENCODER_GONE, SETTING = "video", "gone", "texts", "encoder_gone", "setting"


class Record(NamedTuple):
    """One line of the log; records are ordered by number, then by `uid`."""

    seq: int
    uid: str
    kind: str
    value: dict[str, Any]


class Rows(NamedTuple):
    """A video's rows in a table."""

    entry: int
    n_rows: int
    row_s: float
    """Seconds of video per row."""


@dataclass(frozen=True)
class LoggedVideo:
    """A file as the log has it."""

    path: str
    size: int
    mtime_ns: int
    digest: str
    duration_s: float | None
    problem: str | None
    added_s: float
    runs: dict[str, Rows] = field(default_factory=dict)
    """By the name of the table."""

    def to_value(self) -> dict[str, Any]:
        """For a record."""
        return {**vars(self), "runs": {table: list(rows) for table, rows in self.runs.items()}}


@dataclass
class State:
    """What the records make, each taken in its order."""

    videos: dict[str, LoggedVideo] = field(default_factory=dict)
    said: dict[str, dict[str, Record]] = field(default_factory=dict)
    """Path -> source -> the record of its texts."""
    encoders_gone: set[str] = field(default_factory=set)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the name of the table."""
    last: int = 0
    """The greatest number."""
    dead: dict[tuple[str, int], int] = field(default_factory=dict)
    """Table and entry that are no longer named -> number of the record since which."""
    stale: dict[str, int] = field(default_factory=dict)
    """Records that could be left out -> number of the record since which."""

    @cached_property
    def texts(self) -> dict[str, dict[str, list[Text]]]:
        """Path -> source -> texts."""
        return {
            path: {source: [(text[0], text[1], text[2]) for text in one.value["texts"]] for source, one in by.items()}
            for path, by in self.said.items()
        }

    def is_live(self, table: str) -> bool:
        """Whether a table's rows still belong to the library."""
        return table not in self.encoders_gone


def new_records(state: State, parts: Iterable[tuple[str, dict[str, Any]]]) -> list[Record]:
    """Records that come after all that the state was made of."""
    first = max(time.time_ns(), state.last + 1)
    return [Record(first + i, secrets.token_hex(8), kind, value) for i, (kind, value) in enumerate(parts)]


def folded(records: Sequence[Record]) -> State:
    """The state that records make, whatever the order in which they were written."""
    state = State()
    latest: dict[tuple[str, ...], list[Record]] = {}
    for one in sorted(records, key=lambda one: (one.seq, one.uid)):
        state.last = max(state.last, one.seq)
        _take(state, one)
        if (about := _about(one)) is not None:
            latest.setdefault(about, []).append(one)
    live = {(table, rows.entry) for video in state.videos.values() for table, rows in video.runs.items()}
    state.dead = {key: seq for key, seq in state.dead.items() if key not in live}
    said = {path: _of_video(state.videos[path], by) for path, by in state.said.items() if path in state.videos}
    state.said = {path: by for path, by in said.items() if by}
    for about in sorted(latest, key=lambda about: about[0] != TEXTS):  # texts go before what makes them void
        _note_stale(state, about, latest[about])
    return state


def _of_video(video: LoggedVideo, said: dict[str, Record]) -> dict[str, Record]:
    """Without texts of a file that lay at its path before, whose own record may be there no more."""
    return {source: one for source, one in said.items() if one.value.get("digest") in (None, video.digest)}


def _take(state: State, one: Record) -> None:
    value = one.value
    if one.kind == VIDEO:
        _take_video(state, one)
    elif one.kind == GONE:
        before = state.videos.pop(value["path"], None)
        state.said.pop(value["path"], None)
        _let_go(state, before.runs if before else {}, one.seq)
    elif one.kind == TEXTS:
        now = state.videos.get(value["path"])
        if now is None or value.get("digest") in (None, now.digest):
            state.said.setdefault(value["path"], {})[value["source"]] = one
    elif one.kind == ENCODER_GONE:
        state.encoders_gone.add(value["table"])
    elif one.kind == SETTING:
        state.settings[value["table"]] = value["settings"]


def _take_video(state: State, one: Record) -> None:
    now = LoggedVideo(**(one.value | {"runs": {name: Rows(*rows) for name, rows in one.value["runs"].items()}}))
    before = state.videos.get(now.path)
    if before is not None:
        same = (before.size, before.digest) == (now.size, now.digest)
        if same and now.problem is None:
            now = replace(now, runs={**before.runs, **now.runs})
        elif not same:
            state.said.pop(now.path, None)
        kept = {(name, rows.entry) for name, rows in now.runs.items()}
        _let_go(state, {name: rows for name, rows in before.runs.items() if (name, rows.entry) not in kept}, one.seq)
    state.videos[now.path] = now


def _let_go(state: State, runs: dict[str, Rows], seq: int) -> None:
    for table, rows in runs.items():
        state.dead[table, rows.entry] = seq


def _about(one: Record) -> tuple[str, ...] | None:
    if one.kind in (VIDEO, GONE):
        return "path", one.value["path"]
    if one.kind == TEXTS:
        return TEXTS, one.value["path"], one.value["source"], one.value.get("digest") or ""
    return (SETTING, one.value["table"]) if one.kind == SETTING else None


def _note_stale(state: State, about: tuple[str, ...], every: Sequence[Record]) -> None:
    """Records of which a later one about the same says everything."""
    last = every[-1]
    if about[0] == "path" and last.kind == VIDEO:
        named = set(last.value["runs"])
        if not named >= set(state.videos[about[1]].runs):
            return  # two encoders were taken in at the same moment, so that no record names both
    state.stale.update({one.uid: last.seq for one in every[:-1]})
    if last.kind == GONE or (last.kind == TEXTS and not _is_said(state, last)):
        state.stale[last.uid] = last.seq


def _is_said(state: State, one: Record) -> bool:
    return state.said.get(one.value["path"], {}).get(one.value["source"]) is one


def to_arrow(records: Sequence[Record], columns: Any) -> Any:
    """Records as a table to be appended; names that are no text stay what they are."""
    import pyarrow as pa

    rows = [{"seq": one.seq, "uid": one.uid, "kind": one.kind, "value": json.dumps(one.value)} for one in records]
    return pa.Table.from_pylist(rows, columns.remove_metadata())


def of_arrow(table: Any) -> list[Record]:
    """The records of a table."""
    return [Record(one["seq"], one["uid"], one["kind"], json.loads(one["value"])) for one in table.to_pylist()]
