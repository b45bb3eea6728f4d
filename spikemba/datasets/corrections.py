"""What people say of a model's answers: a line per video and sentence, in a file per person that only grows.

    {"qid": "Ana-1", "query": "she cracks two eggs", "vid": "kitchen", "duration": 19.5,
     "relevant_windows": [[2.0, 8.5]], "wrong_windows": [[14.0, 19.5]],
     "by": "Ana", "at": "2026-11-30T12:00:00Z", "model": "runs/mine"}

A QVHighlights row with four keys more. `relevant_windows` is empty where the video shows nothing of the query, and
missing where it is only known what is wrong. A later line of the same person about the same video and query takes the
place of the earlier ones when the file is read.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spikemba.datasets.custom import SLACK_S
from spikemba.errors import AnnotationError, CorrectionError, command_line
from spikemba.moments import Window
from spikemba.reading.lines import broken_character
from spikemba.reading.trees import parse_json
from spikemba.reading.unreadable import Unreadable

LONGEST_NAME = 64
"""Characters of a person's name."""
LONGEST_QUERY = 2000
"""Characters of a sentence."""
MOST_WINDOWS = 200
"""Windows of one correction, right and wrong ones together."""
SUFFIX = ".jsonl"

_LONGEST_STEM = 255 - len(SUFFIX.encode())
"""Bytes of a file's name without its suffix, as file systems allow them."""
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
"""Names that Windows takes for devices, with any suffix."""


@dataclass(frozen=True)
class Correction:
    """What one person says of one video and sentence."""

    by: str
    video_id: str
    query: str
    duration_s: float
    windows: tuple[Window, ...] | None
    """Where the video shows it; empty: nowhere; None: that is not said."""
    wrong: tuple[Window, ...]
    """Answers that are wrong."""
    at: str
    """When, in ISO 8601."""
    model: str | None = None
    """What had answered."""

    @property
    def is_null(self) -> bool:
        """Whether it says that the video shows nothing of the query."""
        return self.windows == ()

    @property
    def person(self) -> str:
        """The same for every way to write one name."""
        return same_name(self.by)

    @property
    def when(self) -> datetime:
        """`at`, to be compared."""
        return _time(self.at)

    def to_row(self, number: int) -> dict[str, Any]:
        """The row as it is written, the `number`th of the person's file."""
        row: dict[str, Any] = {
            "qid": f"{self.by}-{number}", "query": self.query, "vid": self.video_id, "duration": self.duration_s,
        }  # fmt: skip
        if self.windows is not None:
            row["relevant_windows"] = [list(window) for window in self.windows]
        row |= {"wrong_windows": [list(window) for window in self.wrong], "by": self.by, "at": self.at}
        return row if self.model is None else row | {"model": self.model}


@dataclass(frozen=True)
class Placed:
    """A correction, and where it stands."""

    correction: Correction
    path: Path
    line: int
    number: int
    """Of its id."""

    @property
    def place(self) -> str:
        """File and line, as errors name them."""
        return f"{self.path.name} line {self.line}"


