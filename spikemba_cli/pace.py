"""How far long work is and how long it will take, for a bar on a terminal and for a line a minute."""

import time
from collections.abc import Callable
from datetime import timedelta

from spikemba.progress import Report

EVERY_S = 60.0
"""Between two lines where nobody watches a bar; the first comes after as long, so short work says nothing."""

Clock = Callable[[], float]


class Pace:
    """What of some work is done, and how fast it goes.

    The work has units, such as videos; a unit may have parts, such as clips, which then tell the rate. What was there
    before counting began, as the epochs of a run that goes on, makes nothing look faster.
    """

    def __init__(self, unit: str, part: str = "", clock: Clock = time.monotonic) -> None:
        self.unit, self.part = unit, part
        self._clock = clock
        self.done = 0
        self.total: int | None = None
        self._of_part: tuple[int, int | None] = (0, None)
        self._parts, self._has_parts = 0, False
        self._began: tuple[float, float, int] | None = None

    def count(self, done: int, total: int | None) -> None:
        """`done` of `total` units; fewer than before are those of other work."""
        if done < self.done:
            self._began = None
        if done != self.done and self._of_part[1] is not None:
            self._of_part = 0, 0
        self.done, self.total = done, total
        if self._began is None:
            self._begin()

    def count_part(self, done: int, total: int | None) -> None:
        """`done` of `total` parts of a unit, or with no total of all units."""
        before, self._of_part = self._of_part[0], (done, total)
        self._parts += done - before if done >= before else done
        if not self._has_parts:
            self._has_parts = True
            self._begin()

    @property
    def finished(self) -> bool:
        """Whether nothing is left."""
        return self.total is not None and self.done >= self.total > 0

    @property
    def so_far(self) -> float:
        """Units that are done; of one that is half done, a half."""
        done, total = self._of_part
        return self.done + (min(1.0, done / total) if total and not self.finished else 0.0)

    @property
    def seconds_left(self) -> float | None:
        """If the rest goes as fast as what was counted; None while that cannot be told."""
        if self._began is None or not self.total:
            return None
        now, (then, before, _) = self._clock(), self._began
        gone = self.so_far - before
        return (now - then) / gone * (self.total - self.so_far) if gone > 0 else None

    def __str__(self) -> str:
        said = [self._counted(), self._rate()]
        if not self.finished and (left := self.seconds_left) is not None:
            said.append(f"{timedelta(seconds=round(left))} left")
        return ", ".join(filter(None, said))

    def _begin(self) -> None:
        self._began = self._clock(), self.so_far, self._parts

    def _counted(self) -> str:
        done, total = self._of_part
        parts = f"{done:,} of {total:,} {self.part}" if total else ""
        if self.total == 1 and parts and not self.finished:
            return parts
        scale, unit = _scaled(self.unit)
        units = _number(self.done / scale) if scale > 1 else f"{self.done:,}"
        if self.total:
            units += f" of {_number(self.total / scale) if scale > 1 else f'{self.total:,}'}"
        return ", ".join(filter(None, [f"{units} {unit}", parts]))

    def _rate(self) -> str:
        """Parts, or units where there are none, per second, minute or hour."""
        if self._began is None:
            return ""
        then, before, parts = self._began
        by_part = self._parts > parts  # some work, as that of other machines, does not tell of parts
        gone = self._parts - parts if by_part else self.done - before
        seconds = self._clock() - then
        if gone <= 0 or seconds <= 0:
            return ""
        scale, unit = _scaled(self.part if by_part else self.unit)
        per_s = gone / scale / seconds
        for factor, name in ((1, "s"), (60, "min"), (3600, "h")):
            if per_s * factor >= 1 or name == "h":
                break
        return f"{_number(per_s * factor)} {unit}/{name}"


def _scaled(unit: str) -> tuple[float, str]:
    return (1e6, "MB") if unit == "bytes" else (1, unit)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


class Lines:
    """Says how far work is, a line a minute, and nothing of work that is done sooner."""

    def __init__(self, say: Callable[[str], None], clock: Clock = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._said: float | None = None

    def __call__(self, title: str, pace: Pace) -> None:
        """Told of every step of the work."""
        now = self._clock()
        self._said = now if self._said is None else self._said
        if now - self._said >= EVERY_S and not pace.finished:
            self._said = now
            self._say(f"{title}: {pace}")


class Progress:
    """What work calls as it gets done: with units, and where it says, with their parts."""

    def __init__(self, show: Callable[[str, Pace], None], title: str, unit: str, part: str = "") -> None:
        self._show = show
        self.begin(title, unit, part)

    def begin(self, title: str, unit: str, part: str = "") -> None:
        """Other work begins."""
        self.title, self.pace = title, Pace(unit, part)

    def of(self, title: str, unit: str, part: str = "") -> Report:
        """What counts one of several stages: it begins with its first step."""

        def report(done: int, total: int | None) -> None:
            if self.title != title:
                self.begin(title, unit, part)
            self(done, total)

        return report

    def __call__(self, done: int, total: int | None) -> None:
        """`done` of `total` units."""
        self.pace.count(done, total)
        self._show(self.title, self.pace)

    def of_unit(self, done: int, total: int | None) -> None:
        """`done` of `total` parts of the unit that is worked on."""
        self.pace.count_part(done, total)
        self._show(self.title, self.pace)
