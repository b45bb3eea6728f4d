"""What a drawn corpus was made with, kept in its folder, so that no folder mixes two of them or changes in silence.

made.json     written before anything is drawn, so that what is broken off can only go on as it began
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from spikemba.config import Config
from spikemba.datasets.annotations import Annotation, read_annotations
from spikemba.errors import AnnotationError, OutputError, SpikeMbaError
from spikemba.files import write_json
from spikemba.progress import Report, reported
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

MADE = "made.json"
LARGEST_SEED = 10**9
"""Ids of videos and queries are made of it, and other tools read these as numbers of 64 bits."""
SPLIT_SEEDS = 100_000
"""Seeds of one split, and so the most that it can have: no two splits share a video."""


def begin(out: Path, corpus: str, config: Config, others: Iterable[str]) -> None:
    """Say in `out/made.json` what is drawn there; what was broken off goes on when it is the same.

    others: files there that hold something else, for folders of versions that said nothing.
    Raises OutputError when the folder holds what was made otherwise.
    """
    now = {"corpus": corpus, **config.model_dump(mode="json")}
    before = _read(out / MADE)
    if before is None or not _has_more(out):  # broken off before anything was finished
        if found := list(others):
            raise OutputError(out, f"{' and '.join(found)} of another making {'lie' if found[1:] else 'lies'} there")
        write_json(out / MADE, now)
    elif changed := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        seen = ", ".join(f"{name} {before.get(name)} (now {now.get(name)})" for name in changed)
        raise OutputError(out, f"it holds {before.get('corpus')} made otherwise: {seen}")


def draw_all(draw: Callable[..., None], wanted: Sequence[tuple[Any, ...]], report: Report, at_once: int) -> None:
    """Call `draw` with each of these arguments, in processes of their own, `at_once` of them to a process at a time.

    Raises SpikeMbaError when one of the processes dies.
    """
    workers = min(os.cpu_count() or 1, len(wanted)) or 1
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for _ in reported(pool.map(draw, *zip(*wanted, strict=True), chunksize=at_once), len(wanted), report):
                pass
    except BrokenProcessPool:
        raise SpikeMbaError(
            "a process that drew videos was ended from outside, as the system does when memory runs out; what was "
            "drawn is kept, the same command goes on from there"
        ) from None


def other_annotations(out: Path, splits: Mapping[str, Sequence[Annotation]]) -> list[str]:
    """Annotation files in `out` that do not ask what those of these splits ask, by name."""
    return [
        f"{name}.jsonl"
        for name, rows in splits.items()
        if (found := _asked(out / f"{name}.jsonl")) and found != _ids(rows)
    ]


def _has_more(out: Path) -> bool:
    """Whether there is any file but the record."""
    return any(path.is_file() and path != out / MADE for path in out.rglob("*"))


def _asked(path: Path) -> set[tuple[Any, ...]]:
    try:
        return _ids(read_annotations(path)) if path.is_file() and path.stat().st_size else set()
    except AnnotationError:
        return {("damaged",)}


def _ids(rows: Sequence[Annotation]) -> set[tuple[Any, ...]]:
    return {(row.query_id, row.video_id, row.query) for row in rows}


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except (OSError, Unreadable) as error:
        raise OutputError(path.parent, f"its {path.name} is damaged ({error})") from None
    return found if isinstance(found, dict) else {}
