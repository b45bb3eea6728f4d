"""Final Cut Pro's XML. Version 1.8: every later Final Cut reads it, and so do DaVinci Resolve and others."""

from fractions import Fraction
from xml.etree.ElementTree import Element

from pipelines.timelines.plan import Clip, Source, Timeline
from pipelines.timelines.references import reference
from pipelines.timelines.xml_text import child, document
from spikemba.video.timecode import EditRate, Timecode

_AUDIO_RATES = (32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
"""Hertz that a sequence can have; a source may have any."""
_SOURCE_RATES = {"23.976": "23.98", "47.952": "47.95", "59.9401": "59.94"}
"""As Final Cut rounds them."""


def as_fcpxml(timeline: Timeline) -> str:
    """Resources, and a project whose spine holds the clips; a clip holds its marks. Times are whole frames of the
    timeline or of a source, as fractions of a second.
    """
    root = Element("fcpxml", version="1.8")
    resources = child(root, "resources")
    width, height, aspect = _picture(timeline)
    _format(resources, "r1", timeline.rate, width, height, aspect)
    for source in timeline.sources:
        file = source.footage
        _format(resources, _format_of(source), source.rate, file.width, file.height, file.pixel_aspect)
        _asset(resources, source, timeline)
    project = child(child(root, "event", name=timeline.name), "project", name=timeline.name)
    sequence = child(
        project,
        "sequence",
        format="r1",
        duration=_time(timeline.length, timeline.rate),
        tcStart=_time(timeline.start.frame, timeline.rate),
        tcFormat=_count(timeline.start),
    )
    if timeline.channels:
        first = next(source.footage for source in timeline.sources if source.footage.channels)
        layout = {1: "mono", 2: "stereo"}.get(timeline.channels, "surround")
        hertz = first.sample_rate if first.sample_rate in _AUDIO_RATES else 48_000
        sequence.attrib |= {"audioLayout": layout, "audioRate": f"{hertz / 1000:g}k"}
    spine = child(sequence, "spine")
    for clip in timeline.clips:
        _clip(spine, clip, timeline)
    return document(root, "fcpxml")


def _picture(timeline: Timeline) -> tuple[int, int, Fraction]:
    """Size of the timeline: that of its first source."""
    if not timeline.clips:
        return 1920, 1080, Fraction(1)
    first = timeline.clips[0].source.footage
    return first.width, first.height, first.pixel_aspect


def _format(resources: Element, name: str, rate: EditRate, width: int, height: int, aspect: Fraction) -> None:
    made = child(resources, "format", id=name, frameDuration=_time(1, rate), width=width, height=height)
    if aspect != 1:
        made.attrib |= {"paspH": str(aspect.numerator), "paspV": str(aspect.denominator)}


def _asset(resources: Element, source: Source, timeline: Timeline) -> None:
    file = source.footage
    asset = child(
        resources,
        "asset",
        id=_asset_of(source),
        name=source.name,
        src=reference(file.path, timeline.layout.relative_to),
        start=_time(file.start.frame, source.rate),
        duration=_time(source.n_frames, source.rate),
        hasVideo=1,
        format=_format_of(source),
    )
    if file.channels:
        asset.attrib |= {"hasAudio": "1", "audioSources": "1"}
        asset.attrib |= {"audioChannels": str(file.channels), "audioRate": str(file.sample_rate)}


def _clip(spine: Element, clip: Clip, timeline: Timeline) -> None:
    """A note, the rate where it is another's, then the marks: in the order in which the definition lists them."""
    source, start = clip.source, clip.source_timecode
    made = child(
        spine,
        "asset-clip",
        ref=_asset_of(source),
        name=clip.name,
        offset=_time(timeline.start.frame + clip.at, timeline.rate),
        start=_time(start.frame, source.rate),
        duration=_time(clip.length, timeline.rate),
        format=_format_of(source),
        tcFormat=_count(start),
    )
    if source.footage.channels:
        made.attrib["audioRole"] = "dialogue"
    if clip.moment:
        child(made, "note", f"{clip.moment.query} | score {clip.moment.score:.4f} | {source.name}")
    if source.rate != timeline.rate:
        child(made, "conform-rate", scaleEnabled=0, srcFrameRate=_SOURCE_RATES.get(str(source.rate), str(source.rate)))
    for mark in clip.marks:
        child(
            made,
            "marker",
            start=_time(source.footage.start.frame + mark.start, source.rate),
            duration=_time(mark.n_frames, source.rate),
            value=mark.query,
            note=f"score {mark.score:.4f}",
        )


def _format_of(source: Source) -> str:
    return f"r{2 * source.number}"


def _asset_of(source: Source) -> str:
    return f"r{2 * source.number + 1}"


def _time(frames: int, rate: EditRate) -> str:
    """Frames as a fraction of a second: 1001/30000s, 5s."""
    seconds = rate.seconds(frames)
    if seconds.denominator == 1:
        return f"{seconds.numerator}s"
    scale, step = (1000 * rate.base, 1001) if rate.ntsc else (100 * rate.base, 100)
    return f"{frames * step}/{scale}s"


def _count(timecode: Timecode) -> str:
    return "DF" if timecode.drop else "NDF"
