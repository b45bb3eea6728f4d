"""Videos with a class each: a folder per class, or a list in a file. Needs no torch.

video,label,start,end           the form that `spikemba prepare` writes; start and end, in seconds, are optional
brush_hair/a.mp4,brush_hair,,

brush_hair/a.mp4 0              the form in which many lists are passed on: a path and a class, no first line
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikemba.errors import AnnotationError
from spikemba.files import is_file, write_text
from spikemba.reading.lines import read_lines, read_text, split_lines, table_records, table_rows
from spikemba.reading.unreadable import Unreadable
from spikemba.video.folders import VIDEO_SUFFIXES, find_videos

_ENDINGS = "|".join(map(re.escape, VIDEO_SUFFIXES))
_VIDEO_FIRST = re.compile(rf"(?P<path>.+(?:{_ENDINGS}))(?:\s*[,;\t]\s*|\s+)(?P<label>\S.*)", re.IGNORECASE)

COLUMNS = ("video", "label", "start", "end")


@dataclass(frozen=True)
class LabelledVideo:
    """A video, or a part of one, and its class."""

    path: Path
    label: str
    start_s: float = 0.0
    end_s: float | None = None
    """None: to the end."""
    group: str = ""
    """Equal for videos that were cut from one source or show one person; they go to one side of a split."""


def read_labelled_videos(source: Path, videos: Path | None = None) -> list[LabelledVideo]:
    """The videos of a folder with a folder per class, or of a list.

    videos: where the paths of a list begin; by default beside it.
    Raises AnnotationError that names every line with a fault, files that are not there included.
    """
    if source.is_dir():
        return _of_folders(source)
    root = videos or source.parent
    found: list[LabelledVideo] = []
    faults: list[str] = []
    seen: dict[tuple[Path, float], int] = {}
    for line, cells in _rows(source):
        try:
            video = _parse(cells, root)
        except ValueError as fault:
            faults.append(f"line {line}: {fault}")
            continue
        first = seen.setdefault((video.path, video.start_s), line)
        if first != line:
            faults.append(f"line {line}: {cells[0]} stands in line {first} already")
        found.append(video)
    if not found and not faults:
        faults.append(f"no rows; expected columns {', '.join(COLUMNS[:2])}")
    if faults:
        raise AnnotationError(source, faults)
    return found


def write_labelled_videos(path: Path, videos: Sequence[LabelledVideo], root: Path) -> None:
    """Write a list with paths from `root` where they lie below it. Raises OutputError."""
    lines = [",".join(COLUMNS)]
    for video in videos:
        place = video.path.relative_to(root) if video.path.is_relative_to(root) else video.path.absolute()
        window = (f"{video.start_s:g}" if video.start_s else "", "" if video.end_s is None else f"{video.end_s:g}")
        lines.append(",".join(map(_quoted, (place.as_posix(), video.label, *window))))
    write_text(path, "\n".join(lines) + "\n")


def read_labels(path: Path) -> list[str]:
    """Class names, one per line, in the order of the network's outputs. Raises AnnotationError."""
    try:
        lines = [line.strip() for line in read_lines(path)]
    except OSError as error:
        raise AnnotationError(path, [f"cannot be read: {error.strerror}; expected a class per line"]) from None
    except Unreadable as fault:
        raise AnnotationError(path, [f"cannot be read: {fault}; expected a class per line"]) from None
    names = [line for line in lines if line]
    faults = [f"line {i + 1}: {name!r} is there already" for i, name in enumerate(names) if name in names[:i]]
    if faults or not names:
        raise AnnotationError(path, faults or ["is empty; expected a class per line"])
    return names


