"""CMX 3600 edit lists, and the list of markers that DaVinci Resolve reads."""

from pipelines.timelines.plan import Clip, Mark, Timeline, converted
from pipelines.timelines.references import reference
from spikemba.video.timecode import Timecode


def as_edl(timeline: Timeline) -> str:
    """The clips as events, or each mark as an event of one frame with Resolve's comment.

    A list counts at one rate, the timeline's; so do the timecodes of a source of another rate, from the second of its
    first picture on. The rate stands in the comments of the first event, since readers take none before it; of markers,
    whose comments are Resolve's, in the title.
    """
    marked = timeline.layout.shape == "markers"
    title = f"{timeline.name} ({timeline.rate} fps)" if marked else timeline.name
    lines = [f"TITLE: {title}", f"FCM: {_count(timeline.start)}"]
    parts = [(clip, mark) for clip in timeline.clips for mark in ([clip.moment] if clip.moment else clip.marks)]
    counted = timeline.start.drop
    for number, (clip, mark) in enumerate(parts, start=1):
        first = _source_timecode(clip, mark.start, timeline)
        lines.append("")
        if first.drop != counted:
            counted = first.drop
            lines.append(f"FCM: {_count(first)}")
        lines += (_cut if clip.moment else _marker)(number, clip, mark, first, timeline)
        if number == 1 and not marked:
            lines.append(f"* FRAME RATE: {timeline.rate}")
    return "\n".join(lines) + "\n"


def _cut(number: int, clip: Clip, moment: Mark, first: Timecode, timeline: Timeline) -> list[str]:
    tracks = {0: "V", 1: "B"}.get(clip.source.footage.channels, "AA/V")
    event = _event(number, tracks, first, timeline.start.plus(clip.at), clip.length)
    address = reference(clip.source.footage.path, timeline.layout.relative_to)
    named = [f"* FROM CLIP NAME: {clip.source.name}", f"* FROM CLIP: {address}"]
    return [event, *named, f"* COMMENT: {moment.words}"]


def _marker(number: int, clip: Clip, mark: Mark, first: Timecode, timeline: Timeline) -> list[str]:
    source = clip.source.rate
    at = timeline.start.plus(clip.at + timeline.rate.frame(source.seconds(mark.start)))
    words = mark.words.replace("|", "/")  # which ends a field
    lasts = converted(mark.n_frames, source, timeline.rate)
    return [_event(number, "V", first, at, 1), f" |C:ResolveColorBlue |M:{words} |D:{lasts}"]


def _event(number: int, tracks: str, first: Timecode, at: Timecode, length: int) -> str:
    codes = (first, first.plus(length), at, at.plus(length))
    return f"{number:03d}  AX       {tracks:<5} C        {' '.join(map(str, codes))}"


def _source_timecode(clip: Clip, frame: int, timeline: Timeline) -> Timecode:
    """Of a frame of the source, counted as the list counts."""
    own = clip.source.footage.start
    if own.rate == timeline.rate:
        return own.plus(frame)
    return own.at_rate(timeline.rate, drop=timeline.start.drop).plus(timeline.rate.frame(own.rate.seconds(frame)))


def _count(timecode: Timecode) -> str:
    return "DROP FRAME" if timecode.drop else "NON-DROP FRAME"
