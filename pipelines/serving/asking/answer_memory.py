"""Answers to questions that were asked before, by all that could change them."""

import threading
from collections import OrderedDict

from pipelines.serving.asking.questions import Answered, Task
from spikemba.files import file_state

MOST_BYTES = 64 * 2**20

Mark = tuple[object, ...]


class AnswerMemory:
    """The answers that were wanted last, within a bound."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._size = most_bytes, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Mark, Answered] = OrderedDict()

    def mark(self, task: Task) -> Mark | None:
        """Changes when the file changes, or anything that is asked; None where there is no file."""
        try:
            status = task.video.path.stat()
        except OSError:
            return None
        asked = task.question.asked
        file = (str(task.video.path), task.video.name, *file_state(status))
        return (*file, task.checkpoint, asked.query, asked.top, asked.min_exists)

    def get(self, mark: Mark | None) -> Answered | None:
        """The answer to that, where it is known."""
        if mark is None:
            return None
        with self._lock:
            found = self._kept.get(mark)
            if found is not None:
                self._kept.move_to_end(mark)
            return found

    def put(self, mark: Mark | None, answer: Answered) -> None:
        """Keep an answer; those that nobody wanted for longest go."""
        if mark is None or answer.size > self._most:
            return
        with self._lock:
            earlier = self._kept.pop(mark, None)
            self._size += answer.size - (earlier.size if earlier else 0)
            self._kept[mark] = answer
            while self._size > self._most:
                _, gone = self._kept.popitem(last=False)
                self._size -= gone.size