def label_names(videos: Iterable[LabelledVideo]) -> list[str]:
    """The classes of some videos, in the one order that classes have here."""
    return sorted_classes(video.label for video in videos)


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Each name once, sorted; numbers first and by their value, 2 before 10."""
    return sorted(set(names), key=lambda name: (0, int(name), name) if is_number(name) else (1, 0, name))


def is_number(name: str) -> bool:
    """Whether a class is named by a whole number."""
    return name.isascii() and name.isdecimal() and len(name) < 10


def path_and_class(line: str) -> tuple[str, str]:
    """The two cells of a line such as `run/a b.mp4 0` or `a.mp4,riding a bike`; empty where one is not there.

    The path ends with the ending of a video, so that it and the class may hold spaces and commas; where there is no
    such ending, at the last comma, tab or space. What stands in quotes is a cell.
    """
    line = line.strip()
    if line.startswith('"'):
        _, cells = next(table_rows(line))
        return (cells[0].strip(), ",".join(cells[1:]).strip())
    if found := _VIDEO_FIRST.fullmatch(line):
        label = found["label"]
        return found["path"].strip(), next(table_rows(label))[1][0] if label.startswith('"') else label
    if line.lower().endswith(VIDEO_SUFFIXES):
        return line, ""
    mark = next((mark for mark in (",", "\t", " ") if mark in line), None)
    path, _, label = line.rpartition(mark) if mark else (line, "", "")
    return path.strip(), label.strip()


def numbered(videos: Sequence[LabelledVideo], labels: Sequence[str], source: Path) -> list[int]:
    """The number of each video's class; a number that is no class's name counts the classes from 0.

    Raises AnnotationError for classes that are not among the labels.
    """
    places = {name: i for i, name in enumerate(labels)}
    numbers = [places.get(video.label, int(video.label) if is_number(video.label) else -1) for video in videos]
    unknown = sorted({video.label for video, n in zip(videos, numbers, strict=True) if not 0 <= n < len(labels)})
    if unknown:
        known = f"{len(labels)} classes are known: {', '.join(labels[:5])}{' ...' if len(labels) > 5 else ''}"
        raise AnnotationError(source, [f"no class is called {name!r}; {known}" for name in unknown])
    return numbers


def _of_folders(source: Path) -> list[LabelledVideo]:
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise AnnotationError(source, ["holds no folders; expected one per class, with its videos"])
    return [LabelledVideo(video, folder.name) for folder in folders for video in find_videos([folder])]


def _rows(source: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line: video, label, start, end."""
    try:
        text = read_text(source)
        _, head = next(table_rows(text), (1, list[str]()))
        if "video" in head and "label" in head:
            for number, row in table_records(text):
                yield number, [row.get(name, "").strip() for name in COLUMNS]
            return
        for number, line in enumerate(split_lines(text), start=1):
            if line.strip():
                yield number, [*path_and_class(line), "", ""]
    except OSError as error:
        raise AnnotationError(source, [(error.strerror or str(error)).lower()]) from None
    except Unreadable as fault:
        raise AnnotationError(source, [f"{fault}; expected a list of videos and classes"]) from None


def _parse(cells: Sequence[str], root: Path) -> LabelledVideo:
    """Raises ValueError that says what is wrong."""
    name, label, start, end = cells
    if not name or not label:
        raise ValueError(f"has no {'video' if not name else 'label'}; expected a path and a class")
    if several_numbers(label):
        raise ValueError(f"has {label!r} behind {name}; expected one class")
    path = root / name
    if not is_file(path):
        raise ValueError(f"there is no {path}")
    start_s = _seconds(start, "start") or 0.0
    end_s = _seconds(end, "end")
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise ValueError(f"start {start or 0} and end {end} are not a window; expected 0 <= start < end, in seconds")
    return LabelledVideo(path, label, start_s, end_s)


def several_numbers(label: str) -> bool:
    """Whether what stands where a class should is more than one number, as in lists of several classes or of times."""
    words = label.replace(",", " ").split()
    return len(words) > 1 and all(re.fullmatch(r"-?[0-9.]+", word) for word in words)


def _seconds(cell: str, name: str) -> float | None:
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {cell!r}; expected a number of seconds")
    return number


def _quoted(cell: str) -> str:
    """A cell as CSV has it."""
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell
