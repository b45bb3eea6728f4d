"""Questions and what has become of them so far: answers as they are found, told to all who listen.

A question asks one sentence of some videos by some checkpoints; it holds no thread. What it learns is kept in a log
that only grows, so that whoever lost the line goes on where it broke off.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pipelines.serving.asking.work import State, Work, json_line
from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.messages import Failure, QuestionState, Reading
from spikemba.grounder.result import Grounding


@dataclass(frozen=True)
class Asked:
    """What is wanted."""

    query: str
    videos: tuple[ServedVideo, ...]
    checkpoints: tuple[str, ...]
    top: int
    min_exists: float | None


@dataclass(frozen=True)
class Answered:
    """One video, one checkpoint, and what it said."""

    video: ServedVideo
    checkpoint: str
    grounding: Grounding

    def document(self) -> dict[str, Any]:
        """What `spikemba ground --json` prints, with a name in place of the path, and what is behind it."""
        return self.grounding.to_dict() | {
            "video": self.video.name,
            "video_id": self.video.id,
            "checkpoint": self.checkpoint,
            "calibrated": self.grounding.calibrated,
            "nothing": None if self.grounding.moments else self.grounding.nothing,
            "explained": self.grounding.explained(),
        }

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        answer = self.grounding.answer
        return 2000 + answer.saliency.nbytes + answer.foreground.nbytes + answer.spikes.nbytes


class QuestionEvent(NamedTuple):
    """What a question has come to."""

    kind: Literal["answer", "failed", "end"]
    what: Answered | Failure | QuestionState

    @property
    def data(self) -> str:
        """As it is sent, in JSON in one line."""
        return json_line(self.what.document()) if isinstance(self.what, Answered) else self.what.model_dump_json()


class Task(NamedTuple):
    """One video for one checkpoint of one question."""

    question: "Question"
    video: ServedVideo
    checkpoint: str


@dataclass(eq=False)
class Question(Work):
    """A question, from being asked to being forgotten."""

    asked: Asked
    reading: Reading | None = None
    answers: list[Answered] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    _readings: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    @property
    def n_total(self) -> int:
        """Videos times checkpoints."""
        return len(self.asked.videos) * len(self.asked.checkpoints)

    def tasks(self) -> Iterator[Task]:
        """All that is to be answered, by video, then by checkpoint."""
        return (Task(self, video, name) for video in self.asked.videos for name in self.asked.checkpoints)

    def count_reading(self, task: Task) -> int:
        """One more time that a video has to be read for it; returns how many that are."""
        with self.lock:
            self._readings[task.video.id, task.checkpoint] += 1
            return self._readings[task.video.id, task.checkpoint]

    def read_on(self, reading: Reading | None) -> None:
        """A video is being read for it, or that is over."""
        with self.lock:
            if self.is_over:
                return
            self.reading = reading
        self.tell()

    def take(self, answer: Answered) -> None:
        """One more answer; the last one ends it."""
        with self.lock:
            if self.is_over:
                return
            self.answers.append(answer)
            self.size += answer.size
            self.log.append(QuestionEvent("answer", answer))
            self._end_if_complete()
        self.tell()

    def fail(self, failure: Failure) -> None:
        """A video will not be answered; it stops no other."""
        with self.lock:
            if self.is_over:
                return
            self.failed.append(failure)
            self.size += 500
            self.log.append(QuestionEvent("failed", failure))
            self._end_if_complete()
        self.tell()

    def status(self) -> QuestionState:
        """How far it is."""
        with self.lock:
            return QuestionState(
                id=self.id,
                query=self.asked.query,
                state=self.state,
                place=self.place,
                reading=self.reading,
                n_done=len(self.answers) + len(self.failed),
                n_total=self.n_total,
            )

    def document(self) -> str:
        """All of it in JSON, as `QuestionMessage` describes."""
        with self.lock:
            found, lost = list(self.answers), list(self.failed)
            status = self.status().model_dump_json()
        answers, failed = [json_line(one.document()) for one in found], [one.model_dump_json() for one in lost]
        return f'{status[:-1]},"answers":[{",".join(answers)}],"failed":[{",".join(failed)}]}}'

    def _end_if_complete(self) -> None:
        if len(self.answers) + len(self.failed) == self.n_total:
            self.end("done" if self.answers else "failed")

    def end(self, state: State) -> None:
        """Nothing more will come; called holding the lock."""
        self.reading = None
        super().end(state)

    def ended(self) -> QuestionEvent:
        """What is told last."""
        return QuestionEvent("end", self.status())
