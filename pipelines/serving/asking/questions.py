"""Questions and what has become of them so far: answers as they are found, told to all who listen.

A question asks one sentence of some videos by some checkpoints; it holds no thread. What it learns is kept in a log
that only grows, so that whoever lost the line goes on where it broke off.
"""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.messages import Failure, QuestionState, Reading
from spikemba.grounder.result import Grounding

State = Literal["waiting", "working", "done", "cancelled", "failed"]


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
            "nothing": None if self.grounding.moments else self.grounding.nothing,
            "explained": self.grounding.explained(),
        }

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        answer = self.grounding.answer
        return 2000 + answer.saliency.nbytes + answer.foreground.nbytes + answer.spikes.nbytes


class Event(NamedTuple):
    """Something that does not change any more."""

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
class Question:
    """A question, from being asked to being forgotten. What threads change, they change holding `lock`."""

    asked: Asked
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: State = "waiting"
    place: int = 0
    """In the queue; 0: begun."""
    reading: Reading | None = None
    answers: list[Answered] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)
    version: int = 0
    """Grows with every change."""
    size: int = 2000
    """Bytes that its answers take, about."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _listeners: list[Callable[[], None]] = field(default_factory=list, repr=False)
    _readings: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    @property
    def n_total(self) -> int:
        """Videos times checkpoints."""
        return len(self.asked.videos) * len(self.asked.checkpoints)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state not in ("waiting", "working")

    def tasks(self) -> Iterator[Task]:
        """All that is to be answered, by video, then by checkpoint."""
        return (Task(self, video, name) for video in self.asked.videos for name in self.asked.checkpoints)

    def begin(self) -> None:
        """Somebody works on it."""
        with self.lock:
            if self.state == "waiting":
                self.state, self.place = "working", 0
        self._tell()

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
        self._tell()

    def move_to(self, place: int) -> None:
        """Its place in the queue has changed."""
        with self.lock:
            if self.state != "waiting" or self.place == place:
                return
            self.place = place
        self._tell()

    def take(self, answer: Answered) -> None:
        """One more answer; the last one ends it."""
        with self.lock:
            if self.is_over:
                return
            self.answers.append(answer)
            self.size += answer.size
            self.log.append(Event("answer", answer))
            self._end_if_complete()
        self._tell()

    def fail(self, failure: Failure) -> None:
        """A video will not be answered; it stops no other."""
        with self.lock:
            if self.is_over:
                return
            self.failed.append(failure)
            self.size += 500
            self.log.append(Event("failed", failure))
            self._end_if_complete()
        self._tell()

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        with self.lock:
            if self.is_over:
                return
            self._end("cancelled")
        self._tell()

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

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` after every change, from whatever thread makes it, while the block runs."""
        with self.lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self.lock:
                self._listeners.remove(listener)

    def _end_if_complete(self) -> None:
        if len(self.answers) + len(self.failed) == self.n_total:
            self._end("done" if self.answers else "failed")

    def _end(self, state: State) -> None:
        self.state, self.place, self.reading = state, 0, None
        self.log.append(Event("end", self.status()))

    def _tell(self) -> None:
        with self.lock:
            self.version += 1
            listeners = list(self._listeners)
        for listener in listeners:
            listener()


def json_line(document: Any) -> str:
    """A document in JSON, in one line, without anything that JSON has not."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
