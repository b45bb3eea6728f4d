"""One answered query, for people to look at."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.scoring.outcomes import Outcome
from spikemba.grounding import Answer
from spikemba.moments import Moment, Window


@dataclass(frozen=True)
class Case:
    """One answered query."""

    query: str
    video_id: str
    duration_s: float
    clip_s: float
    answer: Answer
    truth: tuple[Window, ...] | None = None
    """True windows, none of a null query; None: they are not known."""
    min_exists: float | None = None
    """Where the answer's `exists` is lower, there is no such moment; None: wherever it is."""
    video: Path | None = None
    """The file; None: it is not at hand, so there are no frames."""
    outcome: Outcome | None = None
    """What that was worth, where the truth is known."""

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Best first. None where there is no such moment."""
        return self.answer.moments if self.answer.is_there(self.min_exists) else ()
