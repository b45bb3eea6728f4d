"""A question to the library, from being asked to being forgotten."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipelines.serving.asking.work import Work, json_line
from pipelines.serving.search_messages import SearchState
from pipelines.serving.searching.found import Found
from spikemba.progress import Report
from spikemba.video.stopping import Stopped


class SearchEvent(NamedTuple):
    """What a search has come to."""

    kind: Literal["found", "end"]
    search: "Search"

    @property
    def data(self) -> str:
        """As it is sent, in JSON in one line."""
        return self.search.found_document() if self.kind == "found" else self.search.status().model_dump_json()


@dataclass(eq=False)
class Search(Work):
    """A question to the library. `look` does the work, in whatever thread has a turn for it."""

    query: str
    """The sentence, or in words what was asked with."""
    look: Callable[[Report], Found]
    told: Callable[[object], str]
    """A fault as it is told: without paths."""
    found: Found | None = None
    problem: str | None = None
    n_done: int = 0
    n_total: int = 0

    def run(self) -> None:
        """Look, unless nobody waits any more. Raises what `look` raises."""
        self.begin()
        try:
            found = self.look(self._report)
        except Stopped:
            return
        with self.lock:
            if self.is_over:
                return
            self.found, self.size = found, found.size
            self.log.append(SearchEvent("found", self))
            self.end("done")
        self.tell()

    def fail(self, problem: str) -> None:
        """There will be no answer."""
        with self.lock:
            if self.is_over:
                return
            self.problem = problem
            self.end("failed")
        self.tell()

    def status(self) -> SearchState:
        """How far it is."""
        with self.lock:
            return SearchState(
                id=self.id,
                query=self.query,
                state=self.state,
                place=self.place,
                n_done=self.n_done,
                n_total=self.n_total,
                problem=self.problem,
            )

    def document(self) -> str:
        """All of it in JSON, as `SearchMessage` describes."""
        return f"{self.status().model_dump_json()[:-1]},{self.found_document()[1:]}"

    def ended(self) -> SearchEvent:
        """What is told last."""
        return SearchEvent("end", self)

    def found_document(self) -> str:
        """The part of the document that says what was found."""
        if self.found is None:
            return '{"found":null,"answers":[]}'
        answers = ",".join(json_line(one.document()) for one in self.found.answers)
        return f'{{"found":{self.found.message().model_dump_json()},"answers":[{answers}]}}'

    def _report(self, done: int, total: int | None) -> None:
        with self.lock:
            if self.is_over:
                raise Stopped
            self.n_done, self.n_total = done, total or 0
        self.tell()
