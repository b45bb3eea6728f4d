"""Rows of JSON lines about a whole corpus: where a sentence is true in all of its videos, and what was answered.

truth        {"qid", "query", "truth": [{"vid", "window": [start, end], "grade"?}, ...], "vid"?, "kind"?}
answers      {"qid", "query", "pred_corpus_moments": [[vid, start, end, score], ...], "pred_exist_score"?}

Times are seconds, and the best answer comes first. Its four values stand as in a submission to TVR, with the video's
name in place of a number that a table explains.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from spikemba.datasets.row_values import BadRow, all_finite, number_lists, read_rows, text_of, value_of
from spikemba.files import write_jsonl
from spikemba.metrics.corpus import HIGHEST_GRADE, CorpusMoment, TrueMoment
from spikemba.metrics.retrieval import QueryId


@dataclass(frozen=True)
class CorpusQuery:
    """A sentence and all windows of all videos that it is true of."""

    query_id: QueryId
    query: str
    truth: tuple[TrueMoment, ...]
    """Empty where it is true of nothing in the corpus."""
    video_id: str | None = None
    """The video that it was written about, if it was about one: such queries share their luck."""
    kind: str | None = None
    """What sort of question it is, where a corpus says so."""

    def to_row(self) -> dict[str, Any]:
        """The row of the file; grades are in it where they are not 1."""
        truth = [
            {"vid": one.video_id, "window": [one.start_s, one.end_s]} | ({} if one.grade == 1 else {"grade": one.grade})
            for one in self.truth
        ]
        row: dict[str, Any] = {"qid": self.query_id, "query": self.query, "truth": truth}
        row |= {} if self.video_id is None else {"vid": self.video_id}
        return row if self.kind is None else row | {"kind": self.kind}


@dataclass(frozen=True)
class CorpusAnswer:
    """What was answered to one sentence, over the whole corpus."""

    query_id: QueryId
    query: str
    moments: tuple[CorpusMoment, ...]
    """Best first."""
    exist_score: float | None = None
    """How sure it is that any video shows the query, the higher the surer; None where nothing says it."""

    @property
    def existence(self) -> float:
        """The existence score; without one the largest score of a moment; -inf where nothing was answered."""
        if self.exist_score is not None:
            return self.exist_score
        return max((moment.score for moment in self.moments), default=-inf)

    def to_row(self) -> dict[str, Any]:
        """The row of the file."""
        moments = [list(moment) for moment in self.moments]
        row: dict[str, Any] = {"qid": self.query_id, "query": self.query, "pred_corpus_moments": moments}
        return row if self.exist_score is None else row | {"pred_exist_score": self.exist_score}


def read_corpus_truth(path: Path) -> list[CorpusQuery]:
    """Read what is true. Raises AnnotationError that names every row that cannot be used."""
    return read_rows(path, _query)


def write_corpus_truth(path: Path, queries: Iterable[CorpusQuery]) -> None:
    """Write what is true as a jsonl that `evaluate --corpus` reads."""
    write_jsonl(path, (query.to_row() for query in queries))


def read_corpus_answers(path: Path) -> list[CorpusAnswer]:
    """Read what was answered. Raises AnnotationError that names every row that cannot be used."""
    return read_rows(path, _answer)


def write_corpus_answers(path: Path, answers: Iterable[CorpusAnswer]) -> None:
    """Write what was answered as a jsonl that `evaluate --corpus` reads."""
    write_jsonl(path, (answer.to_row() for answer in answers))


def _query(row: Mapping[str, Any]) -> CorpusQuery:
    if "truth" not in row and "relevant_windows" in row:
        raise BadRow("has 'relevant_windows' and no 'truth': that is a row about one video; leave --corpus out")
    truth = value_of(row, "truth", (list,))
    return CorpusQuery(
        query_id=value_of(row, "qid", (int, str)),
        query=value_of(row, "query", (str,)),
        truth=tuple(_true_moment(one) for one in truth),
        video_id=value_of(row, "vid", (str,)) if row.get("vid") is not None else None,
        kind=value_of(row, "kind", (str,)).strip() or None if row.get("kind") is not None else None,
    )


def _true_moment(one: Any) -> TrueMoment:
    if not isinstance(one, dict):
        raise BadRow(f'truth holds {one!r}; expected {{"vid": name, "window": [start, end]}}')
    ((start_s, end_s),) = number_lists({"window": [one.get("window")]}, "window", width=2)
    if not end_s > start_s >= 0:
        raise BadRow(f"truth holds the window [{start_s:g}, {end_s:g}]; expected seconds, 0 <= start < end")
    grade = one.get("grade", 1.0)
    if not all_finite([grade]) or not 0 < grade <= HIGHEST_GRADE:
        raise BadRow(f"truth holds grade {grade!r}; expected a number above 0, at most {HIGHEST_GRADE:g}")
    return TrueMoment(value_of(one, "vid", (str,)), float(start_s), float(end_s), float(grade))


def _answer(row: Mapping[str, Any]) -> CorpusAnswer:
    if "pred_corpus_moments" not in row and "pred_relevant_windows" in row:
        raise BadRow(
            "has 'pred_relevant_windows' and no 'pred_corpus_moments': it is about one video; leave --corpus out"
        )
    exist_score = row.get("pred_exist_score")
    if exist_score is not None and not all_finite([exist_score]):
        raise BadRow(f"pred_exist_score is {exist_score!r}; expected a finite number")
    return CorpusAnswer(
        query_id=value_of(row, "qid", (int, str)),
        query=text_of(row, "query"),
        moments=tuple(map(_moment, value_of(row, "pred_corpus_moments", (list,)))),
        exist_score=None if exist_score is None else float(exist_score),
    )


def _moment(one: Any) -> CorpusMoment:
    if not isinstance(one, list) or len(one) != 4 or not isinstance(one[0], str) or not all_finite(one[1:]):
        raise BadRow(f"pred_corpus_moments holds {one!r}; expected [video's name, start, end, score], numbers finite")
    return CorpusMoment(one[0], float(one[1]), float(one[2]), float(one[3]))
