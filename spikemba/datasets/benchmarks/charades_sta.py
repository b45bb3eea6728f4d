"""Charades-STA: the official text, `3MSZA 24.3 30.4##person turn a light on.`, and the peers' jsonl."""

from collections.abc import Mapping
from pathlib import Path

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmark import CLIP_ONLY, SLOWFAST_CLIP, Benchmark, Pack, Size, files_at
from spikemba.datasets.protocol import ONE_WINDOW
from spikemba.datasets.published import published_table
from spikemba.datasets.raw_rows import RawRows, read_jsonl_rows
from spikemba.errors import AnnotationError
from spikemba.moments import Window
from spikemba.reading.lines import read_lines, read_text, table_records
from spikemba.reading.unreadable import Unreadable

DURATION_FILES = ("Charades_v1_train.csv", "Charades_v1_test.csv")
"""Where the official release keeps the videos' lengths, in the columns `id` and `length`."""

FIRST_TEST_ID = 12_404
"""Query ids count on from the training split, whose published form has that many rows."""


def read_charades(path: Path, folder: Path, split: str) -> RawRows:
    """A split in either form.

    folder: where the lengths are looked for, which the text does not hold. Query ids of the text count usable rows:
    those whose window ends before it starts get none, as in the published jsonl, so that ids agree with feature packs.
    Raises AnnotationError when the lengths are missing.
    """
    if path.suffix == ".jsonl":
        return read_jsonl_rows(path)
    durations = _durations(path, folder)
    found = RawRows(path)
    next_id = FIRST_TEST_ID if split == "test" else 0
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
            found |= _lengths(table)
    if not found:
        raise AnnotationError(
            path,
            [
                f"it holds no video lengths, and there is no {' or '.join(DURATION_FILES)} in {folder}; "
                "they are in Charades.zip at https://prior.allenai.org/projects/charades"
            ],
        )
    return found


def _lengths(table: Path) -> dict[str, float]:
    """Seconds of each video of a table with the columns `id` and `length`. Raises AnnotationError."""
    try:
        return {row["id"]: float(row["length"]) for _, row in table_records(read_text(table))}
    except OSError as error:
        raise AnnotationError(table, [f"cannot be read ({error.strerror or error})"]) from None
    except (Unreadable, KeyError, ValueError) as error:
        raise AnnotationError(table, [f"is no table of `id` and `length` ({error})"]) from None


def _lines(path: Path) -> list[str]:
    try:
        return read_lines(path)
    except OSError as error:
        raise AnnotationError(path, [f"cannot be read ({error.strerror or error})"]) from None
    except Unreadable as fault:
        raise AnnotationError(path, [f"cannot be read: {fault}"]) from None


PUBLISHED = published_table(
    "MR-full-R1@0.3 MR-full-R1@0.5 MR-full-R1@0.7 MR-full-mIoU",
    test="""
    SpikeMba | ~ 59.65 36.12 51.74 | second-hand: table of Sim-DETR
    QD-DETR | ~ 57.31 32.55 ~ | second-hand: table of TD-DETR
    UniVTG | 70.81 58.01 35.65 50.10 | second-hand: table of BAM-DETR
    UniVTG PT | 72.63 ~ ~ 52.17 | UniVTG repository, model.md
    UVCOM | ~ 59.25 36.64 ~ | UVCOM repository, README
    BAM-DETR | 72.93 59.95 39.38 52.33 | second-hand: a reading note on BAM-DETR
    TD-DETR | ~ 60.89 40.35 ~ | second-hand: a reading note on TD-DETR
    R2-Tuning | 70.91 60.48 38.66 ~ | R2-Tuning repository, README
    Sim-DETR | ~ 61.34 39.62 52.56 | second-hand: a reading note on Sim-DETR
    UniVTG with ViM | 68.12 57.07 35.83 ~ | Video-Mamba-Suite repository, README
    UniVTG with DBM | 68.06 57.18 36.05 ~ | Video-Mamba-Suite repository, README
    Moment-DETR (lighthouse) | ~ 53.4 30.7 ~ | lighthouse repository, reproduced_results.md
    QD-DETR (lighthouse) | ~ 59.4 37.9 ~ | lighthouse repository, reproduced_results.md
    EaTR (lighthouse) | ~ 55.2 33.1 ~ | lighthouse repository, reproduced_results.md
    UVCOM (lighthouse) | ~ 56.9 35.9 ~ | lighthouse repository, reproduced_results.md
    TaskWeave (lighthouse) | ~ 56.8 35.2 ~ | lighthouse repository, reproduced_results.md
    CG-DETR (lighthouse) | ~ 57.6 35.1 ~ | lighthouse repository, reproduced_results.md
    """,
)

VGG = Pack(
    "vgg+glove",
    (("vgg_features/rgb_features", "vgg_features", "rgb_features"),),
    ("glove.6B.300d.txt", "glove.txt"),
    {"clip_s": 1 / 6},
)

BENCHMARK = Benchmark(
    name="charades_sta",
    title="Charades-STA",
    files={
        split: (
            f"charades_{split}_release.jsonl",
            f"charades_sta_{split}_tvr_format.jsonl",
            f"charades_sta_{split}.jsonl",
            f"charades_sta_{split}.txt",
        )
        for split in ("train", "test")
    },
    read=read_charades,
    home="annotations: github.com/line/lighthouse, data/charades; features: links in github.com/wjun0830/CGDETR",
    protocol=ONE_WINDOW,
    sizes={"train": Size(12_404, 5336), "test": Size(3720, 1334)},
    packs=(SLOWFAST_CLIP, CLIP_ONLY, VGG),
    held_out=0.1,
    downloads=files_at(
        "https://raw.githubusercontent.com/line/lighthouse/main/data/charades",
        {
            "charades_train_release.jsonl": "bcb0deddbb552354323a26dd39d3d9f2fe6d9b70fd9e51697344317364962442",
            "charades_test_release.jsonl": "13d6e9152794d87bb501a827edcbe69e5c0428f0af60e926e6b87e4f452ad5b2",
        },
    ),
    published=PUBLISHED,
)
