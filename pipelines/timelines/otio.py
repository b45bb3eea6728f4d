"""OpenTimelineIO's own form, by its library."""

from typing import TYPE_CHECKING, Any

from pipelines.timelines.plan import Clip, Timeline
from pipelines.timelines.references import reference
from spikemba.errors import PackageMissing
from spikemba.libraries import is_installed, library
from spikemba.video.timecode import EditRate

if TYPE_CHECKING:
    from opentimelineio.opentime import RationalTime, TimeRange


def check_installed() -> None:
    """Raises PackageMissing when OpenTimelineIO is absent."""
    if not is_installed("opentimelineio"):
        raise PackageMissing("opentimelineio", "--format otio", "timelines")


def as_otio(timeline: Timeline) -> str:
    """A track of picture, and one of sound where a source has any.  Raises PackageMissing, LibraryBroken."""
    check_installed()
    with library("opentimelineio"):
        from opentimelineio import adapters, schema

    written = schema.Timeline(timeline.name, global_start_time=_time(timeline.start.frame, timeline.rate))
    for name, kind in (("V1", schema.TrackKind.Video), ("A1", schema.TrackKind.Audio)):
        sound = kind == schema.TrackKind.Audio
        if sound and not timeline.channels:
            continue
        track = schema.Track(name, kind=kind)
        for clip in timeline.clips:
            if sound and not clip.source.footage.channels:
                track.append(schema.Gap(source_range=_range(0, clip.n_frames, clip.source.rate)))
            else:
                track.append(_clip(clip, timeline, marked=not sound))
        written.tracks.append(track)
    return str(adapters.write_to_string(written, "otio_json")) + "\n"


def _clip(clip: Clip, timeline: Timeline, *, marked: bool) -> Any:
    """Times are the source's timecode; sound carries no marks, which would stand there twice."""
    from opentimelineio import schema

    source, origin = clip.source, clip.source.footage.start.frame
    media = schema.ExternalReference(
        reference(source.footage.path, timeline.layout.relative_to), _range(origin, source.n_frames, source.rate)
    )
    media.name = source.name
    written = schema.Clip(clip.name, media, _range(clip.source_timecode.frame, clip.n_frames, source.rate))
    if clip.moment:
        written.metadata["spikemba"] = {"query": clip.moment.query, "score": round(clip.moment.score, 4)}
    for mark in clip.marks if marked else ():
        marker = schema.Marker(mark.words, _range(origin + mark.start, mark.n_frames, source.rate))
        marker.color = schema.MarkerColor.BLUE
        marker.metadata["spikemba"] = {"query": mark.query, "score": round(mark.score, 4)}
        written.markers.append(marker)
    return written


def _time(frames: int, rate: EditRate) -> "RationalTime":
    from opentimelineio.opentime import RationalTime

    return RationalTime(frames, float(rate.fps))


def _range(start: int, n_frames: int, rate: EditRate) -> "TimeRange":
    from opentimelineio.opentime import TimeRange

    return TimeRange(_time(start, rate), _time(n_frames, rate))
