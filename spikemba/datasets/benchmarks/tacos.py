"""TACoS: the raw JSON, whose times are frames, and the peers' jsonl."""

from pathlib import Path
from typing import Any

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmark import CLIP_ONLY, SLOWFAST_CLIP, Benchmark, Size, files_at
from spikemba.datasets.protocol import ONE_WINDOW
from spikemba.datasets.published import published_table
from spikemba.datasets.raw_rows import RawRows, read_json_object, read_jsonl_rows
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


PUBLISHED = published_table(
    "MR-full-R1@0.3 MR-full-R1@0.5 MR-full-R1@0.7 MR-full-mIoU",
    test="""
    QD-DETR | ~ 36.77 21.07 35.76 | second-hand: table of BAM-DETR
    CG-DETR | ~ 39.61 22.23 36.48 | second-hand: table of Sim-DETR
    BAM-DETR | 56.69 41.54 26.77 39.31 | second-hand: a reading note on BAM-DETR
    Sim-DETR | ~ 42.79 26.82 39.44 | second-hand: a reading note on Sim-DETR
    R2-Tuning | 50.96 40.69 25.69 ~ | R2-Tuning repository, README
    UniVTG PT | 56.11 ~ ~ 38.63 | UniVTG repository, model.md
    Moment-DETR (lighthouse) | ~ 25.5 12.9 ~ | lighthouse repository, reproduced_results.md
    QD-DETR (lighthouse) | ~ 38.7 22.1 ~ | lighthouse repository, reproduced_results.md
    EaTR (lighthouse) | ~ 31.7 15.6 ~ | lighthouse repository, reproduced_results.md
    UVCOM (lighthouse) | ~ 40.2 23.3 ~ | lighthouse repository, reproduced_results.md
    TaskWeave (lighthouse) | ~ 38.3 21.5 ~ | lighthouse repository, reproduced_results.md
    CG-DETR (lighthouse) | ~ 39.8 25.1 ~ | lighthouse repository, reproduced_results.md
    """,
)

BENCHMARK = Benchmark(
    name="tacos",
    title="TACoS",
    files={
        split: (f"tacos_{split}_release.jsonl", f"{split}.jsonl", f"{split}.json") for split in ("train", "val", "test")
    },
    read=lambda path, folder, split: read_tacos(path),
    home="annotations: github.com/line/lighthouse, data/tacos; features: links in github.com/wjun0830/CGDETR",
    protocol=ONE_WINDOW,
    sizes={"train": Size(9790, 75), "val": Size(4436, 27), "test": Size(4001, 25)},
    packs=(SLOWFAST_CLIP, CLIP_ONLY),
    downloads=files_at(
        "https://raw.githubusercontent.com/line/lighthouse/main/data/tacos",
        {
            "tacos_train_release.jsonl": "d5c931511093d0e4a4a7f5b6592420ac1c33e2a824eb3024408f538593959e7f",
            "tacos_val_release.jsonl": "1f75348f28e3dcf1e4941eb3477cf7c7b6d587ca21c060d38a35b25029090107",
            "tacos_test_release.jsonl": "07e29508bfc2d512f1ec2f7b70b289ab094dd8ed8f39403fc42be14be62bb675",
        },
    ),
    published=PUBLISHED,
)
