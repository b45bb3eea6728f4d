"""What a drawn corpus was made with, kept in its folder, so that no folder mixes two of them or changes in silence.

made.json     written before anything is drawn, so that what is broken off can only go on as it began
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spikemba.config import Config
from spikemba.datasets.annotations import Annotation, read_annotations
from spikemba.errors import AnnotationError, OutputError
from spikemba.files import write_json
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
    if before is None:
        if found := list(others):
            raise OutputError(out, f"{' and '.join(found)} of another making {'lie' if found[1:] else 'lies'} there")
        write_json(out / MADE, now)
    elif changed := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        seen = ", ".join(f"{name} {before.get(name)} (now {now.get(name)})" for name in changed)
        raise OutputError(out, f"it holds {before.get('corpus')} made otherwise: {seen}")


def other_annotations(out: Path, splits: Mapping[str, Sequence[Annotation]]) -> list[str]:
    """Annotation files in `out` that do not ask what those of these splits ask, by name."""
    return [
        f"{name}.jsonl"
        for name, rows in splits.items()
        if (found := _asked(out / f"{name}.jsonl")) and found != _ids(rows)
    ]


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
