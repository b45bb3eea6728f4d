"""Which files people's corrections are about: the same for the page that shows them and for what is trained on them.

A row names a video as it was called when the row was written; other files may have come, gone or changed since. What is
shown or taught as another video's would be wrong, so a row whose file is not certain is left out with the reason.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spikemba.datasets.corrections import Correction, Placed, latest
from spikemba.datasets.custom import SLACK_S, Durations, RowFault
from spikemba.datasets.video_names import NamedVideos, VideoNotFound

Found = list[tuple[Placed, Path]]
"""Corrections with the files that they are about."""


def with_videos(rows: Sequence[Placed], named: NamedVideos, durations: Durations) -> tuple[Found, list[str]]:
    """The last row of each person about each file and query, with the file; and why others are left out.

    Rows of one file count together, whatever it was called when they were written.
    """
    videos: dict[tuple[Path, int], Path] = {}
    placed, faults = list[Placed](), list[str]()
    for row in latest(rows):
        try:
            videos[row.path, row.line] = video_of(row, named, durations)
            placed.append(row)
        except (RowFault, VideoNotFound) as fault:
            faults.append(f"{row.place}: {fault}")
    own = {(row.path, row.line): row for row in placed}
    by_file = [
        replace(row, correction=replace(row.correction, video_id=str(videos[place]))) for place, row in own.items()
    ]
    return [(own[row.path, row.line], videos[row.path, row.line]) for row in latest(by_file)], faults


def video_of(row: Placed, named: NamedVideos, durations: Durations) -> Path:
    """The file that a row is about. Raises VideoNotFound, RowFault.

    A row may be older than other files of the name that it gives: of several the one is meant that is as long.
    """
    one = row.correction
    try:
        video = _as_it_was_called(one, named, durations) or named.of_id(one.video_id)
    except VideoNotFound as fault:
        raise VideoNotFound(
            f"{fault}; --videos must be the folder that was served; if the file was renamed or moved, call it so "
            'again, or write its new name as the "vid" of the row'
        ) from None
    seen = durations.of(video)
    if abs(seen - one.duration_s) > SLACK_S:
        raise RowFault(
            f"is about a video {one.video_id!r} of {one.duration_s:g} s, and {video} lasts {seen:g} s: it is another "
            "video, or was cut since; give the folder that was served as --videos, or write the right name as the "
            '"vid" of the row'
        )
    if alike := _as_long(named.that_end_so(one.video_id), video, seen, durations):
        raise RowFault(
            f"video {one.video_id!r} could be {video} or {alike[0]}, which is as long; write more of its path as the "
            '"vid" of the row, with the name of the --videos folder where that takes it'
        )
    if late := [window for window in one.windows or () if window.start_s >= seen]:
        raise RowFault(f"the window begins at {late[0].start_s:g} s, where {video} ends")
    return video


def _as_it_was_called(said: Correction, named: NamedVideos, durations: Durations) -> Path | None:
    """The only file below the folder that is as long, of several that have the name; None where that tells nothing."""
    if named.has_id(said.video_id) or len(alike := named.that_end_so(said.video_id)) < 2:
        return None
    fits = [video for video in alike if _lasts(video, said.duration_s, durations)]
    return fits[0] if len(fits) == 1 else None


def _lasts(video: Path, duration_s: float, durations: Durations) -> bool:
    """Whether a file is as long; not where it cannot be read, for then it was never corrected."""
    try:
        return abs(durations.of(video) - duration_s) <= SLACK_S
    except RowFault:
        return False


def _as_long(videos: Sequence[Path], video: Path, duration_s: float, durations: Durations) -> list[Path]:
    """Other files of that name that the row could be about: it may be older than one of them, which changed the ids."""
    others = []
    for other in videos:
        try:
            if not other.samefile(video) and _lasts(other, duration_s, durations):
                others.append(other)
        except OSError:
            continue
    return others
