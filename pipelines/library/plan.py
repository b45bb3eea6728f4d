"""What is to be done so that a library agrees with the videos that are there now; nothing is changed here."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.library.incoming import key_of
from pipelines.shards import Shard
from spikemba.errors import LibraryError, VideoError, command_line
from spikemba.library.address import Address
from spikemba.library.digest import file_digest
from spikemba.library.rows import StoredVideo
from spikemba.library.writer import FileState
from spikemba.video.folders import absolute, search


@dataclass(frozen=True)
class Known:
    """What a library holds."""

    videos: Sequence[StoredVideo]
    encoders: Mapping[int, frozenset[str]]
    """Video's id -> encoders that it has rows of."""


Task = tuple[FileState, tuple[str, ...]]
"""A video, and the encoders that it lacks."""


@dataclass
class Plan:
    """What is to be done, video by video; each stands in one of the lists."""

    encoders: tuple[str, ...]
    kept: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    """Not tried: known to be broken, or out of reach."""
    moved: list[tuple[StoredVideo, FileState]] = field(default_factory=list)
    touched: list[tuple[StoredVideo, FileState]] = field(default_factory=list)
    """The same file at the same place, with another time."""
    copies: list[tuple[Path, FileState]] = field(default_factory=list)
    """Copies of videos at these paths, which are in the library or are to be encoded."""
    todo: dict[str, Task] = field(default_factory=dict)
    """By `key_of`."""
    gone: list[StoredVideo] = field(default_factory=list)
    unreachable: list[StoredVideo] = field(default_factory=list)
    """Not found, but perhaps there: their disk or folder cannot be read now."""


def look_for(inputs: Sequence[Path], known: Sequence[Path], folder: Address) -> list[Path]:
    """Absolute paths of the videos among `inputs`. Raises VideoError as `search` does.

    Raises LibraryError when an input that the library has videos below is missing, cannot be read, or has none.
    """
    found = []
    for path in inputs:
        try:
            found += [absolute(one.path) for one in search([path])]
        except VideoError as error:
            below = sum(one == absolute(path) or absolute(path) in one.parents for one in known)
            if not below:
                raise
            drop = command_line("spikemba", "library", "drop", "--below", path, "--library", folder)
            cure = f"nothing was changed: mount its disk; where they are gone for good, run `{drop}`"
            problem = f"{str(error).partition('; expected')[0]}, but {below} of its videos are in the library"
            raise LibraryError(folder, problem, cure) from None
    return list(dict.fromkeys(found))


def make_plan(
    paths: Sequence[Path], inputs: Sequence[Path], known: Known, encoders: Sequence[str], shard: Shard, *, retry: bool
) -> Plan:
    """Compare the videos at `paths`, this process's of them, with what is known."""
    plan, by_path = Plan(tuple(encoders)), {one.path: one for one in known.videos}
    by_digest: dict[str, list[StoredVideo]] = {}
    for one in known.videos:
        by_digest.setdefault(one.digest, []).append(one)
    chosen: dict[str, Path] = {}  # digest -> the video that is encoded, of several equal ones
    taken: set[int] = set()
    for path in paths:
        if not shard.owns(str(path)):
            continue
        row = by_path.get(path)
        try:
            status = path.stat()
            key = key_of(path, status.st_size, status.st_mtime_ns)
            same = row is not None and row.is_as_it_was(status)
            digest = row.digest if row is not None and same else file_digest(path)
        except OSError as error:
            plan.failed[path] = f"{path}: cannot be opened ({(error.strerror or str(error)).lower()})"
            continue
        state = FileState(path, status.st_size, status.st_mtime_ns, digest)
        if row is None or row.digest != digest or (row.problem is not None and not same):
            equal = by_digest.get(digest, [])
            row = next((one for one in equal if one.id not in taken and _is_gone(one.path)), None)
            if row is not None:
                taken.add(row.id)
                plan.moved.append((row, state))
            elif copied := next((one for one in equal if one.problem is None and known.encoders.get(one.id)), None):
                plan.copies.append((copied.path, state))
                continue
            elif digest in chosen:
                plan.copies.append((chosen[digest], state))
                continue
        elif not same:
            plan.touched.append((row, state))
        _choose(plan, row, state, key, known, encoders, retry=retry)
        if key in plan.todo:
            chosen.setdefault(digest, path)
    _look_for_the_missing(plan, paths, inputs, known.videos, taken)
    return plan


def _choose(
    plan: Plan,
    row: StoredVideo | None,
    state: FileState,
    key: str,
    known: Known,
    encoders: Sequence[str],
    *,
    retry: bool,
) -> None:
    """Whether a video that the library knows, or not, is to be encoded."""
    there = known.encoders.get(row.id, frozenset()) if row is not None else frozenset()
    missing = tuple(name for name in encoders if name not in there)
    if row is not None and row.problem is not None and not retry:
        plan.failed[state.path] = f"{row.problem} (it failed before; --retry-failed tries it again)"
    elif missing:
        plan.todo[key] = state, missing
    else:
        plan.kept.append(state.path)


def _look_for_the_missing(
    plan: Plan, paths: Sequence[Path], inputs: Sequence[Path], videos: Sequence[StoredVideo], moved: Collection[int]
) -> None:
    """What the library has below the inputs and was not found."""
    found, places = set(paths), [absolute(path) for path in inputs]
    for one in videos:
        if one.id in moved or one.path in found or not any(place in one.path.parents for place in places):
            continue
        if _is_gone(one.path):
            plan.gone.append(one)
        elif not os.path.lexists(one.path) or not one.path.exists():
            plan.unreachable.append(one)


def _is_gone(path: Path) -> bool:
    """Whether a file is no longer there, as far as can be told from a disk that may not be mounted.

    It is not gone when the file system answers anything else, when a link on its way leads nowhere, and when the folder
    that it would be in has nothing at all in it, as the place of an unmounted disk.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError):
        return False
    else:
        return False
    if path.is_symlink():
        return False
    for above in path.parents:
        if above.is_symlink() and not above.exists():
            return False
        if above.is_dir():
            try:
                with os.scandir(above) as entries:
                    return next(entries, None) is not None
            except OSError:
                return False
    return False
