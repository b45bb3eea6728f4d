"""Videos with a class each to what training reads: from published split lists, from a folder per class, or drawn.

<out>/train.csv, val.csv, test.csv    video and label per line     <out>/labels.txt     the classes, in order
<out>/config.yaml                     the data section for `spikemba train`
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipelines.preparation.motions_corpus import MotionsConfig, draw_motions
from spikemba.config import Tree
from spikemba.datasets.labelled.video_lists import PublishedLists, VideoSet, video_set
from spikemba.datasets.labelled.videos import (
    LabelledVideo,
    label_names,
    read_labelled_videos,
    read_labels,
    write_labelled_videos,
)
from spikemba.errors import AnnotationError, command_line
from spikemba.files import write_text
from spikemba.progress import Report, silent
from spikemba.reading.printable import one_cell

VAL_SHARE = 0.1
"""Of the training videos, held out to choose the epoch where no validation split is published."""

Splits = dict[str, list[LabelledVideo]]


@dataclass
class PreparedVideos:
    """What a preparation wrote, and what a person should know."""

    out: Path
    title: str
    n_videos: dict[str, int]
    """Per split."""
    n_classes: int
    config: Path
    left_out: list[str] = field(default_factory=list)
    """Rows that were left out, each with its place."""
    notes: list[str] = field(default_factory=list)


def prepare_motions(out: Path, config: MotionsConfig, report: Report = silent) -> PreparedVideos:
    """Draw the motions corpus into `out`. Videos that are there already are kept. Raises OutputError."""
    counts = draw_motions(out, config, report)
    n_classes = len(read_labels(out / "labels.txt"))
    path = _write_config(
        out, "motions", counts, command_line("spikemba", "train", "--dataset", "motions", "--data", out)
    )
    return PreparedVideos(out, f"motions: {config.which}", counts, n_classes, path)


def prepare_folders(
    source: Path,
    out: Path,
    *,
    videos: Path | None = None,
    val_share: float = 0.1,
    test_share: float = 0.2,
    seed: int = 0,
) -> PreparedVideos:
    """A folder per class, or a list, split at random and class by class.

    videos: where the paths of a list begin.  Raises AnnotationError for faults of the list and for a class that has too
    few videos to be on every side.
    """
    found = read_labelled_videos(source, videos)
    splits: Splits = {"train": [], "val": [], "test": []}
    faults = []
    for label in label_names(found):
        of_class = [video for video in found if video.label == label]
        random.Random(f"{seed} {label}").shuffle(of_class)
        n_val, n_test = (max(1, round(share * len(of_class))) if share else 0 for share in (val_share, test_share))
        if n_val + n_test >= len(of_class):
            faults.append(f"class {label!r} has {len(of_class)} videos; {n_val + n_test + 1} are needed to split them")
        splits["val"] += of_class[:n_val]
        splits["test"] += of_class[n_val : n_val + n_test]
        splits["train"] += of_class[n_val + n_test :]
    if faults:
        raise AnnotationError(source, faults)
    command = command_line("spikemba", "train", "--config", out / "config.yaml")
    return _write(out, out.name, out.name, splits, label_names(found), command)


def prepare_video_set(
    name: str, source: Path, out: Path, *, videos: Path | None = None, split: int = 1, drop_faulty: bool = False
) -> PreparedVideos:
    """Check a set's published lists against the videos, and write its splits.

    source: folder of the lists.  videos: of the videos, by default the same.  split: its number, where there are
    several.  drop_faulty: leave out rows with faults, and say which.
    Raises AnnotationError with every faulty row, videos that are not there included; UnknownName.
    """
    about, root = video_set(name), videos or source
    if about.splits and split not in about.splits:
        raise AnnotationError(source, [f"{about.title} has no split {split}; there are {about.splits}"])
    for folder in {source, root}:
        if not folder.is_dir():
            raise AnnotationError(folder, [f"no such folder; {about.title} is at {about.home}"])
    lists = about.read(source, root, split)
    splits, faults = _present(lists)
    if faults and not drop_faulty:
        raise AnnotationError(source, [*faults, "leave these rows out with --drop-faulty"], shown=50)
    if not splits.get("train"):
        raise AnnotationError(source, [f"no training video is there; {about.title} is at {about.home}"])
    if about.hold_out:
        splits["train"], splits["val"] = hold_out(splits["train"], VAL_SHARE, seed=0)
    command = command_line("spikemba", "train", "--dataset", f"videomamba_{name}", "--data", out)
    prepared = _write(out, name, about.title, splits, lists.labels, command)
    prepared.left_out, prepared.notes = faults, _notes(about, lists, splits)
    return prepared


def hold_out(
    videos: Sequence[LabelledVideo], share: float, seed: int
) -> tuple[list[LabelledVideo], list[LabelledVideo]]:
    """Training and held-out videos; all videos of a group go to one side.

    Class by class where no group has videos of two classes.
    """
    groups: dict[str, list[LabelledVideo]] = {}
    for video in videos:
        groups.setdefault(video.group or str(video.path), []).append(video)
    crossing = any(len({video.label for video in of}) > 1 for of in groups.values())
    pools: dict[str, list[list[LabelledVideo]]] = {}
    for of_group in groups.values():
        pools.setdefault("" if crossing else of_group[0].label, []).append(of_group)
    held: set[LabelledVideo] = set()
    for name, pool in sorted(pools.items()):
        random.Random(f"{seed} {name}").shuffle(pool)
        wanted = share * sum(map(len, pool))
        taken = 0
        for of_group in pool[:-1]:  # one group at least stays
            if taken >= wanted:
                break
            held.update(of_group)
            taken += len(of_group)
    return [video for video in videos if video not in held], [video for video in videos if video in held]


def _present(lists: PublishedLists) -> tuple[Splits, list[str]]:
    """The rows whose videos are there, and what is wrong with all others."""
    faults, splits = list(lists.faults), Splits()
    for split, rows in lists.splits.items():
        splits[split] = [video for _, video in rows if video.path.is_file()]
        faults += [f"{place}: there is no {video.path}" for place, video in rows if not video.path.is_file()]
    return {split: videos for split, videos in splits.items() if videos}, faults


def _notes(about: VideoSet, lists: PublishedLists, splits: Mapping[str, Sequence[LabelledVideo]]) -> list[str]:
    notes = []
    if len(lists.labels) != about.n_classes:
        notes.append(f"{len(lists.labels)} classes were found and {about.title} has {about.n_classes}")
    if about.hold_out:
        notes.append(f"no validation split is published; {len(splits['val'])} training videos are held out for it")
    return notes


def _write(out: Path, name: str, title: str, splits: Splits, labels: Sequence[str], command: str) -> PreparedVideos:
    splits = {split: videos for split, videos in splits.items() if videos}
    for split, videos in splits.items():
        write_labelled_videos(out / f"{split}.csv", videos, out)
    write_text(out / "labels.txt", "\n".join(labels) + "\n")
    counts = {split: len(videos) for split, videos in splits.items()}
    return PreparedVideos(out, title, counts, len(labels), _write_config(out, name, counts, command))


def _write_config(out: Path, name: str, splits: Mapping[str, int], command: str) -> Path:
    data: Tree = {split: str(out / f"{split}.csv") for split in splits}
    tree = {"task": "recognition", "name": name, "data": {**data, "labels": str(out / "labels.txt")}}
    path = out / "config.yaml"
    write_text(path, f"# {one_cell(command)}\n" + yaml.safe_dump(tree, sort_keys=False, width=120))
    return path
