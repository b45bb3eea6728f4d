"""Parts of a library's videos that look like a picture, or like a part of a video: clips alone, nothing is grounded.

There is no sentence, so that no checkpoint can say where such a moment begins and ends: around the nearest clip its
neighbours belong to it, as long as they keep half of its rise above the video's mean.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.library.candidates import Candidate, by_ranks, distinct
from pipelines.library.results import CLIPS, LibraryAnswer, LibraryMoment
from pipelines.library.search import SearchSettings, asked_about, clips_of, compared, left_out, near, problems
from pipelines.library.space import search_space
from spikemba.encoders import ClipEncoder, VideoEncoder
from spikemba.encoding.videos import encode_video, what_it_takes
from spikemba.errors import FeaturesMissing, QueryError, VideoError, command_line
from spikemba.features import row_length_s
from spikemba.grounder.grounder import Grounder
from spikemba.library import Library, StoredVideo
from spikemba.library.clip_scores import ClipScores, peaks
from spikemba.progress import Report, silent
from spikemba.tables.fault import TableFault
from spikemba.tables.times import seconds
from spikemba.video.folders import absolute

ONLY_CLIPS = "there is no sentence to ground: these are neighbouring clips that look like it, not moments of a model"


@dataclass(frozen=True)
class VideoPart:
    """A part of a video file."""

    path: Path
    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.path}@{self.start_s:g}-{self.end_s:g}"


def parse_part(text: str) -> VideoPart:
    """`clip.mp4@12-16`, or `clip.mp4@1:02-1:06.5`. Raises QueryError."""
    path, at, times = text.rpartition("@")
    match = re.fullmatch(r"([\d:.]+)-([\d:.]+)", times)
    try:
        if not at or not path or match is None:
            raise ValueError
        start_s, end_s = (seconds(time, "s", ".", None) for time in match.groups())
    except (TableFault, ValueError):
        raise QueryError(f"{text!r} is no part of a video; expected VIDEO@START-END, as in clip.mp4@12-16") from None
    if end_s <= start_s:
        raise QueryError(f"{text!r} ends before it begins; expected VIDEO@START-END, as in clip.mp4@12-16")
    return VideoPart(Path(path), start_s, end_s)


def search_image(
    library: Library, grounder: Grounder, image: Path, settings: SearchSettings | None = None
) -> LibraryAnswer:
    """What looks like a picture. Raises VideoError when it cannot be read, LibraryError as `search` does."""
    space = search_space(library, grounder)
    if not isinstance(space, VideoEncoder):
        takes, part = what_it_takes(space), command_line("spikemba", "search", "--like", "VIDEO@START-END")
        raise QueryError(f"{space.name} takes {takes} and no pictures; ask with a part of a video: `{part}`")
    _must_exist(image)
    (rows,) = encode_video(image, [space], grounder.clip_s).features
    return _search(library, grounder, space, rows.mean(0), str(image), settings or SearchSettings(), None)


def search_like(
    library: Library,
    grounder: Grounder,
    part: VideoPart,
    settings: SearchSettings | None = None,
    report: Report = silent,
) -> LibraryAnswer:
    """What looks like a part of a video, in the library or not; the part itself is left out.

    report: counts the clips of a video that has to be read first.

    Raises QueryError for a part behind the video's end, or without sound where that is compared, VideoError,
    LibraryError as `search` does.
    """
    space = search_space(library, grounder)
    _must_exist(part.path)
    own = _unchanged(library, part.path)
    try:
        encoded = library.features(own, [space.name]) if own else None
    except FeaturesMissing:
        encoded = None
    encoded = encoded or encode_video(part.path, [space], grounder.clip_s, report)
    if part.start_s >= encoded.duration_s:
        raise QueryError(f"{part} begins behind the video's end at {encoded.duration_s:g} s")
    (rows,) = encoded.features
    row_s = row_length_s(len(rows), encoded.duration_s, grounder.clip_s)
    first, last = int(part.start_s / row_s), max(int(np.ceil(part.end_s / row_s)), int(part.start_s / row_s) + 1)
    vector = rows[first:last].mean(0)
    if not vector.any() and not isinstance(space, VideoEncoder):
        raise QueryError(f"{part} has no {what_it_takes(space)}, so nothing is like it; name another part")
    settings = settings or SearchSettings()
    return _search(library, grounder, space, vector, str(part), settings, (own, first, last) if own else None)


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise VideoError(path, "there is no such file")


def _unchanged(library: Library, path: Path) -> StoredVideo | None:
    """The library's video of that path, if the file is still as it was taken in."""
    known = library.video(absolute(path))
    if known is None or known.problem is not None:
        return None
    return known if known.is_as_it_was(path.stat()) else None


def _search(
    library: Library,
    grounder: Grounder,
    space: ClipEncoder,
    vector: np.ndarray,
    asked: str,
    settings: SearchSettings,
    without: tuple[StoredVideo, int, int] | None,
) -> LibraryAnswer:
    """Parts of videos near a vector. without: clips of a video, and of its copies, that were asked with."""
    settings.check(grounder)
    among = asked_about(library, settings)
    plain = near(library, space.name, vector, settings, among)
    found = plain.levelled(settings.level)
    if without is not None:
        found = _without(library, found, *without)
    hits = _hits(library, found, settings.top, among)
    moments = tuple(_moment(plain, *hit) for hit in hits)
    notes = (ONLY_CLIPS, *left_out(library, space), *problems(library, [one for one, *_ in hits]))
    model = f"clips of {space.name}"
    n_videos = compared(library, space, among)
    return LibraryAnswer(asked, moments, "similarity", model, n_videos, notes=notes)


def _moment(plain: ClipScores, one: Candidate, start: int, stop: int) -> LibraryMoment:
    (place,) = np.flatnonzero(plain.videos == one.rows.id)
    row_s, score = float(plain.row_s[place]), float(plain.of(int(place))[start:stop].max())
    end_s = min(stop * row_s, one.rows.duration_s or stop * row_s)
    return LibraryMoment(one.path, start * row_s, end_s, score, None, (CLIPS,), copies=one.paths)


def _hits(
    library: Library, found: ClipScores, top: int, among: Collection[int] | None
) -> list[tuple[Candidate, int, int]]:
    """The nearest parts, as (content, first clip, behind the last): they lie in the videos with the nearest clips."""
    parts: list[tuple[float, Candidate, int, int]] = []
    for one in islice(distinct(library, by_ranks(found), among), top):
        parts += [(score, one, start, stop) for start, stop, score in peaks(clips_of(found, one), top)]
    parts.sort(key=lambda part: -part[0])
    return [(one, start, stop) for _, one, start, stop in parts[:top]]


def _without(library: Library, found: ClipScores, video: StoredVideo, first: int, last: int) -> ClipScores:
    scores = found.scores.copy()
    own = {video.id, *(copy.id for copy in library.copies(video))}
    for place in np.flatnonzero(np.isin(found.videos, list(own))):
        start = int(found.first[place])
        scores[start + first : min(start + last, start + int(found.n_clips[place]))] = -np.inf
    return replace(found, scores=scores)