def correction(
    name: str,
    video_id: str,
    query: str,
    duration_s: float,
    *,
    windows: Sequence[Sequence[float]] = (),
    wrong: Sequence[Sequence[float]] = (),
    absent: bool = False,
    model: str | None = None,
    at: datetime | None = None,
) -> Correction:
    """What somebody said, checked: a row that can be written.

    windows, wrong: (start, end) in seconds of the video, which is `duration_s` long. An end up to half a second behind
    it is cut to it; times are kept to the millisecond.  absent: the video shows nothing of the query.  at: in UTC, by
    default now.
    Raises CorrectionError.
    """
    if absent and windows:
        raise CorrectionError(
            f"it is absent and has {_count(len(windows), 'window')}; expected one of the two: give no windows, or "
            "absent as false"
        )
    if not windows and not wrong and not absent:
        raise CorrectionError("it says nothing; expected windows, wrong windows, or absent as true")
    if len(windows) + len(wrong) > MOST_WINDOWS:
        raise CorrectionError(f"{len(windows) + len(wrong)} windows; expected {MOST_WINDOWS} at most")
    duration_s = _duration(duration_s)
    right = _windows(windows, "windows", duration_s)
    not_right = _windows(wrong, "wrong", duration_s)
    if both := sorted({*right} & {*not_right}):
        raise CorrectionError(
            f"the window {_shown(both[0])} is given as right and as wrong; take it out of one of the two"
        )
    return Correction(
        by=checked_name(name),
        video_id=_text("video", video_id, LONGEST_QUERY),
        query=one_line(_text("query", query, LONGEST_QUERY)),
        duration_s=duration_s,
        windows=right if right or absent else None,
        wrong=not_right,
        at=(at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model=None if model is None else one_line(_text("model", model, LONGEST_QUERY)),
    )


def checked_name(name: object) -> str:
    """A person's name, which is the name of a file as well. Raises CorrectionError."""
    cure = f"expected 1 to {LONGEST_NAME} letters, digits, spaces, - _ or . of any script"
    if not isinstance(name, str):
        raise CorrectionError(f"name is {name!r}; {cure}")
    tidy = unicodedata.normalize("NFC", re.sub(" +", " ", name)).strip(" ")
    if not tidy or len(tidy) > LONGEST_NAME:
        raise CorrectionError(f"the name has {len(tidy)} characters; {cure}")
    if wrong := next((sign for sign in tidy if not _is_in_names(sign)), None):
        raise CorrectionError(f"the name {tidy!r} has {wrong!r}; {cure}")
    if tidy[0] == "." or tidy[-1] == ".":
        raise CorrectionError(f"the name {tidy!r} begins or ends with a point; {cure}, and no point at its ends")
    if same_name(tidy).partition(".")[0].strip() in _DEVICES:
        raise CorrectionError(f"the name {tidy!r} is that of a device on some systems; choose a longer one")
    if not any(unicodedata.category(sign)[0] in "LN" for sign in tidy):
        raise CorrectionError(f"the name {tidy!r} has no letter and no digit; {cure}")
    if len(tidy.encode()) > _LONGEST_STEM:
        raise CorrectionError(f"the name is {len(tidy.encode())} bytes long; expected {_LONGEST_STEM} at most")
    return tidy


def same_name(name: str) -> str:
    """The same for names that some systems take for one file: in capitals, with accents as one sign or two."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def one_line(text: str) -> str:
    """A sentence as tables give it: without spaces around it and line ends in it."""
    return re.sub(r"\s*[\r\n]\s*", " ", text.strip())


def is_corrections(path: Path) -> bool:
    """Whether a source is such rows and no table: a folder, or a jsonl whose first whole row says by whom it is."""
    if path.is_dir():
        return True
    if path.suffix.lower() != SUFFIX:
        return False
    try:
        with path.open("rb") as file:
            for raw in file:
                if raw.strip():
                    return _has_its_keys(raw)
    except OSError:
        return False
    return False


def correction_files(source: Path) -> list[Path]:
    """The files of a source, by name. Raises AnnotationError when a folder holds none."""
    if not source.is_dir():
        return [source]
    files = sorted(path for path in source.glob(f"*{SUFFIX}") if path.is_file() and not path.name.startswith("."))
    if not files:
        serve = command_line("spikemba", "serve", "VIDEOS", "--corrections", source)
        raise AnnotationError(source, [f"no {SUFFIX} file of corrections in this folder; `{serve}` writes them"])
    return files


def read_corrections(path: Path) -> tuple[list[Placed], list[str], list[str]]:
    """All rows of a file in their order, the faults of lines that cannot be used, and what else there is to say.

    A last line that was never finished, for whoever wrote it was killed, is left out and said: nobody was told that it
    was saved. Raises AnnotationError when the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(path, [(error.strerror or str(error)).lower()]) from None
    return parse_corrections(path, content)


def parse_corrections(path: Path, content: bytes) -> tuple[list[Placed], list[str], list[str]]:
    """The same of a file's content."""
    lines, rows, faults, notes = content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), list[Placed](), [], []
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            row = _object(raw)
            rows.append(Placed(of_row(row), path, number, number_of(row) or number))
        except Unreadable as fault:
            if number == len(lines):
                notes.append(f"{path} line {number} breaks off in its middle, as it was never saved; it is left out")
            else:
                faults.append(f"line {number}: {fault}")
        except CorrectionError as fault:
            faults.append(f"line {number}: {fault}")
    return rows, faults, notes


