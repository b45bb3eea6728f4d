"""Draws the shapes corpus into a folder: real H.264 files, and one annotation file per split."""

from pathlib import Path

from pydantic import Field

from pipelines.preparation.making import LARGEST_SEED, SPLIT_SEEDS, begin, draw_all, other_annotations
from spikemba.config import Config
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.corpus_rows import write_corpus_truth
from spikemba.datasets.synthetic.drawing import render
from spikemba.datasets.synthetic.shapes import FPS, Kind, annotate, storyboard
from spikemba.datasets.synthetic.shapes_nulls import annotate_nulls
from spikemba.datasets.synthetic.shapes_truth import corpus_queries
from spikemba.progress import Report, silent
from spikemba.video.files import write_video

SPLITS = ("train", "val", "test")
_QUERIES_PER_VIDEO = 10  # room for the query ids of one video


class ShapesConfig(Config):
    """Size of the corpus."""

    train: int = Field(300, ge=0, le=SPLIT_SEEDS)
    """Training videos."""
    val: int = Field(40, ge=0, le=SPLIT_SEEDS)
    """Validation videos."""
    test: int = Field(60, ge=0, le=SPLIT_SEEDS)
    """Test videos."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Another seed draws another corpus."""


def draw_corpus(out: Path, config: ShapesConfig, report: Report = silent) -> dict[str, int]:
    """Write `out/videos/*.mp4` and `out/{train,val,test,test_distractor,test_long_range}.jsonl`.

    `out/{train,val,test}_nulls.jsonl` are sentences that the same videos do not show.
    Videos that are there already are kept. Returns the number of queries per annotation file; none is empty.
    Raises OutputError when `out` cannot be written or holds a corpus made otherwise.
    """
    boards = {split: _boards(config, split) for split in SPLITS}
    files = _annotations(boards)
    begin(out, "shapes", config, other_annotations(out, files))
    wanted = [(kind, seed, out / "videos") for split in SPLITS for kind, seed in boards[split]]
    draw_all(_draw, wanted, report, at_once=4)
    written = {name: annotations for name, annotations in files.items() if annotations}
    for name, annotations in written.items():
        write_annotations(out / f"{name}.jsonl", annotations)
    return {name: len(annotations) for name, annotations in written.items()}


def write_truth(out: Path, config: ShapesConfig) -> dict[str, int]:
    """Write `out/{train,val,test}_corpus.jsonl`: where each sentence of a split is true, in all videos of the split.

    The sentences are those of the split's file and of its null queries, which other videos may show. Returns the number
    of sentences per file; none is empty. Raises OutputError.
    """
    boards = {split: _boards(config, split) for split in SPLITS}
    files, written = _annotations(boards), {}
    for split in SPLITS:
        videos = [storyboard(seed, kind) for kind, seed in boards[split]]
        if rows := files[split] + files[f"{split}_nulls"]:
            write_corpus_truth(out / f"{split}_corpus.jsonl", corpus_queries(videos, rows))
            written[f"{split}_corpus"] = len(rows)
    return written


def _annotations(boards: dict[str, list[tuple[Kind, int]]]) -> dict[str, list[Annotation]]:
    """The rows of each annotation file, by its name without suffix."""
    files: dict[str, list[Annotation]] = {}
    for split in SPLITS:
        rows = {
            board: annotate(storyboard(board[1], board[0]), board[1] * _QUERIES_PER_VIDEO) for board in boards[split]
        }
        files[split] = [row for board in rows for row in rows[board]]
        files[f"{split}_nulls"] = [
            row
            for kind, seed in boards[split]
            for row in annotate_nulls(storyboard(seed, kind), seed * _QUERIES_PER_VIDEO)
        ]
        if split == "test":
            for kind in ("distractor", "long_range"):
                files[f"test_{kind}"] = [row for board in rows if board[0] == kind for row in rows[board]]
    return files


def _boards(config: ShapesConfig, split: str) -> list[tuple[Kind, int]]:
    """Kind and seed of each video of a split: three in five plain, one with distractors, one long-range."""
    kinds: tuple[Kind, ...] = ("plain", "distractor", "plain", "long_range", "plain")
    first = (config.seed * len(SPLITS) + SPLITS.index(split)) * SPLIT_SEEDS
    return [(kinds[i % len(kinds)], first + i) for i in range(getattr(config, split))]


def _draw(kind: Kind, seed: int, folder: Path) -> None:
    board = storyboard(seed, kind)
    path = folder / f"{board.video_id}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_video(path, render(board), FPS)
