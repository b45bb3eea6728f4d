"""Short marks of data, kept beside what was made of them: a run that goes on can say what has changed."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.base import DataConfig
from spikemba.features import FeatureFolder

_ENDS = 4096  # bytes; the directory at the end of an npz holds the checksums of its arrays
_MOST = 2000


def of_split(data: DataConfig, rows: Sequence[Annotation], called: str) -> dict[str, str]:
    """Of annotations, by what people call them, and of the features of their videos and queries."""
    # a query's kind is never learned from: rows that have got one since are the same data
    marks = {called: of_rows(json.dumps(replace(one, kind=None).to_row()) for one in rows)}
    videos = list(dict.fromkeys(one.video_id for one in rows))
    clips = {one.video_id: one.duration_s / data.clip_s for one in rows}
    for folder in (*data.video_features, *data.sound_features):
        marks[f"features in {folder}"] = of_files(FeatureFolder(folder, "video", clips).files(videos=videos))
    if data.text_features is not None:
        text = data.text_features
        queries = [one.query_id for one in rows]
        files = [text] if text.is_file() else FeatureFolder(text, "text").files(queries=queries)
        marks[f"features in {text}"] = of_files(files)
    return marks


def of_rows(rows: Iterable[str]) -> str:
    """A mark of all rows, in their order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:16]


def of_files(files: Sequence[Path]) -> str:
    """A mark of the sizes, beginnings and ends of files; of more than 2000, of as many spread evenly over them.

    Where a folder lies and when it was copied does not count. A file that is gone has a mark too.
    """
    chosen = files if len(files) <= _MOST else [files[i * len(files) // _MOST] for i in range(_MOST)]
    return of_rows([str(len(files)), *map(_of_file, chosen)])


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            ends = file.read(_ENDS)
            if size > _ENDS:
                file.seek(max(_ENDS, size - _ENDS))
                ends += file.read(_ENDS)
    except OSError as error:
        return f"{path.name} {error.strerror}"
    return f"{path.name} {size} {hashlib.sha256(ends).hexdigest()}"
