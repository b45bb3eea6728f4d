"""Times that are not seconds: what they look like, and the seconds that they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from spikemba.datasets.annotations import PredictedRow
from spikemba.errors import UnknownName
from spikemba.moments import Moment
from spikemba.reading.printable import counted

UNITS = ("seconds", "milliseconds", "fractions", "frames")
"""fractions: of the video's duration. frames: counted from 0, at a rate that is given."""
FEW = 3
"""Moments below which nothing is guessed of their unit."""
FAR = 1.5
"""Ends of seconds lie before this many durations."""


def looks_like(rows: Sequence[PredictedRow]) -> str | None:
    """What speaks against times in seconds, in one clause; None where nothing does."""
    ends = [one.end_s for row in rows for one in row.moments]
    if len(ends) < FEW:
        return None
    if max(ends) <= 1:
        return f"all {len(ends)} moments lie between 0 and 1, as fractions of the duration do"
    timed = [(one.end_s, row.duration_s) for row in rows if row.duration_s for one in row.moments]
    past = [(end, duration) for end, duration in timed if end > FAR * duration]
    if len(timed) >= FEW and 2 * len(past) > len(timed):
        end, duration = past[0]
        many = f"{len(past)} of {len(timed)} moments end far behind their video"
        return f"{many}, as {end:g} in {duration:g} s; frames or milliseconds do"
    return None


def in_seconds(
    rows: Sequence[PredictedRow], unit: str, fps: float | Mapping[str, float] = MappingProxyType({})
) -> tuple[list[PredictedRow], list[str]]:
    """The rows with times in seconds, and why it cannot be done, if it cannot.

    unit: of UNITS.  fps: frames per second of all videos, or by name of a video.  Raises UnknownName.
    """
    if unit not in UNITS:
        raise UnknownName("unit of times", unit, UNITS)
    rates = {row.video_id: (fps.get(row.video_id) if isinstance(fps, Mapping) else fps) or 0.0 for row in rows}
    if unit == "frames" and not all(rates.values()):
        return [], ["frames become seconds by their rate; give --fps N, or --videos DIR for the videos' own"]
    if unit == "fractions":
        unknown = [row for row in rows if row.moments and not row.duration_s]
        if unknown:
            said = counted(len(unknown), "row has", "rows have")
            return [], [
                f"{said} no duration, as qid {unknown[0].query_id!r} of video {unknown[0].video_id!r}; fractions become"
                " seconds by it: give --annotations or --videos"
            ]
    return [replace(row, moments=tuple(map(_change(unit, row, rates), row.moments))) for row in rows], []


def _change(unit: str, row: PredictedRow, rates: Mapping[str, float]) -> Callable[[Moment], Moment]:
    duration_s = row.duration_s or 0.0

    def changed(time: float) -> float:
        if unit == "fractions":
            return time * duration_s
        if unit == "frames":
            return time / rates[row.video_id]
        return time / 1000 if unit == "milliseconds" else time

    return lambda one: Moment(changed(one.start_s), changed(one.end_s), one.score)
