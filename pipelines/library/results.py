"""What comes out of a question to a library: moments of many videos in one order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer, nothing_found
from spikemba.moments import Moment

Order = Literal["calibrated", "fused", "similarity"]
"""calibrated: by the probability that the moment is right.  fused: by ranks, where scores of two videos share no scale,
or where texts were found, too.  similarity: of clips alone, where there is no sentence to ground."""

CLIPS = "clips"
"""Among the sources of a moment: that it was seen."""


@dataclass(frozen=True)
class LibraryMoment:
    """A moment of one of the videos."""

    video: Path
    """A file that was there when it was looked for; of copies the first."""
    start_s: float
    end_s: float
    score: float | None
    """In [0, 1], as the model gives it; of a picture or a clip the similarity; None for what only a text says."""
    exists: float | None
    """That its video shows the sentence at all; None where nothing tells."""
    sources: tuple[str, ...]
    """`clips`, and where texts say so `subtitles` or what else they are."""
    text: str | None = None
    """That was found."""
    copies: tuple[Path, ...] = ()
    """Other files with the same content."""

    def to_dict(self, rank: int) -> dict[str, Any]:
        """Plain values, rounded to a millisecond and to four digits."""
        return {
            "rank": rank,
            "video": str(self.video),
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "score": None if self.score is None else round(self.score, 4),
            "exists": None if self.exists is None else round(self.exists, 4),
            "from": list(self.sources),
            "text": self.text,
            "copies": [str(path) for path in self.copies],
        }


@dataclass(frozen=True)
class LibraryAnswer:
    """The moments of a library that a question is about."""

    query: str
    moments: tuple[LibraryMoment, ...]
    """Of all videos, best first; empty where no video shows it."""
    order: Order
    model: str
    n_videos: int
    """Videos whose clips were compared."""
    groundings: tuple[Grounding, ...] = ()
    """Of the videos that were looked at closely, those that were likeliest by their clips first."""
    notes: tuple[str, ...] = ()
    """What a person should know, each a line."""

    @property
    def exists(self) -> float | None:
        """The greatest probability that a video shows it; None where nothing tells."""
        return max((one.exists for one in self.groundings if one.exists is not None), default=None)

    @property
    def nothing(self) -> str:
        """What to say in place of moments: `no such moment (0.03)`."""
        return nothing_found(self.exists)

    def to_dict(self) -> dict[str, Any]:
        """What `spikemba search --json` prints."""
        return {
            "query": self.query,
            "model": self.model,
            "order": self.order,
            "n_videos": self.n_videos,
            "n_grounded": len(self.groundings),
            "exists": None if self.exists is None else round(self.exists, 4),
            "moments": [one.to_dict(rank) for rank, one in enumerate(self.moments, start=1)],
            "notes": list(self.notes),
        }

    def by_video(self) -> list[Grounding]:
        """The moments as answers about one video each, for everything that takes such answers; best video first."""
        known = {one.video: one for one in self.groundings}
        found = []
        for video in dict.fromkeys(one.video for one in self.moments):
            own = [one for one in self.moments if one.video == video]
            moments = tuple(Moment(one.start_s, one.end_s, one.score or 0.0) for one in own)
            grounding = known.get(video) or _without_saliency(video, self.query, self.model, own)
            # what a text found is there, whatever the model thinks
            found.append(replace(grounding, answer=replace(grounding.answer, moments=moments), min_exists=None))
        return found


def _without_saliency(video: Path, query: str, model: str, moments: Sequence[LibraryMoment]) -> Grounding:
    """An answer about a video that no model looked at closely."""
    nothing = np.zeros(1, np.float32)
    answer = Answer((), nothing, nothing, (), np.zeros((1, 0), np.bool_))
    end_s = max(one.end_s for one in moments)
    return Grounding(video, query, end_s, end_s, answer, model)
