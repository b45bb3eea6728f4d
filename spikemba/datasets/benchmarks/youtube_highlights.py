"""YouTube Highlights: the raw dictionary of videos, and the peers' jsonl."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from spikemba.config import load_yaml
from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmark import CLIP_ONLY, CLIP_SLOWFAST, I3D, Benchmark, Size, files_at
from spikemba.datasets.protocol import HIGHLIGHT_OR_NOT
from spikemba.datasets.published import published_table
from spikemba.datasets.raw_rows import RawRows, read_json_object, read_jsonl_rows


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


PUBLISHED = published_table(
    "mAP-dog mAP-gymnastics mAP-parkour mAP-skating mAP-skiing mAP-surfing mAP",
    test="""
    UMT-S | 65.93 75.20 81.64 71.81 72.27 82.71 74.93 | UMT repository, README
    UniVTG PT | 74.25 78.89 74.39 84.87 75.13 83.85 78.56 | UniVTG repository, model.md
    R2-Tuning | 74.26 72.07 81.02 76.26 74.36 82.76 76.79 | R2-Tuning repository, README
    Moment-DETR (lighthouse) | ~ ~ ~ ~ ~ ~ 67.7 | lighthouse repository, reproduced_results.md, CLIP and SlowFast
    QD-DETR (lighthouse) | ~ ~ ~ ~ ~ ~ 73.4 | lighthouse repository, reproduced_results.md, CLIP and SlowFast
    EaTR (lighthouse) | ~ ~ ~ ~ ~ ~ 67.4 | lighthouse repository, reproduced_results.md, CLIP and SlowFast
    UVCOM (lighthouse) | ~ ~ ~ ~ ~ ~ 73.1 | lighthouse repository, reproduced_results.md, CLIP and SlowFast
    TaskWeave (lighthouse) | ~ ~ ~ ~ ~ ~ 69.1 | lighthouse repository, reproduced_results.md, CLIP and SlowFast
    CG-DETR (lighthouse) | ~ ~ ~ ~ ~ ~ 74.1 | lighthouse repository, reproduced_results.md, CLIP and SlowFast
    """,
)

BENCHMARK = Benchmark(
    name="youtube_highlights",
    title="YouTube Highlights",
    files={
        "train": ("youtube_highlight_train_release.jsonl", "youtube_train.jsonl"),
        "test": ("youtube_highlight_val_release.jsonl", "youtube_valid.jsonl"),
        "all": ("youtube_anno.json",),
    },
    read=lambda path, folder, split: read_youtube(path),
    home="labels: github.com/line/lighthouse, data/youtube_highlight; features: links in github.com/showlab/UniVTG",
    protocol=HIGHLIGHT_OR_NOT,
    sizes={"train": Size(233, 233), "test": Size(152, 152)},
    packs=(CLIP_SLOWFAST, CLIP_ONLY, I3D),
    domains=("dog", "gymnastics", "parkour", "skating", "skiing", "surfing"),
    is_test=is_test,
    held_out=0.2,
    downloads=files_at(
        "https://raw.githubusercontent.com/line/lighthouse/main/data/youtube_highlight",
        {
            "youtube_highlight_train_release.jsonl": "42eeb3ff6a600edadb8174cba3051cea2b323029b71e6aee750fef70f606a71e",
            "youtube_highlight_val_release.jsonl": "3a0ffaa30695952f9f8c882947825328f4fea71dd34ce47b30d4160c79b37785",
        },
    ),
    # Labels are about 50 frames each, rows made here about equal times.
    own_features={"lengths": "stretch"},
    published=PUBLISHED,
)
