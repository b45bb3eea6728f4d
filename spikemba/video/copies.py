"""Cutting by copying packets: as good as the source and quick, but only key frames can begin."""

import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from spikemba.errors import SpikeMbaError, VideoError
from spikemba.video.clock import SEEK_MARGIN_S, measured_end
from spikemba.video.decoding import BROADCAST, broken_clock, opened, origin_ticks, packets_of, seek_before, seekable
from spikemba.video.footage import FileClock
from spikemba.video.parts import Cut, NewFile, Part
from spikemba.video.sampling import exact
from spikemba.video.sound import default_track, tracks_note

_MP4 = {"h264", "hevc", "av1", "vp9", "mpeg4", "aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
_MOV = {
    *("h264", "hevc", "mpeg4", "mjpeg", "mpeg2video", "prores", "dnxhd", "dvvideo", "cfhd", "qtrle", "png"),
    *("aac", "mp3", "ac3", "eac3", "alac"),
}
_OWN = {"asf": ("asf", ".wmv"), "avi": ("avi", ".avi"), "flv": ("flv", ".flv")}
"""Containers of codecs that no other takes."""
_ASKEW_S = 2  # by so much pictures and sound of the same time lie apart in a file, at most
_DELAY = 4  # pictures that are decoded before they are shown; the usual is two
_EXACTLY = "cut it with --cut-mode exact"


class _Timed(NamedTuple):
    """A packet and its times in seconds from the container's start."""

    packet: Any
    shown: Fraction
    decoded: Fraction

    @property
    def end(self) -> Fraction:
        """Until when it is shown or heard."""
        return self.shown + (self.packet.duration or 0) * Fraction(self.packet.time_base)


def copy_part(source: Path, part: Part, clock: FileClock | None = None) -> Cut:
    """Copy the packets from the key frame at or before the start until the end; its times say where it really begins.

    The suffix is that of a container which the codecs are at home in: mp4, else mov, else mkv. Sound is that of the
    default track. A file that cannot be copied so is refused with the reason, in the cut's fault.
    clock: the timecode of the source, which goes on in the copy.
    """
    try:
        return _copied(source, part, clock)
    except SpikeMbaError as error:
        return Cut.failed(part, error)


def _copied(source: Path, part: Part, clock: FileClock | None) -> Cut:
    start, end = exact(part.start_s), exact(part.end_s)
    with opened(source, "NONE") as (container, video):
        sound = default_track(container, video)
        note = tracks_note(container, sound)
        seeks = (True, False) if seekable(container) and start > 2 * SEEK_MARGIN_S else (False,)
        indices = [stream.index for stream in (video, sound) if stream is not None]
    for seek in seeks:
        with opened(source, "NONE") as (container, video):
            if seek and not seek_before(container, video, start - SEEK_MARGIN_S):
                continue
            wanted = [container.streams[index] for index in indices]
            found = _needed(_from_key(_timed(source, container, wanted, end), video, start, end), video, end)
            first = next(found, None)
            if first is not None and not (seek and first.shown > start):
                return _write(source, part, container, wanted, chain([first], found), note, clock)
    raise VideoError(source, f"shows nothing {part}")


def _timed(source: Path, container: Any, streams: list[Stream], end: Fraction) -> Iterator[_Timed]:
    """The packets of the streams with their times. Raises VideoError where they do not say them before `end`."""
    broadcast, last = container.format.name in BROADCAST, None
    origins = {stream.index: origin_ticks(container, stream) for stream in streams}
    guessed: int | None = None
    for packet in packets_of(container, *streams):
        if not packet.size:
            continue
        if packet.pts is None:
            if packet.stream is streams[0]:
                raise VideoError(source, f"does not say when each picture is shown, so none can be copied; {_EXACTLY}")
            continue
        if packet.dts is None and packet.stream is streams[0]:
            # Matroska has no decoding times, and libav finds those of the first pictures too late
            guessed = packet.pts - _DELAY * max(1, packet.duration or 0) if guessed is None else guessed + 1
            packet.dts = guessed
        elif packet.dts is None:
            packet.dts = packet.pts
        tick, origin = Fraction(packet.time_base), origins[packet.stream.index]
        timed = _Timed(packet, (packet.pts - origin) * tick, (packet.dts - origin) * tick)
        if broadcast and packet.stream is streams[0]:
            if last is not None and broken_clock(timed.decoded - last):
                if last >= end:
                    return
                raise VideoError(source, f"has parts with clocks of their own, which cannot be copied; {_EXACTLY}")
            last = timed.decoded
        yield timed


def _from_key(packets: Iterator[_Timed], video: VideoStream, start: Fraction, end: Fraction) -> Iterator[_Timed]:
    """The packets of what is shown and heard from the last key frame at or before `start` until `end`, it first."""
    held: list[_Timed] = []
    key: Fraction | None = None
    settled = False  # once a picture comes after `start`, no later key frame can lie before it
    for timed in packets:
        pictured = timed.packet.stream is video
        if pictured and not settled:
            if timed.packet.is_keyframe and (key is None or timed.shown <= start):
                key = timed.shown
                held = [timed, *(one for one in held if one.packet.stream is not video and one.end > key)]
                settled = key > start
                continue
            settled = key is not None and timed.shown > start
        if timed.decoded >= end + _ASKEW_S:
            break
        if settled and held:
            yield from (one for one in held if key is not None and key <= one.shown and one.decoded < end)
            held = []
        if key is None or timed.shown < key:  # pictures before the key frame lean on what is left out
            held += [] if pictured or settled else [timed]
        elif not settled:
            held.append(timed)
        elif timed.decoded < end:
            yield timed
    # the last picture of a file is on screen until its end
    if held and key is not None and (settled or start < measured_end(Path(video.container.name))):
        yield from (one for one in held if one.shown >= key and one.decoded < end)


def _needed(packets: Iterator[_Timed], video: VideoStream, end: Fraction) -> Iterator[_Timed]:
    """Without the last pictures that are shown from `end` on, on which no other leans."""
    late: list[_Timed] = []
    for timed in packets:
        if timed.packet.stream is video and timed.shown >= end:
            late.append(timed)
            continue
        if timed.packet.stream is video:
            yield from late
            late = []
        yield timed


def _write(
    source: Path,
    part: Part,
    container: InputContainer,
    streams: list[Stream],
    found: Iterator[_Timed],
    note: str,
    clock: FileClock | None,
) -> Cut:
    """The packets into a file that begins with the first of them."""
    first = next(found)
    form, suffix = _container(source, container, streams)
    file, last_end = NewFile(source, part, part.out.with_suffix(suffix), form), first.end
    origins = {stream.index: origin_ticks(container, stream) for stream in streams}
    with file.faults():
        written = {}
        for stream in streams:
            written[stream.index] = file.container.add_stream_from_template(stream, opaque=True)
        if clock is not None and (label := clock.at(first.shown)):
            written[streams[0].index].metadata["timecode"] = label
        decoded: dict[int, int] = {}
        for timed in chain([first], found):
            packet, index = timed.packet, timed.packet.stream.index
            if packet.stream is streams[0]:
                last_end = max(last_end, timed.end)
            back = round(first.shown / Fraction(packet.time_base)) + origins[index]
            dts = max(packet.dts - back, decoded.get(index, packet.dts - back - 1) + 1)  # stamps repeat and step back
            packet.pts, packet.dts, decoded[index] = max(packet.pts - back, dts), dts, dts
            packet.stream = written[index]
            file.container.mux(packet)
    file.finish()
    return Cut(part, file.out, float(first.shown), float(last_end), note)


def _container(source: Path, container: InputContainer, streams: list[Stream]) -> tuple[str, str]:
    """(libav's name, suffix) of a container in which all of the streams are at home."""
    codecs = {stream.codec_context.codec.canonical_name for stream in streams}
    if codecs <= _MP4:
        return "mp4", ".mp4"
    if all(codec in _MOV or codec.startswith("pcm_") for codec in codecs):
        return "mov", ".mov"
    for form, suffix in (("matroska", ".mkv"), _OWN.get(container.format.name, ("", ""))):
        if form and codecs <= _carried_by(form):
            return form, suffix
    raise VideoError(source, f"no other container carries {' and '.join(sorted(codecs))} as it is; {_EXACTLY}")


def _carried_by(form: str) -> set[str]:
    with av.open(io.BytesIO(), "w", format=form) as container:
        return set(container.supported_codecs)
