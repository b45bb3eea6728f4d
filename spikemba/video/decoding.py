"""Opening a video file and decoding its frames with exact times; what is peculiar to one container stands here."""

# Times are seconds from the container's start, as ffmpeg counts them; they are compared as exact fractions, because
# sums of floats pick a neighbouring frame after a few minutes of 29.97 fps.

import gc
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from spikemba.errors import VideoError
from spikemba.video.playlists import PLAYLIST_FORMATS, refuse_playlist

Threads = Literal["AUTO", "NONE"]

_MICROSECOND = Fraction(1, av.time_base)
AGAIN = "copy or download it again"
EXACT_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # each frame carries its own display time
BROADCAST = ("mpegts", "mpeg")  # joined end to end, each part with its own clock
ROUGHLY_SOUGHT = ("mpegts", "avi", "flv")  # libav finds a time nearly
_RUN_UP_S = 1
FAR_S = 30 * 3600
"""A larger step between two pictures is a damaged stamp."""

# A forked process, such as one that loads data, leaves alone what its parent had open: closing it there, FFmpeg would
# wait for ever for threads that only the parent has.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gc.freeze)


class TimedFrame(NamedTuple):
    """A source frame and the time for which it is shown."""

    start: Fraction
    end: Fraction
    frame: VideoFrame


class Join(NamedTuple):
    """Where a part with another clock begins in a broadcast file."""

    position: int
    """Bytes from the file's beginning to the first packet of its pictures."""
    shift: Fraction
    """Seconds added to its stamps, of the pictures and of the sound."""


def opened_raw(path: Path) -> InputContainer:
    """A file as PyAV opens it, whatever its name and its titles hold.  Raises av.FFmpegError."""
    # A relative name with a colon would be taken for a protocol, and before PyAV 19 a title in Latin-1 for an error.
    titles: Any = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    container: InputContainer = av.open(str(path.absolute()), **titles)
    return container


@contextmanager
def opened(path: Path, threads: Threads) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream.  Raises VideoError."""
    head = _head(path)
    foreign = "is not a video that FFmpeg can read; expected MP4, Matroska, WebM, AVI or the like"
    try:
        container = opened_raw(path)
    except av.FFmpegError as error:
        headless = f"is an MP4 without its index; the recording was cut short or damaged, {AGAIN}"
        raise VideoError(path, headless if head[4:8] == b"ftyp" else foreign) from error
    with container:
        if container.format.name == "tty" or PLAYLIST_FORMATS & {
            *container.format.name.split(",")
        }:  # libav plays any text file as a film of its letters
            raise VideoError(path, foreign)
        stream = _best_stream(path, container)
        stream.thread_type = threads
        yield container, stream


def _head(path: Path) -> bytes:
    """The first bytes of a file.  Raises VideoError when there is no file to read."""
    try:
        if path.is_dir():
            raise VideoError(path, "is a folder; expected a video file")
        if path.exists() and not path.is_file():
            raise VideoError(path, "is not a regular file; expected a video file")
        with path.open("rb") as file:
            head = file.read(8)
        refuse_playlist(path)
    except FileNotFoundError as error:
        raise VideoError(path, "no such file; expected a video file") from error
    except OSError as error:
        raise VideoError(path, f"cannot be opened ({error.strerror}); expected a readable video file") from error
    if not head:
        raise VideoError(path, f"is empty (0 bytes); expected a video file, {AGAIN}")
    return head


def _best_stream(path: Path, container: InputContainer) -> VideoStream:
    """libav's choice among the video streams, cover art aside.  Raises VideoError when there is none to decode."""
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos:
        found = ", ".join(sorted({s.type for s in container.streams if s.type != "video"})) or "a picture"
        raise VideoError(path, f"has no video stream, only {found}; expected a video file")
    best = container.streams.best("video")
    stream = next((s for s in videos if s is best), videos[0])
    if stream.codec_context is None:
        raise VideoError(path, "its video codec is not supported; convert it to H.264, HEVC, VP9 or AV1")
    return stream


def rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(0)


def start_of(container: InputContainer) -> Fraction:
    return Fraction(container.start_time or 0, av.time_base)


def origin_ticks(container: InputContainer, stream: Stream) -> int:
    """The container's start on the clock of a stream."""
    # The start is known in microseconds only: in whole ticks, as in ffmpeg, the first frame is at 0 and not at 3e-7.
    return math.floor(start_of(container) / (stream.time_base or _MICROSECOND) + Fraction(1, 2))


def broken_clock(jump: Fraction | int) -> bool:
    """Whether between two pictures of a broadcast file another clock begins, by the lines that ffmpeg draws."""
    return not -0.1 < jump < 10


