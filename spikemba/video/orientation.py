"""How a stored picture is turned and mirrored for display, as ffmpeg does it."""

import math
from typing import Any, NamedTuple

import numpy as np
from av.video.frame import VideoFrame

Filters = tuple[tuple[str, str], ...]
"""Filters of libavfilter: name and options."""


class Orientation(NamedTuple):
    """The part of a display matrix that turns and mirrors: (x, y) of the stored picture is shown at (ax + cy, bx + dy).

    Front cameras mirror, so that an angle alone cannot say it.
    """

    a: int
    b: int
    c: int
    d: int

    @property
    def turn_deg(self) -> int:
        """Clockwise, 0 to 359, mirrors aside."""
        across, down = math.hypot(self.a, self.c), math.hypot(self.b, self.d)
        if not (across and down):
            return 0
        return round(math.degrees(math.atan2(self.b / down, self.a / across))) % 360

    @property
    def swaps_sides(self) -> bool:
        """Whether what is stored wide is shown tall."""
        return self.turn_deg in (90, 270)

    def filters(self) -> Filters:
        """What makes the stored picture upright.

        Source: `insert_rotate_filter` of FFmpeg (fftools/ffmpeg_filter.c), so that both show the same.
        """
        turn = self.turn_deg
        if turn == 90:
            return (("transpose", "cclock_flip" if self.c > 0 else "clock"),)
        if turn == 180:
            mirrored = (("hflip", ""),) if self.a < 0 else ()
            return (*mirrored, ("vflip", "")) if self.d < 0 else mirrored
        if turn == 270:
            return (("transpose", "clock_flip" if self.c < 0 else "cclock"),)
        if turn > 1:  # FFmpeg lets a degree pass
            return (("rotate", f"{turn}*PI/180"),)
        return (("vflip", ""),) if self.d < 0 else ()


UPRIGHT = Orientation(1, 0, 0, 1)


def orientation(frame: VideoFrame) -> Orientation:
    """What the frame's display matrix says; upright where it has none."""
    if not len(frame.side_data):
        return UPRIGHT
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return UPRIGHT
    numbers = np.frombuffer(matrix, np.int32)
    return Orientation(*(int(numbers[k]) for k in (0, 1, 3, 4)))
