"""Markers as a table: the columns that Premiere exports, and what a script needs beside them."""

import csv
import io

from pipelines.timelines.plan import Clip, Mark, Timeline, converted
from pipelines.timelines.references import reference
from spikemba.tables.text import as_text
from spikemba.video.timecode import Timecode

COLUMNS = (
    *("Marker Name", "Description", "In", "Out", "Duration", "Marker Type"),
    *("Source", "Frame Rate", "In Frame", "Duration Frames", "Source In", "Source Out", "Score"),
)


def as_table(timeline: Timeline) -> str:
    """A row per moment. In, Out and Duration are timecodes of the timeline: of markers on one source its own clock;
    In Frame counts from the timeline's first frame; Source In and Source Out are seconds of the file.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in timeline.clips:
        for mark in [clip.moment] if clip.moment else clip.marks:
            writer.writerow(_row(clip, mark, timeline))
    return out.getvalue()


def _row(clip: Clip, mark: Mark, timeline: Timeline) -> list[object]:
    rate = clip.source.rate
    at = clip.at if clip.moment else clip.at + timeline.rate.frame(rate.seconds(mark.start))
    length = clip.length if clip.moment else converted(mark.n_frames, rate, timeline.rate)
    first, lasts = timeline.start.plus(at), Timecode(length, timeline.rate, timeline.start.drop)
    seconds = (rate.seconds(mark.start), rate.seconds(mark.start + mark.n_frames))
    return [
        *(as_text(mark.query), as_text(clip.source.name), first, first.plus(length), lasts, "Comment"),
        *(as_text(reference(clip.source.footage.path, timeline.layout.relative_to)), timeline.rate, at, length),
        *(f"{float(time):.3f}" for time in seconds),
        f"{mark.score:.4f}",
    ]