def declared_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """When the video stream says it ends, in seconds from the container's start; None when it does not say."""
    if container.format.name not in (*EXACT_FORMATS, "avi"):
        return None  # elsewhere libav estimates, from the bit rate if nothing else
    if stream.duration is not None and stream.time_base is not None:
        return ((stream.start_time or 0) + stream.duration) * stream.time_base - start_of(container)
    if container.duration is None:
        return None
    whole = Fraction(container.duration, av.time_base)
    if tag := re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", "")):  # 00:01:02.500000000
        # Held to the file's length: another program may have copied the tag from a longer file.
        whole = min(whole, int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3]))
    elif len(container.streams) > 1:
        return None
    return whole - start_of(container)  # Matroska counts from 0, whenever the first frame comes


def seekable(container: InputContainer) -> bool:
    """Whether a part can be read without what lies before it."""
    # Elsewhere a frame's time depends on the frames before it: a clock restarts, a stamp is missing and guessed.
    return container.format.name in EXACT_FORMATS


def seek_before(container: InputContainer, stream: VideoStream, time: Fraction) -> bool:
    """Move to a key frame at or before `time`; False where that is not possible."""
    if stream.time_base is None or not seekable(container):
        return False
    try:
        container.seek(math.floor((start_of(container) + time) / stream.time_base), stream=stream)
    except av.FFmpegError:
        return False
    return True


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[Any]:
    """The packets of some streams, in the order of the file; damage that the demuxer cannot pass ends them."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, IndexError):  # PyAV trips over streams that appear late
            return
        if packet is None:
            return
        yield packet


class Mark(NamedTuple):
    """A key frame of a file that cannot be sought by its index, as a pass over its packets found it."""

    shown: Fraction
    """Seconds from the container's start."""
    number: int
    """Packets of pictures that lie before it."""
    position: int | None
    """Bytes from the file's beginning to its packet."""


def packets_from(container: InputContainer, stream: VideoStream, mark: Mark | None) -> Iterator[Any]:
    """The packets of a freshly opened file from a key frame on; without one, from the beginning.

    Where libav may find the time is looked at, and left again if the key frame is not met there: what comes is the same
    as after reading on from the beginning.
    """
    if mark is None:
        return packets_of(container, stream)
    if container.format.name in ROUGHLY_SOUGHT and mark.position is not None and mark.shown > _RUN_UP_S:
        with suppress(av.FFmpegError):
            container.seek(math.floor((start_of(container) + mark.shown - _RUN_UP_S) * av.time_base))
            for packet in packets_of(container, stream):
                if packet.pos is None or packet.pos > mark.position:
                    break
                if packet.pos == mark.position:
                    return chain((packet,), packets_of(container, stream))
        rewind(container)
    return islice(packets_of(container, stream), mark.number, None)


def rewind(container: InputContainer) -> None:
    """Go back to the first packet."""
    by_bytes = container.format.name in BROADCAST
    container.seek(0 if by_bytes else container.start_time or 0, unsupported_byte_offset=by_bytes)


def decoded(container: InputContainer, stream: VideoStream, mark: Mark | None = None) -> Iterator[VideoFrame]:
    """Every frame that decodes, in display order. Damaged packets cost their own frames, not the file.

    `opaque` of a broadcast frame is where its packet lies in the file.  mark: where to begin.
    """
    placed = container.format.name in BROADCAST
    stream.codec_context.copy_opaque = placed
    for packet in chain(packets_from(container, stream, mark), (None,)):  # frames may wait in the decoder at the end
        if packet is not None and placed:
            packet.opaque = packet.pos
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            frames = []
        yield from frames


def timed_frames(
    container: InputContainer, stream: VideoStream, joins: list[Join] | None = None, mark: Mark | None = None
) -> Iterator[TimedFrame]:
    """Decoded frames with their times from the container's start. joins: takes up where another clock begins.

    mark: where to begin, in a file of one clock.
    """
    tick, offset = stream.time_base or _MICROSECOND, origin_ticks(container, stream)
    gap = 1 / rate(stream) if rate(stream) else Fraction(0)
    form, shift, last = container.format.name, Fraction(0), None
    for frame in decoded(container, stream, mark):
        stamp = frame.dts if form == "avi" else frame.pts  # AVI has no display times, and libav's guess runs backwards
        due = last.end if last else Fraction(0)
        start = due if stamp is None else (stamp - offset) * tick + shift
        jump = start - last.start if last else 0
        # The same lines as ffmpeg draws: broadcast streams are joined end to end, each with its own clock; and a jump
        # of more than 30 hours is a damaged stamp, which would otherwise be filled with copies of one frame.
        if form in BROADCAST and broken_clock(jump):
            shift, start = shift + due - start, due
            if joins is not None:
                joins.append(Join(frame.opaque if isinstance(frame.opaque, int) else 0, shift))
        elif jump > FAR_S:
            start = due
        last = TimedFrame(start, start + (frame.duration * tick or gap), frame)
        yield last
