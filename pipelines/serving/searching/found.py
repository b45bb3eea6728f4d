"""What a search has found, with ids and names in place of paths: nothing tells where a file lies."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.library.alike import ONLY_CLIPS
from pipelines.library.results import LibraryAnswer, LibraryMoment
from pipelines.serving.asking.questions import Answered
from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.search_messages import Copy, FoundInLibrary, FoundMoment
from spikemba.errors import command_line
from spikemba.grounder.result import Grounding
from spikemba.library.address import Address

ORDERS = {
    "calibrated": "The moments of all videos are ordered by the probability that they are right.",
    "fused": "Scores of two videos share no scale: the order is fused from the ranks by score and by the nearest clip.",
    "texts": "The order is fused from the ranks of the moments and of the texts that hold the words.",
    "similarity": "The order is how alike the clips are; no model says where such a moment begins and ends.",
}
"""How the moments are ordered, for people."""


@dataclass(frozen=True)
class PathNames:
    """What is told in place of paths."""

    folder: Address
    """Of the library."""
    full: bool
    """Whether the library's folder is told: not where the server is asked from other machines."""
    served: dict[Path, ServedVideo]
    """The videos that can be opened, by path."""
    others: dict[Path, str]
    """What the others are called."""

    def of(self, path: Path) -> str:
        """A video's name."""
        served = self.served.get(path)
        return served.name if served is not None else self.others.get(path, path.name)

    def id_of(self, path: Path) -> str | None:
        """A video's id, where it can be opened."""
        served = self.served.get(path)
        return None if served is None else served.id

    def told(self, line: object) -> str:
        """A line with names in place of paths."""
        text = str(line)
        if not self.full:
            text = text.replace(f"library {self.folder}:", "the library:")
            text = text.replace(f"in {self.folder};", "in the library;")
            for given in _as_typed(self.folder):
                text = text.replace(f"--library {given}", "--library DIR")
        if os.sep not in text:
            return text
        paths = [*self.served, *self.others]
        for path in paths:
            if (given := str(path)) in text:
                text = text.replace(given, self.of(path))
        if not self.full:
            for folder in sorted({path.parent for path in paths}, key=lambda one: -len(one.parts)):
                for given in _as_typed(folder):
                    text = text.replace(given, "FOLDER")
        return text


def _as_typed(place: Address) -> tuple[str, str]:
    """How a place stands in a command, and in other words."""
    return command_line(place), str(place)


@dataclass(frozen=True)
class Found:
    """An answer about the library, and what its videos are called."""

    answer: LibraryAnswer
    checkpoint: str
    calibrated: bool
    names: PathNames
    duration_s: dict[Path, float]
    """Of the videos of the moments."""

    @cached_property
    def answers(self) -> list[Answered]:
        """Of the videos that can be opened and were looked at closely."""
        closely = {one.video for one in self.answer.groundings}
        return [
            Answered(video, self.checkpoint, one)
            for one in self.answer.by_video()
            if one.video in closely and (video := self.names.served.get(one.video)) is not None
        ]

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return 2000 + 500 * len(self.answer.moments) + sum(one.size for one in self.answers)

    def groundings(self, video: str | None = None) -> list[Grounding]:
        """The moments as answers about one video each, best video first.  video: an id; None: of all."""
        found = self.answer.by_video()
        return [one for one in found if video is None or self.names.id_of(one.video) == video]

    def named(self) -> LibraryAnswer:
        """The answer with names in place of paths."""
        moments = tuple(
            replace(
                one,
                video=Path(self.names.of(one.video)),
                copies=tuple(Path(self.names.of(copy)) for copy in one.copies),
            )
            for one in self.answer.moments
        )
        return replace(self.answer, moments=moments, notes=tuple(map(self.names.told, self.answer.notes)))

    def message(self) -> FoundInLibrary:
        """As it is told."""
        answer, texts = self.answer, self.calibrated and self.answer.order == "fused"
        exists = answer.exists
        return FoundInLibrary(
            moments=[self._moment(rank, one) for rank, one in enumerate(answer.moments, start=1)],
            order=answer.order,
            order_said=ORDERS["texts" if texts else answer.order],
            exists=None if exists is None else round(exists, 4),
            nothing=None if answer.moments else answer.nothing,
            model=answer.model,
            checkpoint=self.checkpoint,
            n_videos=answer.n_videos,
            n_closely=len(answer.groundings),
            notes=[self.names.told(note) for note in answer.notes if note != ONLY_CLIPS],  # the order says that
        )

    def _moment(self, rank: int, one: LibraryMoment) -> FoundMoment:
        plain: dict[str, Any] = one.to_dict(rank)
        kept = {name: plain[name] for name in ("rank", "start_s", "end_s", "score", "exists", "text")}
        duration_s = self.duration_s.get(one.video)
        return FoundMoment(
            **kept,
            video=self.names.of(one.video),
            video_id=self.names.id_of(one.video),
            duration_s=None if duration_s is None else round(duration_s, 3),
            sources=plain["from"],
            copies=[Copy(video=self.names.of(copy), video_id=self.names.id_of(copy)) for copy in one.copies],
        )


def paths_of(answer: LibraryAnswer) -> Iterable[Path]:
    """Of all files that an answer names."""
    return dict.fromkeys(path for one in answer.moments for path in (one.video, *one.copies))
