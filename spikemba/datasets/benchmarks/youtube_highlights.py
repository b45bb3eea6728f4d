"""YouTube Highlights: the raw dictionary of videos, and the peers' jsonl."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from spikemba.config import load_yaml
from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmarks.raw import RawRows, read_json_object, read_jsonl_rows


def read_youtube(path: Path) -> RawRows:
    """The dictionary, cut to the videos of the published split, or a jsonl. Raises AnnotationError."""
    return read_jsonl_rows(path) if path.suffix == ".jsonl" else _read_json(path)


def is_test(annotation: Annotation) -> bool:
    """Whether the video is of the test split."""
    return _split().get(annotation.video_id, ("", ""))[1] == "test"


def _read_json(path: Path) -> RawRows:
    found = RawRows(path)
    for video_id, video in read_json_object(path).items():
        if video_id not in _split():
            continue
        try:
            found.rows.append((f"video {video_id}", _row(video_id, video)))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            found.faults.append(
                f"video {video_id}: has no usable {error}; expected match, and duration or frames and fps"
            )
    return found


def _row(video_id: str, video: Mapping[str, Any]) -> Annotation:
    domain = _split()[video_id][0]
    duration_s = float(video["duration"]) if "duration" in video else float(video["frames"]) / float(video["fps"])
    labels = tuple((1.0 if match > 0 else 0.0,) for match in video["match"])  # borderline clips count as negative
    if not labels:
        raise ValueError("match, which is empty")
    return Annotation(video_id, domain, video_id, duration_s, labels=labels, domain=domain)


@cache
def _split() -> dict[str, tuple[str, str]]:
    """Video -> its domain and split."""
    tree = load_yaml(Path(__file__).with_name("youtube_splits.yaml"))
    return {
        video: (domain, split) for domain, splits in tree.items() for split in splits for video in splits[split].split()
    }
