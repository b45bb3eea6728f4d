"""What is asked for and worked on in turn: its state, its place in the queue, a log that only grows, who listens.

It holds no thread. What has become of it is kept in the log, so that whoever lost the line goes on where it broke off.
"""

import json
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel

State = Literal["waiting", "working", "done", "cancelled", "failed"]


class Event(Protocol):
    """Something that does not change any more."""

    @property
    def kind(self) -> str:
        """Its name in a stream of events."""

    @property
    def data(self) -> str:
        """As it is sent, in JSON in one line."""


@dataclass(eq=False, kw_only=True)
class Work(ABC):
    """From being asked for to being forgotten. What threads change, they change holding `lock`."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: State = "waiting"
    place: int = 0
    """In the queue; 0: begun."""
    log: list[Event] = field(default_factory=list)
    version: int = 0
    """Grows with every change."""
    size: int = 2000
    """Bytes that its answers take, about."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _listeners: list[Callable[[], None]] = field(default_factory=list, repr=False)

    @abstractmethod
    def status(self) -> BaseModel:
        """How far it is."""

    @abstractmethod
    def document(self) -> str:
        """All of it, in JSON."""

    @abstractmethod
    def ended(self) -> Event:
        """What is told last."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state not in ("waiting", "working")

    def begin(self) -> None:
        """Somebody works on it."""
        with self.lock:
            if self.state == "waiting":
                self.state, self.place = "working", 0
        self.tell()

    def move_to(self, place: int) -> None:
        """Its place in the queue has changed."""
        with self.lock:
            if self.state != "waiting" or self.place == place:
                return
            self.place = place
        self.tell()

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        with self.lock:
            if self.is_over:
                return
            self.end("cancelled")
        self.tell()

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

    def end(self, state: State) -> None:
        """Nothing more will come. Called holding the lock."""
        self.state, self.place = state, 0
        self.log.append(self.ended())

    def tell(self) -> None:
        """Let all who listen look. Called without the lock."""
        with self.lock:
            self.version += 1
            listeners = list(self._listeners)
        for listener in listeners:
            listener()


def json_line(document: Any) -> str:
    """A document in JSON, in one line, without anything that JSON has not."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
