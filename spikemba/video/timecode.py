"""Edit rates and timecodes: how editors count the pictures of a file."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

BASES = (24, 25, 30, 50, 60)
"""Frames per second of timecode that every editor knows; 48 is taken where a file has it."""
_LIKE = Fraction(2, 10_000)
"""How far a measured rate may lie from a known one, as 23.98 does; 30 and 29.97 lie five times as far apart."""
_LABEL = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})([:;.,])(\d{1,3})")


@dataclass(frozen=True)
class EditRate:
    """The rate at which a timeline or a source is counted."""

    base: int
    """Frames per second of timecode."""
    ntsc: bool = False
    """Whether a second of timecode lasts 1.001 s: 23.976, 29.97, 59.94. Elsewhere it is a second."""

    @property
    def fps(self) -> Fraction:
        """Frames per second."""
        return self.base * (Fraction(1000, 1001) if self.ntsc else Fraction(1))

    @property
    def counts_drop(self) -> bool:
        """Whether there is a drop-frame count of it: of 29.97 and 59.94, and of no other."""
        return self.ntsc and self.base % 30 == 0

    def frame(self, seconds: float | Fraction) -> int:
        """The frame that begins nearest to a time; halves go up."""
        return math.floor(Fraction(seconds) * self.fps + Fraction(1, 2))

    def seconds(self, frame: int) -> Fraction:
        """When a frame begins."""
        return frame / self.fps

    def __str__(self) -> str:
        return f"{float(self.fps):.6g}"


def edit_rate(measured: Sequence[Fraction]) -> EditRate:
    """How editors count a file of these rates: what it says of itself, the average first.

    A rate that editors know, or that divides or is a multiple of one, is counted exactly: 12.5 as 25, 15 as 30, 119.88
    as 59.94. For all others, and for variable rates, the next known base above the average stands: a time is then its
    seconds times the base, so that nothing drifts.
    """
    rates = [rate for rate in measured if rate > 0]
    for rate in rates:
        if known := _known(rate):
            return known
    average = rates[0] if rates else Fraction(25)
    return EditRate(next((base for base in BASES if base >= average), BASES[-1]))


def own_count(measured: Sequence[Fraction]) -> EditRate:
    """How a file's own timecode counts: every picture, also of files that a timeline counts otherwise, as 15 or 120."""
    rate = edit_rate(measured)
    whole = measured[0] * (rate.base / rate.fps)
    return EditRate(round(whole), rate.ntsc) if _divides(Fraction(1), whole) else rate


def _known(rate: Fraction) -> EditRate | None:
    """The rate itself, a multiple of it, or a divisor when it is faster than editors count."""
    for ntsc in (True, False):
        whole = rate * (Fraction(1001, 1000) if ntsc else 1)
        if abs(whole - 48) <= 48 * _LIKE:
            return EditRate(48, ntsc)
        most = 8 if ntsc else 1000  # a show of slides comes near to any rate
        slow = (base for base in BASES if _divides(whole, Fraction(base)) and base <= most * whole)
        fast = (base for base in reversed(BASES) if whole > BASES[-1] and _divides(Fraction(base), whole))
        if base := next(slow, None) or next(fast, None):
            return EditRate(base, ntsc)
    return None


def _divides(small: Fraction, large: Fraction) -> bool:
    """Whether the quotient is whole, as far as measured rates go."""
    times = large / small
    return round(times) >= 1 and abs(times - round(times)) <= times * _LIKE


@dataclass(frozen=True)
class Timecode:
    """A frame by its number, and how that number is written."""

    frame: int
    """Frames since 00:00:00:00, without the numbers that a drop-frame count leaves out."""
    rate: EditRate
    drop: bool = False
    """Whether numbers are left out, so that the clock keeps to the time of day: two at each minute but every tenth."""

    def __post_init__(self) -> None:
        if self.drop and not self.rate.counts_drop:
            raise ValueError(f"there is no drop-frame count of {self.rate} fps")

    @classmethod
    def read(cls, label: str, rate: EditRate) -> "Timecode | None":
        """01:00:00:00, or with `;` or `.` before the frames where it is drop frame; None for what is no timecode.

        A drop-frame label at a rate that has no such count is taken as it is written.
        """
        found = _LABEL.fullmatch(label.strip())
        if not found:
            return None
        hours, minutes, seconds, frames = (int(found[k]) for k in (1, 2, 3, 5))
        if minutes > 59 or seconds > 59 or frames >= rate.base:
            return None
        return cls.labelled(hours, minutes, seconds, frames, rate, drop=found[4] in ";.," and rate.counts_drop)

    @classmethod
    def labelled(cls, hours: int, minutes: int, seconds: int, frames: int, rate: EditRate, *, drop: bool) -> "Timecode":
        """The frame that bears these numbers."""
        total = 60 * hours + minutes
        frame = (60 * total + seconds) * rate.base + frames
        return cls(frame - (rate.base // 15 * (total - total // 10) if drop else 0), rate, drop)

    def plus(self, frames: int) -> "Timecode":
        """The timecode some frames on."""
        return Timecode(self.frame + frames, self.rate, self.drop)

    def at_rate(self, rate: EditRate, *, drop: bool) -> "Timecode":
        """The same hour, minute and second, and as far into the second, counted at another rate."""
        hours, minutes, seconds, frames = self.numbers()
        drop = drop and rate.counts_drop
        return Timecode.labelled(hours, minutes, seconds, frames * rate.base // self.rate.base, rate, drop=drop)

    def numbers(self) -> tuple[int, int, int, int]:
        """Hours, minutes, seconds, frames; the clock begins anew after a day."""
        base, frame = self.rate.base, self.frame
        if self.drop:
            left_out = base // 15
            minute, ten = 60 * base - left_out, 600 * base - 9 * left_out
            tens, rest = divmod(frame, ten)
            frame += left_out * (9 * tens + max(0, (rest - left_out) // minute))
        seconds, frames = divmod(frame % (86_400 * base), base)
        return seconds // 3600, seconds // 60 % 60, seconds % 60, frames

    def __str__(self) -> str:
        hours, minutes, seconds, frames = self.numbers()
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if self.drop else ':'}{frames:02d}"
