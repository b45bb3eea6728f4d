"""Raw annotations to the files that training reads: one jsonl per split, and a configuration that names them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.preparation.data_config import write_data_config
from pipelines.preparation.shapes_corpus import ShapesConfig, draw_corpus, write_truth
from spikemba.config import Tree
from spikemba.datasets.annotations import Annotation, read_annotations, write_annotations
from spikemba.datasets.corrections import is_corrections
from spikemba.datasets.custom_sources import read_sources
from spikemba.encoders.base import folder_name
from spikemba.encoders.registry import find_encoder
from spikemba.errors import AnnotationError, OutputError, SpikeMbaError, command_line
from spikemba.progress import Report, silent
from spikemba.video.folders import absolute
from spikemba.video.sampling import VideoReader


@dataclass(frozen=True)
class Prepared:
    """What a preparation wrote."""

    out: Path
    n_queries: dict[str, int]
    """Queries per annotation file, by its name without suffix."""
    videos: Path
    """Where the videos lie."""
    config: Path
    """YAML that trains on it."""
    inputs: tuple[Path, ...]
    """Folders and files to encode in one command: the videos' ids hold for these together."""
    how: str | None = None
    """How a person's own file was read."""
    n_null: dict[str, int] = field(default_factory=dict)
    """Null queries per annotation file that has some: those of which the video shows nothing."""
    corrections: dict[str, int] | None = None
    """What became of people's corrections, by name, where there were some."""

    corpus: dict[str, int] = field(default_factory=dict)
    """Sentences per file that says where in all videos of a split they are true, where such files were asked for."""

    def n_videos(self, split: str) -> int:
        """Videos of an annotation file."""
        return len({row.video_id for row in read_annotations(self.out / f"{split}.jsonl")})


def prepare_shapes(out: Path, config: ShapesConfig, report: Report = silent, *, corpus: bool = False) -> Prepared:
    """Draw the shapes corpus into `out`. Videos that are there already are kept. Raises OutputError.

    corpus: also say where in all videos of a split its sentences are true, for the search of a library.
    """
    n_queries = draw_corpus(out, config, report)
    truth = write_truth(out, config) if corpus else {}
    path = _write_config(out, "shapes", "mini", 2.0, n_queries)
    return Prepared(out, n_queries, out / "videos", path, (out / "videos",), corpus=truth)


def prepare_custom(
    source: Path | Sequence[Path],
    out: Path,
    *,
    videos: Path | None = None,
    encoder: str = "clip+slowfast",
    clip_s: float = 2.0,
    fps: float | None = None,
    val_share: float = 0.2,
    seed: int = 0,
    report: Report = silent,
) -> Prepared:
    """A person's table or jsonl of video, start, end, query to annotations in `out`, split by video.

    source: one table; or people's corrections, a folder of them or one file; or both, when the corrections take the
    place of what the table says of the same video and sentence. Corrections need `videos`.
    fps: frames per second, where the table's times are frames.
    encoder: what the features will be made with; it only decides the folders that the configuration names, those of
    the sentences by the first that reads text. Raises UnknownName, and SpikeMbaError when none does.
    Raises AnnotationError that names every line with a fault.
    """
    _text_reader(encoder)
    sources = [source] if isinstance(source, Path) else list(source)
    for one in sources:
        if is_corrections(one) and absolute(out) in (absolute(one), absolute(one.parent)):
            raise OutputError(out, f"corrections lie there ({one}), and would be mixed with what is written")
    data = read_sources(sources, videos, video_duration_s, clip_s, fps, report)
    main = next((one for one in sources if not is_corrections(one)), sources[0])
    train, val = split_by_video(data.annotations, val_share, seed)
    if not train:
        raise AnnotationError(main, [f"no video is left to train on with a validation share of {val_share}"])
    splits = {"train": train, "val": val} if val else {"train": train}
    for name, rows in splits.items():
        write_annotations(out / f"{name}.jsonl", rows)
    n_queries = {name: len(rows) for name, rows in splits.items()}
    path = _write_config(out, main.stem, encoder, clip_s, n_queries)
    inputs, place, null = tuple(data.videos), videos or main.parent, null_queries(splits)
    return Prepared(out, n_queries, place, path, inputs, data.how, null, data.corrections)


def null_queries(splits: Mapping[str, Sequence[Annotation]]) -> dict[str, int]:
    """Null queries of each split that has some."""
    counts = {split: sum(row.is_null for row in rows) for split, rows in splits.items()}
    return {split: n for split, n in counts.items() if n}


def split_by_video(
    annotations: Sequence[Annotation], val_share: float, seed: int
) -> tuple[list[Annotation], list[Annotation]]:
    """Training and validation queries; all queries of a video go to one side, and one video at least to each."""
    videos = sorted({annotation.video_id for annotation in annotations})
    random.Random(seed).shuffle(videos)
    n_val = 0 if len(videos) < 2 or val_share == 0 else min(len(videos) - 1, max(1, round(val_share * len(videos))))
    held_out = set(videos[:n_val])
    return (
        [a for a in annotations if a.video_id not in held_out],
        [a for a in annotations if a.video_id in held_out],
    )


def video_duration_s(path: Path) -> float:
    """Seconds of a video until its last picture ends, the same as `ground` takes. Raises VideoError."""
    return VideoReader(path).measured_end_s()


def _text_reader(encoder: str) -> str:
    """The first of the encoders joined by + that reads text. Raises UnknownName, SpikeMbaError."""
    names = encoder.split("+")
    readers = [one for one in names if find_encoder(one).reads_text]
    if not readers:
        raise SpikeMbaError(f"no encoder of {encoder} reads text; add one that does, as in --encoder clip+{encoder}")
    return readers[0]


def _write_config(out: Path, name: str, encoder: str, clip_s: float, splits: dict[str, int]) -> Path:
    """The configuration that trains on what was prepared; features are expected in `out/features`."""
    files = [f"{split}{nulls}" for nulls in ("", "_nulls") for split in ("train", "val", "test")]
    data: Tree = {name: str(out / f"{name}.jsonl") for name in files if name in splits}
    data["video_features"] = [str(out / "features" / folder_name(one)) for one in encoder.split("+")]
    data["text_features"] = str(out / "features" / f"{folder_name(_text_reader(encoder))}_text")
    data["clip_s"] = clip_s
    path = out / "config.yaml"
    return write_data_config(out, command_line("spikemba", "train", "--config", path), data, name)
