"""The time line of a file: when each picture is shown, where the last one ends, which clock a joined part runs by.

Reading, preparing and cutting all take their times from here.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from statistics import median_low

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from spikemba.errors import VideoError
from spikemba.video.decoding import (
    AGAIN,
    FAR_S,
    Join,
    Mark,
    Threads,
    TimedFrame,
    declared_end,
    opened,
    origin_ticks,
    packets_of,
    rate,
    seek_before,
    seekable,
    timed_frames,
)
from spikemba.video.stopping import Stop, going_on, until_stopped

SEEK_MARGIN_S = 1  # containers index decoding times, which run ahead of display times by the decoder's delay
LONGEST_S = 7 * 24 * 3600
"""Of a video; one that is said to be shown for longer has a damaged clock, and no loop may run by it."""
_GAPS = 200  # between so many of the last pictures the typical gap is looked for


def shown_frames(
    container: InputContainer, stream: VideoStream, joins: list[Join] | None = None, mark: Mark | None = None
) -> Iterator[TimedFrame]:
    """The pictures in order, each from its time until the next one's; the last until `end_of_last`.

    What files say of a picture's duration is not to be relied on, and stamps repeat and step back: of pictures that
    would be shown for no time only the last is kept. joins, mark: as for `timed_frames`.
    """
    held: TimedFrame | None = None
    gaps: deque[Fraction] = deque(maxlen=_GAPS)
    for following in timed_frames(container, stream, joins, mark):
        if held is not None and following.start > held.start:
            gaps.append(following.start - held.start)
            yield held._replace(end=following.start)
        elif held is not None:  # shown for as long as the one before was to be
            following = TimedFrame(held.start, held.start + (following.end - following.start), following.frame)
        held = following
    if held is not None:
        yield held._replace(end=end_of_last(held, gaps, declared_end(container, stream)))


def shown_from(
    path: Path,
    threads: Threads,
    needed: Fraction,
    margin: Fraction = Fraction(SEEK_MARGIN_S),
    joins: list[Join] | None = None,
    mark: Mark | None = None,
) -> Iterator[TimedFrame]:
    """The pictures from one that begins before `needed` on (or from the first of all); joins as for `timed_frames`.

    mark: of a file that cannot be sought; what lies before it is not decoded.
    """
    for seek in (True, False) if needed > 2 * margin and mark is None else (False,):
        with opened(path, threads) as (container, stream):
            if seek and not seek_before(container, stream, needed - margin):
                continue
            frames = shown_frames(container, stream, joins, mark)
            first = next(frames, None)
            if seek and (first is None or first.start >= needed):
                continue  # an index that points too far: read from the beginning
            if first is not None:
                for shown in chain((first,), frames):
                    believed(path, shown.end)
                    yield shown
            return


def believed(path: Path, end: Fraction) -> Fraction:
    """The end of a picture, in seconds, as it is. Raises VideoError where no video is so long."""
    if end <= LONGEST_S:
        return end
    said = f"says that a picture is shown until {float(end):.0f} s; expected {LONGEST_S} s (a week) at most"
    raise VideoError(path, f"{said}. Its rate or its times are damaged, {AGAIN}")


def end_of_last(last: TimedFrame, gaps: Sequence[Fraction] | deque[Fraction], declared: Fraction | None) -> Fraction:
    """When the last picture gives way: at the declared end, or else a typical gap after it came.

    last: with the end that the file gives it, often no more than a mean that libav guessed.  gaps: between the pictures
    before it, in seconds.  declared: the end by the container, which may be that of another take, or of a plan.
    """
    own = last.end - last.start
    typical = median_low(gaps) if gaps else own
    if declared is not None and abs(declared - last.end) <= 2 * typical:
        return last.end  # what ffmpeg's `fps` filter takes, too
    likely = last.start + (own if own <= 2 * typical else typical)
    if declared is None or declared <= last.start:
        return likely
    return likely if claims_more(declared, max(likely, last.start + max(gaps, default=own))) else declared


def claims_more(declared: Fraction, end: Fraction) -> bool:
    """Whether a container speaks of so much more than was read that something must be missing."""
    return declared - end > max(Fraction(1), declared / 20)


def measured_end(path: Path, stop: Stop = going_on) -> Fraction:
    """The end of the last picture in seconds, as a pass over the file finds it, without decoding where that serves.

    Raises VideoError when the file cannot be read as a video, Stopped.
    """
    with opened(path, "AUTO") as (container, stream):
        end = _stored_end(container, stream, stop) if seekable(container) else None
    if end is not None:
        return believed(path, end)
    with opened(path, "AUTO") as (container, stream):
        ends = (believed(path, shown.end) for shown in until_stopped(shown_frames(container, stream), stop))
        return max(ends, default=Fraction(0))


def _stored_end(container: InputContainer, stream: VideoStream, stop: Stop) -> Fraction | None:
    """The end by the times that the packets carry; None where a damaged one is among them, which decoding tells."""
    tick, offset = stream.time_base or Fraction(1, av.time_base), origin_ticks(container, stream)
    spans = sorted(until_stopped(_spans(container, stream), stop))
    if not spans:
        return Fraction(0)
    if any((after - before) * tick > FAR_S for (before, _), (after, _) in pairwise(spans)):
        return None
    starts = sorted({start for start, _ in spans})[-_GAPS - 1 :]
    gaps = [(after - before) * tick for before, after in pairwise(starts)]
    start, lasts = (spans[-1][0] - offset) * tick, spans[-1][1] * tick
    guess = 1 / rate(stream) if rate(stream) else Fraction(0)
    last = TimedFrame(start, start + (lasts or guess), None)  # type: ignore[arg-type]  # only its times count
    return end_of_last(last, gaps, declared_end(container, stream))


def _spans(container: InputContainer, stream: VideoStream) -> Iterator[tuple[int, int]]:
    """When each stored picture is shown and for how long, in ticks of the stream, in the order of the file."""
    for packet in packets_of(container, stream):
        if packet.pts is not None and not packet.is_discard:
            yield packet.pts, packet.duration or 0
