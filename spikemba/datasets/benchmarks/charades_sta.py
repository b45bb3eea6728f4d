"""Charades-STA: the official text, `3MSZA 24.3 30.4##person turn a light on.`, and the peers' jsonl."""

import csv
from collections.abc import Mapping
from pathlib import Path

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmarks.raw import RawRows, read_jsonl_rows
from spikemba.errors import AnnotationError
from spikemba.moments import Window

DURATION_FILES = ("Charades_v1_train.csv", "Charades_v1_test.csv")
"""Where the official release keeps the videos' lengths, in the columns `id` and `length`."""

FIRST_TEST_ID = 12_404
"""Query ids count on from the training split, whose published form has that many rows."""


def read_charades(path: Path, folder: Path, first_id: int) -> RawRows:
    """A split in either form.

    folder: where the lengths are looked for, which the text does not hold.  first_id: query id of the first usable row;
    rows whose window ends before it starts get none, as in the published jsonl, so that ids agree with feature packs.
    Raises AnnotationError when the lengths are missing.
    """
    if path.suffix == ".jsonl":
        return read_jsonl_rows(path)
    durations = _durations(path, folder)
    found = RawRows(path)
    next_id = first_id
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = _row(line, next_id, durations)
        except ValueError as problem:
            found.faults.append(f"line {number}: {problem}")
            continue
        found.rows.append((f"line {number}", row))
        next_id += 1
    return found


def _row(line: str, query_id: int, durations: Mapping[str, float]) -> Annotation:
    head, separator, query = line.strip().partition("##")
    parts = head.split()
    if not separator or len(parts) != 3:
        raise ValueError(f"{line.strip()!r} is not of the form `VIDEO START END##SENTENCE`")
    video_id, start, end = parts
    if video_id not in durations:
        raise ValueError(f"video {video_id!r} has no length in {' or '.join(DURATION_FILES)}")
    try:
        start_s, end_s = float(start), float(end)
    except ValueError:
        raise ValueError(f"start {start!r} and end {end!r} are not numbers") from None
    duration_s = durations[video_id]
    if end_s < start_s:
        raise ValueError(f"window [{start_s:g}, {end_s:g}] ends before it starts")
    # Annotators' ends reach past the file by up to a second; the published jsonl cuts them, too.
    window = Window(start_s, min(end_s, duration_s))
    return Annotation(query_id, query.strip(), video_id, duration_s, (window,))


def _durations(path: Path, folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in DURATION_FILES:
        for table in sorted(folder.rglob(name)):
            with table.open(newline="", encoding="utf-8") as file:
                found |= {row["id"]: float(row["length"]) for row in csv.DictReader(file)}
    if not found:
        raise AnnotationError(
            path,
            [
                f"it holds no video lengths, and there is no {' or '.join(DURATION_FILES)} in {folder}; "
                "they are in Charades.zip at https://prior.allenai.org/projects/charades"
            ],
        )
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(path, [f"cannot be read as text ({type(error).__name__})"]) from None
