"""The split lists of video classification sets as published: HMDB51, UCF101, SSv2, Kinetics, Breakfast.

Each reader takes the folder of the lists and that of the videos, and gives the splits as published, with the place of
every row, whether or not its video is there.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikemba.datasets.labelled.videos import (
    LabelledVideo,
    is_number,
    label_names,
    path_and_class,
    several_numbers,
    sorted_classes,
)
from spikemba.errors import AnnotationError, UnknownName, VideoError
from spikemba.files import is_file
from spikemba.reading.lines import read_text, split_lines, table_records, table_rows
from spikemba.reading.trees import parse_json
from spikemba.reading.unreadable import Unreadable
from spikemba.video.folders import VIDEO_SUFFIXES, find_videos

Row = tuple[str, LabelledVideo]
"""Place in the lists, as `trainlist01.txt, line 12`, and what stands there."""


@dataclass
class PublishedLists:
    """What the lists of a set say."""

    splits: dict[str, list[Row]]
    """train and, as published, val or test."""
    labels: list[str]
    """In the published order where there is one, else sorted."""
    faults: list[str] = field(default_factory=list)
    """Rows that could not be read, each with its place."""


@dataclass(frozen=True)
class VideoSet:
    """How a published set is laid out."""

    title: str
    home: str
    """Where lists and videos come from."""
    n_classes: int
    splits: tuple[int, ...]
    """Numbers of its splits; empty where there is one only."""
    read: Callable[[Path, Path, int], PublishedLists]
    """(folder of lists, folder of videos, number of the split)."""
    hold_out: bool
    """No validation split is published: a tenth of the training videos chooses the epoch."""


def video_set(name: str) -> VideoSet:
    """The set of that name. Raises UnknownName."""
    if name not in VIDEO_SETS:
        raise UnknownName("video set", name, sorted(VIDEO_SETS))
    return VIDEO_SETS[name]


def read_hmdb51(lists: Path, videos: Path, split: int) -> PublishedLists:
    """`brush_hair_test_split1.txt` and so on: a file name and 1 (train), 2 (test) or 0 (neither) per line."""
    found = PublishedLists({"train": [], "test": []}, [])
    files = sorted(_files(lists, f"*_test_split{split}.txt", f"one per class, as brush_hair_test_split{split}.txt"))
    for path in files:
        label = path.name.removesuffix(f"_test_split{split}.txt")
        found.labels.append(label)
        for place, (name, use) in _videos_listed(path, found.faults):
            if use not in ("0", "1", "2"):
                found.faults.append(f"{place}: {use!r} is neither 1 (train), 2 (test) nor 0")
            elif use != "0":
                # The last number counts the clips of one film; they look alike.
                group = re.sub(r"_\d+\.\w+$", "", name)
                video = LabelledVideo(videos / label / name, label, group=group)
                found.splits["train" if use == "1" else "test"].append((place, video))
    found.labels = sorted_classes(found.labels)  # that of the files puts kick_ball before kick
    return found


def read_ucf101(lists: Path, videos: Path, split: int) -> PublishedLists:
    """classInd.txt, trainlist01.txt (path and number from 1) and testlist01.txt (path)."""
    names = {}
    for _, line in _lines(_file(lists, "classInd.txt")):
        number, *words = re.split(r"[\s,]+", line, maxsplit=1)
        names[number] = "".join(words)
    found = PublishedLists({}, [names[number] for number in sorted_classes(names)])
    for part in ("train", "test"):
        rows = found.splits.setdefault(part, [])
        path = _file(lists, f"{part}list{split:02}.txt")
        for place, (name, number) in _videos_listed(path, found.faults, class_needed=False):
            label = name.partition("/")[0]
            if label not in found.labels or (number and names.get(number) != label):
                found.faults.append(f"{place}: class {number or label!r} is not that of {name} in classInd.txt")
                continue
            group = re.sub(r"_c\d+\.\w+$", "", name)  # clips of one group were filmed by the same people
            rows.append((place, LabelledVideo(videos / name, label, group=group)))
    return found


def read_ssv2(lists: Path, videos: Path, split: int) -> PublishedLists:  # noqa: ARG001
    """something-something-v2-{labels,train,validation}.json, or labels.json and so on; videos are <id>.webm."""
    classes = _file(lists, "something-something-v2-labels.json", "labels.json")
    numbers = _json(classes, dict)
    try:
        found = PublishedLists({}, sorted(numbers, key=lambda label: int(numbers[label])))
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(classes, [f"expected the number of each class ({error})"]) from None
    known = {_plain(label): label for label in found.labels}
    for part, name in {"train": "train", "val": "validation"}.items():
        path = _file(lists, f"something-something-v2-{name}.json", f"{name}.json")
        rows = found.splits.setdefault(part, [])
        for i, entry in enumerate(_json(path, list)):
            place = f"{path.name}, entry {i + 1}"
            template = str(entry.get("template", "")) if isinstance(entry, dict) else ""
            label = known.get(_plain(template))
            if label is None or "id" not in entry:
                found.faults.append(f"{place}: has no id or its template {template!r} is not among the labels")
            else:
                rows.append((place, LabelledVideo(_with_suffix(videos / str(entry["id"]), ".webm"), label)))
    return found


def read_kinetics(lists: Path, videos: Path, split: int) -> PublishedLists:  # noqa: ARG001
    """{train,val,validate,test}.csv with label, youtube_id, time_start, time_end; or with a path and a class.

    Videos are <id>_<start>_<end>.mp4 with six digits each, in a folder per class, per split, or in one.
    """
    found, faults = PublishedLists({}, []), list[str]()
    indexed = {path.stem: path for path in _all_videos(videos)}
    for part, names in {"train": ["train"], "val": ["val", "validate", "validation"], "test": ["test"]}.items():
        candidates = [f"{prefix}{name}.csv" for name in names for prefix in ("", "kinetics_400_", "kinetics400_")]
        path = _file(lists, *candidates) if part == "train" else _file_if_there(lists, *candidates)
        if path is None:
            continue
        rows = list(_kinetics_rows(path, videos, indexed, faults))
        if rows:
            found.splits[part] = rows
    found.labels = _with_gaps(_labels_of(found.splits), VIDEO_SETS["kinetics400"].n_classes)
    found.faults = faults
    return found


def read_breakfast(lists: Path, videos: Path, split: int) -> PublishedLists:  # noqa: ARG001
    """No lists: the activity and the person are in the names (P03_cereals.avi), and persons make the four splits.

    split: the quarter of the persons to test on, 1 (P03 to P15) to 4 (P42 to P54).
    """
    first, last = {1: (3, 15), 2: (16, 28), 3: (29, 41), 4: (42, 54)}[split]
    found = PublishedLists({"train": [], "test": []}, [])
    for path in _all_videos(videos):
        place = str(path.relative_to(videos))
        name = re.fullmatch(r"P(\d+)_([a-z]+)(?:_ch\d+)?", path.stem)
        if name is None:
            found.faults.append(f"{place}: its name says no person and activity; expected one as P03_cereals.avi")
            continue
        part = "test" if first <= int(name[1]) <= last else "train"
        found.splits[part].append((place, LabelledVideo(path, name[2], group=f"P{name[1]}")))
    found.labels = _labels_of(found.splits)
    return found


VIDEO_SETS: Mapping[str, VideoSet] = {
    "hmdb51": VideoSet(
        "HMDB51",
        "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
        51,
        (1, 2, 3),
        read_hmdb51,
        True,
    ),
    "ucf101": VideoSet("UCF101", "https://www.crcv.ucf.edu/data/UCF101.php", 101, (1, 2, 3), read_ucf101, True),
    "ssv2": VideoSet(
        "Something-Something V2",
        "https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
        174,
        (),
        read_ssv2,
        False,
    ),
    "kinetics400": VideoSet(
        "Kinetics-400", "https://github.com/cvdfoundation/kinetics-dataset", 400, (), read_kinetics, False
    ),
    "breakfast": VideoSet(
        "Breakfast",
        "https://serre-lab.clps.brown.edu/resource/breakfast-actions-dataset/",
        10,
        (1, 2, 3, 4),
        read_breakfast,
        True,
    ),
}


def _labels_of(splits: Mapping[str, Sequence[Row]]) -> list[str]:
    return label_names(video for rows in splits.values() for _, video in rows)


def _with_gaps(labels: list[str], n_classes: int) -> list[str]:
    """Classes that are numbers are outputs of the published head, so a class without a video keeps its place."""
    if not labels or not all(is_number(name) and str(int(name)) == name and int(name) < n_classes for name in labels):
        return labels
    return [str(number) for number in range(int(labels[-1]) + 1)]


def _kinetics_rows(path: Path, videos: Path, indexed: Mapping[str, Path], faults: list[str]) -> Iterator[Row]:
    text = _text(path)
    try:
        _, head = next(table_rows(text), (1, list[str]()))
        rows = list(table_records(text)) if "label" in head else []
    except Unreadable as fault:
        raise AnnotationError(path, [str(fault)]) from None
    if "label" not in head:
        for place, (name, label) in _videos_listed(path, faults):
            yield place, LabelledVideo(videos / name, label)
        return
    for i, row in rows:
        try:
            stem = f"{row['youtube_id']}_{int(float(row['time_start'])):06}_{int(float(row['time_end'])):06}"
        except (KeyError, OverflowError, ValueError):
            faults.append(f"{path.name}, line {i}: expected label, youtube_id, time_start and time_end")
            continue
        if label := row["label"]:  # the test split of some releases has none
            yield (
                f"{path.name}, line {i}",
                LabelledVideo(indexed.get(stem, videos / label / f"{stem}.mp4"), label),
            )


def _videos_listed(
    path: Path, faults: list[str], *, class_needed: bool = True
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Place, path and class of each line; the class may be missing where it is not needed, and is empty then."""
    for place, line in _lines(path):
        name, label = path_and_class(line)
        if not name or (class_needed and not label) or several_numbers(label):
            faults.append(f"{place}: {line!r} is not a path and a class; expected as in folder/video.mp4 0")
        else:
            yield place, (name, label)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Place and text of each line that is not empty."""
    for number, line in enumerate(split_lines(_text(path)), start=1):
        if line.strip():
            yield f"{path.name}, line {number}", line.strip()


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise AnnotationError(path, [f"cannot be read ({error.strerror or error})"]) from None
    except Unreadable as fault:
        raise AnnotationError(path, [f"cannot be read: {fault}"]) from None


def _json(path: Path, kind: type) -> Any:
    try:
        tree = parse_json(_text(path))
    except Unreadable as fault:
        raise AnnotationError(path, [f"cannot be read as JSON: {fault}"]) from None
    if not isinstance(tree, kind):
        raise AnnotationError(path, [f"holds a {type(tree).__name__}; expected a {kind.__name__}"])
    return tree


def _files(folder: Path, pattern: str, expected: str) -> list[Path]:
    found = sorted(folder.rglob(pattern)) if folder.is_dir() else []
    if not found:
        raise AnnotationError(folder, [f"no files {pattern} there; expected {expected}"])
    return found


def _file(folder: Path, *names: str) -> Path:
    """The first of the names that is below the folder. Raises AnnotationError."""
    found = _file_if_there(folder, *names)
    if found is None:
        raise AnnotationError(folder, [f"no {' or '.join(names)} there"])
    return found


def _file_if_there(folder: Path, *names: str) -> Path | None:
    for name in names:
        if found := sorted(folder.rglob(name), key=lambda path: (len(path.parts), path)):
            return found[0]
    return None


def _all_videos(folder: Path) -> Iterable[Path]:
    try:
        return find_videos([folder])
    except VideoError:
        return []


def _with_suffix(path: Path, usual: str) -> Path:
    """The file under its usual suffix, or under another one if it was converted."""
    others = (Path(f"{path}{suffix}") for suffix in VIDEO_SUFFIXES)
    usual_path = Path(f"{path}{usual}")
    return usual_path if is_file(usual_path) else next((one for one in others if is_file(one)), usual_path)


def _plain(template: str) -> str:
    """A template without its brackets, as labels.json has it."""
    return template.replace("[", "").replace("]", "").casefold()