def of_row(row: Mapping[str, Any]) -> Correction:
    """A row that was read. Raises CorrectionError that says what is wrong with it."""
    if missing := [key for key in ("query", "vid", "duration", "by", "at") if row.get(key) is None]:
        raise CorrectionError(f"has no {', '.join(missing)}; expected a line that `spikemba serve` wrote")
    windows, wrong = row.get("relevant_windows"), row.get("wrong_windows")
    return correction(
        row["by"],
        row["vid"],
        row["query"],
        row["duration"],
        windows=_list("relevant_windows", windows),
        wrong=_list("wrong_windows", wrong),
        absent=windows == [],
        model=row.get("model"),
        at=_time(row["at"]),
    )


def number_of(row: Mapping[str, Any]) -> int | None:
    """The number at the end of a row's id, None where there is none."""
    digits = str(row.get("qid", "")).rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


def latest(rows: Sequence[Placed]) -> list[Placed]:
    """The last row of each person about each video and query, in the order in which they were first spoken of.

    In a file later lines count; of several files with rows of the same person, the one that was written last.
    """
    last: dict[tuple[str, str, str], Placed] = {}
    for row in rows:
        one = row.correction
        key = one.person, one.video_id, one.query
        before = last.get(key)
        if before is None or _is_later(row, before):
            last[key] = row
    return list(last.values())


def _is_later(row: Placed, before: Placed) -> bool:
    if row.path == before.path:
        return row.line >= before.line
    return row.correction.when >= before.correction.when


def _has_its_keys(raw: bytes) -> bool:
    try:
        row = _object(raw)
    except Unreadable:
        return False
    return {"by", "vid", "query"} <= {*row} and bool({"relevant_windows", "wrong_windows"} & {*row})


def _object(raw: bytes) -> dict[str, Any]:
    """Raises Unreadable when a line is no object."""
    try:
        found = parse_json(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unreadable("not text in UTF-8") from None
    if not isinstance(found, dict):
        raise Unreadable(f"expected an object, found {type(found).__name__}")
    return found


def _list(key: str, value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise CorrectionError(f"{key} is {value!r}; expected a list of [start, end]")
    return value


def _windows(values: Sequence[Any], what: str, duration_s: float) -> tuple[Window, ...]:
    """Windows in their order in time, each once."""
    return tuple(sorted({_window(value, what, duration_s) for value in values}))


def _window(value: Any, what: str, duration_s: float) -> Window:
    cure = f"expected [start, end] in seconds, 0 <= start < end <= {duration_s:g}"
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_finite, value)):
        raise CorrectionError(f"{what} holds {value!r}; {cure}")
    start_s, end_s = (round(float(time), 3) for time in value)
    if not 0 <= start_s < end_s:
        raise CorrectionError(f"{what} holds [{start_s:g}, {end_s:g}], which is no window; {cure}")
    if end_s > duration_s + SLACK_S or start_s >= duration_s:
        raise CorrectionError(f"{what} holds [{start_s:g}, {end_s:g}], and the video ends at {duration_s:g} s; {cure}")
    return Window(start_s, min(end_s, duration_s))


def _is_finite(value: object) -> bool:
    """Whether it is a number that seconds can be; math.isfinite fails on whole numbers beyond those of a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _duration(value: object) -> float:
    if not _is_finite(value) or not value > 0:  # type: ignore[operator]
        raise CorrectionError(f"duration is {value!r}; expected a positive number of seconds")
    return float(value)  # type: ignore[arg-type]


def _text(what: str, value: object, longest: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CorrectionError(f"{what} is {value!r}; expected a text")
    if len(value) > longest:
        raise CorrectionError(f"{what} has {len(value):,} characters; expected {longest:,} at most")
    if what == "query" and (half := broken_character(value)):
        raise CorrectionError(f"query holds {half}, half of a character, which no encoder reads")
    return value


def _time(value: object) -> datetime:
    try:
        found = datetime.fromisoformat(str(value))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CorrectionError(f"at is {value!r}; expected a time as 2026-11-30T12:00:00Z") from None


def _is_in_names(sign: str) -> bool:
    return sign in " -_." or unicodedata.category(sign)[0] in "LMN"


def _shown(window: Window) -> str:
    return f"[{window.start_s:g}, {window.end_s:g}]"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
