"""One library into another, of whatever forms: what is missing there or another here, some videos at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spikemba.errors import FeaturesMissing, LibraryError, command_line
from spikemba.library import Library, StoredVideo
from spikemba.library.address import is_same_place, library_address
from spikemba.library.forms import Form, changing, check_form, check_room, open_library
from spikemba.library.matrix import Half
from spikemba.library.protocol import Writer
from spikemba.library.rows import Text
from spikemba.library.writer import FileState, NewVideo
from spikemba.progress import Report, silent
from spikemba.reading.printable import counted

BATCH_BYTES = 64 << 20
"""Of rows, that one commit takes in, about."""


@dataclass
class Copied:
    """What a copying did, by paths."""

    copied: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    """Those that were there as they are."""
    broken: list[Path] = field(default_factory=list)
    """Those that could not be read, which both libraries know as such; in neither of the others."""


def copy_library(source: Path | str, to: Path | str, *, form: Form | None = None, report: Report = silent) -> Copied:
    """Bring the videos of a library, with rows and texts, into another; what else is there stays.

    Broken off, it goes on where it was. Raises LibraryError, also where rows there were made otherwise and for a folder
    that holds other things; OutputError.
    """
    here, there = library_address(source), library_address(to)
    if is_same_place(here, there):
        raise LibraryError(there, "it is the library itself", "name another with --to")
    if isinstance(here, Path) and isinstance(there, Path) and there.resolve().is_relative_to(here.resolve()):
        raise LibraryError(there, f"it lies in the library that is copied, {here}", "name a folder outside with --to")
    check_room(there)
    form = check_form(there, form or ("lance" if not isinstance(there, Path) else None))
    result = Copied()
    with open_library(here) as library, changing(there, form) as writer:
        _must_be_whole(library)
        for encoder in library.encoders().values():
            writer.add_encoder(encoder.manifest)
        videos = library.videos(broken=True)
        missing = _missing(library, writer, videos)
        todo = [one for one in videos if one.id in missing]
        result.broken = [one.path for one in videos if one.problem is not None]
        result.kept = [one.path for one in videos if one.problem is None and one.id not in missing]
        n_before = len(videos) - len(todo)
        report(n_before, len(videos))
        for batch in _batches(library, todo, missing):
            writer.take_in([new for _, new in batch])
            result.copied += [one.path for one, _ in batch]
            report(n_before + len(result.copied), len(videos))
        for one in todo:
            if one.problem is not None:
                writer.note_problem(_state(one), one.problem)
        _copy_texts(library, writer)
        report(len(videos), len(videos))
    return result


def _must_be_whole(library: Library) -> None:
    """Raises LibraryError: videos without their rows would be copied as if they had none."""
    for name in library.encoders():
        if n := len(library.lacking(name)):
            check = command_line("spikemba", "library", "check", "--library", library.folder)
            problem = f"rows of {name} of {counted(n, 'video', 'videos')} are not there as they were written"
            raise LibraryError(library.folder, problem, f"run `{check}`, which says how to mend it")


def _state(one: StoredVideo) -> FileState:
    return FileState(one.path, one.size, one.mtime_ns, one.digest)


def _encoders_of(library: Library) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    with library.reading() as connection:
        question = "SELECT video, encoders.name FROM runs JOIN encoders ON encoders.id = runs.encoder"
        for video, name in connection.execute(question):
            found.setdefault(video, set()).add(name)
    return found


def _missing(library: Library, writer: Writer, videos: Sequence[StoredVideo]) -> dict[int, set[str]]:
    """Videos that are to be copied -> encoders whose rows are."""
    known, encoders = {one.path: one for one in writer.videos()}, writer.encoders_of_videos()
    here, found = _encoders_of(library), {}
    for one in videos:
        there = known.get(one.path)
        same = there is not None and (_state(there), there.problem) == (_state(one), one.problem)
        lacking = here.get(one.id, set()) - (
            encoders.get(there.id, frozenset()) if there is not None and same else set()
        )
        if not same or lacking:
            found[one.id] = lacking
    return found


def _batches(
    library: Library, videos: Sequence[StoredVideo], missing: dict[int, set[str]]
) -> Iterator[list[tuple[StoredVideo, NewVideo]]]:
    """Videos that could be read, with the rows that are missing there."""
    batch: list[tuple[StoredVideo, NewVideo]] = []
    size = 0
    for one in videos:
        if one.problem is not None or one.duration_s is None:
            continue
        rows: dict[str, Half] = {}
        for name in sorted(missing[one.id]):
            try:
                (stream,) = library.features(one, [name]).features
            except FeaturesMissing:  # dropped meanwhile
                continue
            rows[name] = stream.astype(np.float16)
            size += rows[name].nbytes
        batch.append((one, NewVideo(_state(one), one.duration_s, rows)))
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _copy_texts(library: Library, writer: Writer) -> None:
    """What is written about the videos, where it is not so there."""
    ids = {one.path: one.id for one in writer.videos()}
    paths = {one.id: one.path for one in library.videos()}
    said: dict[tuple[int, str], list[Text]] = {}
    with library.reading() as connection:
        rows = connection.execute("SELECT video, source, start_s, end_s, text FROM texts ORDER BY id").fetchall()
    for video, source, *text in rows:
        if (path := paths.get(video)) in ids:
            said.setdefault((ids[path], source), []).append((text[0], text[1], text[2]))
    there = writer.texts()
    writer.replace_texts({key: texts for key, texts in said.items() if there.get(key, []) != texts})
