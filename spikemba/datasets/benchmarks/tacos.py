"""TACoS: the raw JSON, whose times are frames, and the peers' jsonl."""

from pathlib import Path
from typing import Any

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmarks.raw import RawRows, read_json_object, read_jsonl_rows
from spikemba.moments import Window


def read_tacos(path: Path) -> RawRows:
    """A split in either form; query ids are `<video>_<number of the sentence>`. Raises AnnotationError."""
    return read_jsonl_rows(path) if path.suffix == ".jsonl" else _read_json(path)


def _read_json(path: Path) -> RawRows:
    found = RawRows(path)
    for name, video in read_json_object(path).items():
        try:
            sentences, times = video["sentences"], video["timestamps"]
            fps, n_frames = float(video["fps"]), float(video["num_frames"])
        except (KeyError, TypeError, ValueError) as error:
            found.faults.append(f"{name}: has no usable {error}; expected sentences, timestamps, fps, num_frames")
            continue
        if len(sentences) != len(times) or fps <= 0 or n_frames <= 0:
            found.faults.append(f"{name}: {len(sentences)} sentences, {len(times)} timestamps, {n_frames:g} frames")
            continue
        video_id = Path(name).stem
        for i, (sentence, frames) in enumerate(zip(sentences, times, strict=True)):
            place = f"{name}, sentence {i}"
            try:
                found.rows.append((place, _row(f"{video_id}_{i}", sentence, video_id, frames, fps, n_frames)))
            except (TypeError, ValueError):
                found.faults.append(f"{place}: {frames!r} is not a pair of frames")
    return found


def _row(query_id: str, sentence: str, video_id: str, frames: Any, fps: float, n_frames: float) -> Annotation:
    start, end = map(float, frames)
    return Annotation(query_id, str(sentence).strip(), video_id, n_frames / fps, (Window(start / fps, end / fps),))
