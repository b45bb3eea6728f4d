"""Who works on questions: threads that read videos, that answer about those that were read, that search the library.

Two lanes, so that a question about videos that were read is answered at once and waits behind nobody's long file. In
each lane questions take turns: after one step of one question comes the next question, so that a folder of a thousand
videos holds up nobody who asks about one. A video is read once, whoever waits for it; when nobody does any more, the
reading stops. The library is searched in a third lane.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pipelines.serving.asking.answer_memory import AnswerMemory
from pipelines.serving.asking.questions import Answered, Asked, Question, Task
from pipelines.serving.asking.work import Work
from pipelines.serving.faults import Busy, NotThere
from pipelines.serving.messages import Failure, Reading
from pipelines.serving.searching.search import Search
from spikemba.errors import SpikeMbaError, problem_with
from spikemba.files import file_state
from spikemba.grounder.feature_cache import cached_features
from spikemba.grounder.grounder import Grounder
from spikemba.reading.printable import printable
from spikemba.video.stopping import Stopped

READERS = 2
"""Videos that are read at once: beside a long one a short one gets through."""
SEARCHERS = 2
"""Searches that are worked on at once: beside one that has to read a long video another gets through."""
MOST_OPEN = 200
"""Questions that are not over, at most."""
MOST_KEPT = 200
"""Questions that are over and can still be asked for, at most."""
MOST_BYTES = 256 * 2**20
"""That the answers of such questions take, at most."""
MOST_READINGS = 3
"""Of one video for one question: where its features are gone again each time, something is wrong with the cache."""
TOLD_EVERY_S = 0.2
"""Between two reports of a reading."""

Key = tuple[str, ...]
T = TypeVar("T")
W = TypeVar("W", Question, Search)


@dataclass(eq=False)
class _Read:
    """A file that encoders read, or will."""

    key: Key
    first: Task
    """Says which file and which encoders."""
    waiting: list[Task] = field(default_factory=list)
    begun: bool = False
    told_at: float = 0.0


class Lanes:
    """The queue of all questions and the threads behind it."""

    def __init__(
        self, models: Mapping[str, Grounder], workers: int = 1, readers: int = READERS, searchers: int = 0
    ) -> None:
        self.models = models
        self.memory = AnswerMemory()
        self._changed = threading.Condition()
        self._questions: OrderedDict[str, Work] = OrderedDict()
        self._to_answer: dict[Work, deque[Task]] = {}
        self._to_read: dict[Work, deque[_Read]] = {}
        self._to_search: dict[Work, deque[Search]] = {}
        self._reads: dict[Key, _Read] = {}
        self._closing = False
        loops = [self._answer_all] * workers + [self._read_all] * readers + [self._search_all] * searchers
        self._threads = [threading.Thread(target=loop, daemon=True, name=loop.__name__) for loop in loops]
        for thread in self._threads:
            thread.start()

    def ask(self, asked: Asked) -> Question:
        """A question that is worked on from now. Raises Busy."""
        question = Question(asked)
        self._open(question, lambda: self._to_answer.update({question: deque(question.tasks())}))
        return question

    def search(self, search: Search) -> None:
        """Work on a search from now. Raises Busy."""
        self._open(search, lambda: self._to_search.update({search: deque([search])}))

    def _open(self, work: Work, queue: Callable[[], None]) -> None:
        with self._changed:
            open_ones = [one for one in self._questions.values() if not one.is_over]
            if self._closing:
                raise Busy("the server is being stopped; ask again when it runs")
            if len(open_ones) >= MOST_OPEN or sum(one.size for one in open_ones) > MOST_BYTES:
                raise Busy(
                    f"{len(open_ones)} questions are open already, and at most {MOST_OPEN} are taken, fewer where "
                    "their answers are long; ask again when some are over"
                )
            self._questions[work.id] = work
            queue()
            self._forget_old()
            self._changed.notify_all()
        self._place_all()

    def get(self, question_id: str) -> Question:
        """The question of an id. Raises NotThere."""
        return self._find(question_id, Question, "question")

    def get_search(self, search_id: str) -> Search:
        """The search of an id. Raises NotThere."""
        return self._find(search_id, Search, "search")

    def is_search(self, any_id: str) -> bool:
        """Whether it is the id of a search."""
        with self._changed:
            return isinstance(self._questions.get(any_id), Search)

    def _find(self, work_id: str, kind: type[W], noun: str) -> W:
        with self._changed:
            found = self._questions.get(work_id)
            if not isinstance(found, kind):
                raise NotThere(f"no {noun} has the id {printable(work_id)[:100]!r}; it may be forgotten: ask again")
            self._questions.move_to_end(work_id)
            return found

    def cancel(self, question_id: str) -> Question:
        """Stop working on a question; what is found stays."""
        question = self.get(question_id)
        self._cancel(question)
        return question

    def cancel_search(self, search_id: str) -> Search:
        """Stop looking."""
        search = self.get_search(search_id)
        self._cancel(search)
        return search

    def _cancel(self, work: Work) -> None:
        work.cancel()
        self._drop(work)
        self._place_all()

    def stop(self) -> None:
        """Let all work end, finished or not, and wait for nothing."""
        with self._changed:
            self._closing = True
            open_ones = [one for one in self._questions.values() if not one.is_over]
            self._changed.notify_all()
        for question in open_ones:
            question.cancel()

    def close(self, patience_s: float = 0.5) -> bool:
        """End all work; returns whether every thread has ended by then."""
        self.stop()
        until = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def key_of(self, video: object, checkpoint: str) -> Key:
        """The same for two checkpoints that take the same features of a file."""
        model = self.models[checkpoint]
        return (str(video), f"{model.clip_s!r}", *(f"{one.name} {id(type(one))}" for one in model.encoders))

    def _answer_all(self) -> None:
        while (task := self._next(self._to_answer)) is not None:
            try:
                self._answer_or_queue(task)
            except Exception as error:  # a fault of one question ends no thread
                self._fail(task, error)
            if task.question.is_over:
                self._drop(task.question)
                self._place_all()

    def _answer_or_queue(self, task: Task) -> None:
        asked, model = task.question.asked, self.models[task.checkpoint]
        mark = self.memory.mark(task)
        remembered = self.memory.get(mark)
        if remembered is None:
            if not model.has_features(task.video.path):
                self._queue_reading(task)
                return
            task.question.begin()
            found = self._ground(model, task, asked)
            if found is None:
                self._queue_reading(task)
                return
            remembered = found
            self.memory.put(mark, found)
        task.question.begin()
        task.question.take(remembered)

    def _ground(self, model: Grounder, task: Task, asked: Asked) -> Answered | None:
        """The answer; None where the features have gone since it was looked for them."""

        def not_here(done: int, total: int | None) -> None:  # noqa: ARG001
            raise Stopped

        try:
            found = model.ground(
                task.video.path, asked.query, top=asked.top, min_exists=asked.min_exists, report=not_here
            )
        except Stopped:
            return None
        return Answered(task.video, task.checkpoint, found)

    def _queue_reading(self, task: Task) -> None:
        """Let the task wait for its video, together with all others that do. Raises SpikeMbaError."""
        if task.question.count_reading(task) > MOST_READINGS:
            raise SpikeMbaError(
                f"{task.video.path}: was read {MOST_READINGS} times, and its features are gone from the cache folder "
                "each time; free some space, or set SPIKEMBA_CACHE"
            )
        key = self.key_of(task.video.path, task.checkpoint)
        with self._changed:
            read = self._reads.get(key)
            if read is None:
                read = self._reads[key] = _Read(key, task)
            read.waiting.append(task)
            begun = read.begun
            if not begun:
                self._to_read.setdefault(task.question, deque()).append(read)
            self._changed.notify_all()
        if begun:
            task.question.begin()

    def _read_all(self) -> None:
        while (read := self._next(self._to_read)) is not None:
            with self._changed:
                if read.begun or self._reads.get(read.key) is not read:
                    continue  # another question's turn has begun it
                read.begun = True
                waiting = list(read.waiting)
            for task in waiting:
                task.question.begin()
            self._place_all()
            fault: Exception | None = None
            try:
                self._encode(read)
            except Stopped:
                pass
            except Exception as error:
                fault = error
            self._read_over(read, fault)

    def _encode(self, read: _Read) -> None:
        """Leave the features where who answers finds them. Raises Stopped, VideoError, SpikeMbaError."""
        model, path = self.models[read.first.checkpoint], read.first.video.path
        before = _state_of(path)
        cached_features(path, model.encoders, model.clip_s, lambda done, total: self._told(read, done, total))
        if _state_of(path) != before:
            raise SpikeMbaError(f"{path}: changed while it was read; ask again")
        if not model.has_features(path):
            raise SpikeMbaError(
                f"{path}: its features cannot be kept in the cache folder, and are too many to keep in memory; "
                "free some space, or set SPIKEMBA_CACHE"
            )

    def _told(self, read: _Read, done: int, total: int | None) -> None:
        """Tell how far a reading is. Raises Stopped when nobody waits for it."""
        with self._changed:
            live = {task.question for task in read.waiting if not task.question.is_over}
            if self._closing or not live:
                raise Stopped
            now = time.monotonic()
            if now - read.told_at < TOLD_EVERY_S and done != total:
                return
            read.told_at = now
        for question in live:
            question.read_on(Reading(video=read.first.video.id, done=done, total=total))

    def _read_over(self, read: _Read, fault: Exception | None) -> None:
        """Give back the tasks that waited: to be answered, or failed."""
        with self._changed:
            self._reads.pop(read.key, None)
            waiting = [task for task in read.waiting if not task.question.is_over]
        for question in dict.fromkeys(task.question for task in waiting):
            question.read_on(None)
        if fault is not None:
            for task in waiting:
                self._fail(task, fault)
                if task.question.is_over:
                    self._drop(task.question)
            self._place_all()
            return
        with self._changed:
            for task in waiting:
                self._to_answer.setdefault(task.question, deque()).append(task)
            self._changed.notify_all()

    def _fail(self, task: Task, error: Exception) -> None:
        problem = task.video.told(problem_with(task.video.path, error))
        task.question.fail(Failure(video=task.video.id, checkpoint=task.checkpoint, problem=problem))

    def _search_all(self) -> None:
        while (search := self._next(self._to_search)) is not None:
            try:
                search.run()
            except Exception as error:  # a fault of one search ends no thread
                search.fail(search.told(problem_with("the library", error)))
            self._drop(search)
            self._place_all()

    def _next(self, lane: dict[Work, deque[T]]) -> T | None:
        """The next step of the question whose turn it is; waits for one. None when all is to end."""
        with self._changed:
            while not self._closing:
                for question in list(lane):
                    steps = lane.pop(question)
                    if question.is_over or not steps:
                        continue
                    step = steps.popleft()
                    if steps:
                        lane[question] = steps  # at the end: its next turn comes after all others'
                    return step
                self._changed.wait()
            return None

    def _drop(self, question: Work) -> None:
        """Forget what was to be done for a question that is over."""
        with self._changed:
            self._to_answer.pop(question, None)
            self._to_read.pop(question, None)
            self._to_search.pop(question, None)
            for key, read in list(self._reads.items()):
                read.waiting = [task for task in read.waiting if task.question is not question]
                if not read.waiting and not read.begun:
                    del self._reads[key]
            self._forget_old()

    def _forget_old(self) -> None:
        """Keep what is over within its bounds, the last asked for longest."""
        over = [one for one in self._questions.values() if one.is_over]
        size = sum(one.size for one in over)
        for question in over:
            if len(over) <= MOST_KEPT and size <= MOST_BYTES:
                return
            over = over[1:]
            size -= question.size
            del self._questions[question.id]

    def _place_all(self) -> None:
        """Tell the questions that wait how many come first."""
        with self._changed:
            waiting = [one for one in self._questions.values() if one.state == "waiting"]
        for place, question in enumerate(waiting, start=1):
            question.move_to(place)


def _state_of(path: Path) -> tuple[int, int, int, int] | None:
    """Changes when the file does; None where there is none."""
    try:
        return file_state(path.stat())
    except OSError:
        return None
