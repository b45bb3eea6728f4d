"""The XML of Final Cut 7 (XMEML), which Premiere, DaVinci Resolve and others read."""

from fractions import Fraction
from xml.etree.ElementTree import Element

from pipelines.timelines.plan import Clip, Mark, Source, Timeline
from pipelines.timelines.references import reference
from pipelines.timelines.xml_text import child, document
from spikemba.video.timecode import EditRate, Timecode


def as_fcp7(timeline: Timeline) -> str:
    """A sequence with a track of picture and one per channel of sound, whose items are linked.

    A moment of a cut is a marker of the sequence, since items bear their source's name. A marker of an item is counted
    from its source's first picture, as its in and out are.
    """
    root = Element("xmeml", version="5")
    sequence = child(root, "sequence", id="sequence-1")
    child(sequence, "name", timeline.name)
    child(sequence, "duration", timeline.length)
    _rate(sequence, timeline.rate)
    _timecode(sequence, timeline.start)
    media = child(sequence, "media")
    video = child(media, "video")
    _sequence_picture(video, timeline)
    audio = child(media, "audio") if timeline.channels else video
    if timeline.channels:
        child(audio, "numOutputChannels", min(2, timeline.channels))
        _sound(child(audio, "format"), timeline.sources)
    described: set[int] = set()
    for channel in range(timeline.channels + 1):
        track = child(audio if channel else video, "track")
        for number, clip in enumerate(timeline.clips, start=1):
            if channel <= clip.source.footage.channels:
                _item(track, number, clip, channel, described, timeline)
    for clip in timeline.clips:
        if clip.moment:
            _marker(sequence, clip.moment, clip.at, clip.length)
    return document(root, "xmeml")


def _sequence_picture(video: Element, timeline: Timeline) -> None:
    characteristics = child(child(video, "format"), "samplecharacteristics")
    _rate(characteristics, timeline.rate)
    if timeline.clips:
        _picture(characteristics, timeline.clips[0].source)


def _item(track: Element, number: int, clip: Clip, channel: int, described: set[int], timeline: Timeline) -> None:
    """A clip on a track: channel 0 is the picture."""
    source = clip.source
    item = child(track, "clipitem", id=_name(number, channel))
    child(item, "masterclipid", f"masterclip-{source.number}")
    child(item, "name", source.name)
    child(item, "enabled", "TRUE")
    child(item, "duration", source.n_frames)
    _rate(item, source.rate)
    child(item, "start", clip.at)
    child(item, "end", clip.at + clip.length)
    child(item, "in", clip.start)
    child(item, "out", clip.start + clip.n_frames)
    _file(item, source, timeline, whole=source.number not in described)
    described.add(source.number)
    if channel:
        track_of_source = child(item, "sourcetrack")
        child(track_of_source, "mediatype", "audio")
        child(track_of_source, "trackindex", source.footage.first_channel + channel)
    for other in range(source.footage.channels + 1) if source.footage.channels else ():
        link = child(item, "link")
        child(link, "linkclipref", _name(number, other))
        child(link, "mediatype", "audio" if other else "video")
        child(link, "trackindex", other or 1)
        child(link, "clipindex", _index_on_track(number, other, timeline))
    if clip.moment:
        child(child(item, "comments"), "mastercomment1", clip.moment.words)
    for mark in clip.marks if not channel else ():
        _marker(item, mark, mark.start, mark.n_frames)


def _marker(parent: Element, mark: Mark, start: int, n_frames: int) -> None:
    marker = child(parent, "marker")
    child(marker, "comment", f"score {mark.score:.4f}")
    child(marker, "name", mark.query)
    child(marker, "in", start)
    child(marker, "out", start + n_frames)


def _file(item: Element, source: Source, timeline: Timeline, *, whole: bool) -> None:
    """The source, in full where it comes first."""
    file = child(item, "file", id=f"file-{source.number}")
    if not whole:
        return
    child(file, "name", source.name)
    child(file, "pathurl", reference(source.footage.path, timeline.layout.relative_to))
    _rate(file, source.rate)
    child(file, "duration", source.n_frames)
    _timecode(file, source.footage.start)
    media = child(file, "media")
    characteristics = child(child(media, "video"), "samplecharacteristics")
    _rate(characteristics, source.rate)
    _picture(characteristics, source)
    if source.footage.channels:
        audio = child(media, "audio")
        _sound(audio, [source])
        child(audio, "channelcount", source.footage.channels)


def _picture(characteristics: Element, source: Source) -> None:
    child(characteristics, "width", source.footage.width)
    child(characteristics, "height", source.footage.height)
    child(characteristics, "anamorphic", "FALSE")
    if source.footage.pixel_aspect == Fraction(1):
        child(characteristics, "pixelaspectratio", "square")


def _sound(parent: Element, sources: list[Source]) -> None:
    characteristics = child(parent, "samplecharacteristics")
    child(characteristics, "depth", 16)
    child(characteristics, "samplerate", next(s.footage.sample_rate for s in sources if s.footage.channels))


def _rate(parent: Element, rate: EditRate) -> None:
    element = child(parent, "rate")
    child(element, "timebase", rate.base)
    child(element, "ntsc", "TRUE" if rate.ntsc else "FALSE")


def _timecode(parent: Element, timecode: Timecode) -> None:
    element = child(parent, "timecode")
    _rate(element, timecode.rate)
    child(element, "string", timecode)
    child(element, "frame", timecode.frame)
    child(element, "displayformat", "DF" if timecode.drop else "NDF")


def _name(number: int, channel: int) -> str:
    return f"clipitem-{number}-{'a' if channel else 'v'}{channel or 1}"


def _index_on_track(number: int, channel: int, timeline: Timeline) -> int:
    """Which item of its track it is, from 1: a track of sound passes over clips that lack its channel."""
    return sum(channel <= clip.source.footage.channels for clip in timeline.clips[:number])
