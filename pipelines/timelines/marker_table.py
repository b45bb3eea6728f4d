"""Markers as a table: the columns that Premiere exports, and what a script needs beside them."""

import csv
import io

from pipelines.timelines.plan import Timeline, converted

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
        rate = clip.source.rate
        for mark in [clip.moment] if clip.moment else clip.marks:
            offset = 0 if clip.moment else timeline.rate.frame(rate.seconds(mark.start))
            length = clip.length if clip.moment else converted(mark.n_frames, rate, timeline.rate)
            first = timeline.start.plus(clip.at + offset)
            lasts = type(first)(length, first.rate, first.drop)
            seconds = (rate.seconds(mark.start), rate.seconds(mark.start + mark.n_frames))
            writer.writerow(
                [
                    *(mark.query, clip.source.name, first, first.plus(length), lasts, "Comment"),
                    *(clip.source.name, timeline.rate, clip.at + offset, length),
                    *(f"{float(time):.3f}" for time in seconds),
                    f"{mark.score:.4f}",
                ]
            )
    return out.getvalue()
