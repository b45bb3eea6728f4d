"""Predictions of whatever model, read from the form in which it writes them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.datasets.predictions.documents import Document, read_documents
from spikemba.datasets.predictions.form import LEFT_OUT, NO_ID
from spikemba.datasets.predictions.forms import FORMS, find_form, fitting_forms, form_names
from spikemba.datasets.predictions.matching import with_truth
from spikemba.datasets.predictions.spoken import notes_of_words
from spikemba.datasets.row_values import parsed_rows, repeated_ids
from spikemba.errors import AnnotationError, command_line
from spikemba.files import json_line, json_text, write_text
from spikemba.metrics.retrieval import QueryId
from spikemba.reading.printable import counted


class Answered(Protocol):
    """An answer of this library's own, as `Grounding` is."""

    def to_prediction(self, query_id: QueryId = NO_ID) -> PredictedRow:
        """The same as a row."""
        ...


@dataclass(frozen=True)
class Predictions:
    """What a model answered to queries, a row each, whichever program wrote the file.

    found = Predictions.from_file(Path("results.jsonl"))
    found.to_file(Path("results.json"), "json")
    """

    rows: tuple[PredictedRow, ...]
    """Each query once, in the order of the file; the best moment of a row first."""
    places: tuple[str, ...] = field(default=(), repr=False)
    """Where each row stands, as `line 12`."""
    source: str = "predictions"
    """The file."""
    form: str = "jsonl"
    """A key of FORMS."""
    numbered: bool = False
    """The form has no ids, so queries are counted from 1."""

    def __post_init__(self) -> None:
        if not self.places:  # rows that were made and not read
            object.__setattr__(self, "places", tuple(f"row {i}" for i in range(1, len(self.rows) + 1)))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[PredictedRow]:
        return iter(self.rows)

    @classmethod
    def from_file(cls, path: Path | str, form: str | None = None) -> "Predictions":
        """Read a file of predictions.  form: any name of a form; None: seen by what stands there.

        Numbers are those of the file. Raises AnnotationError that names every row that cannot be used, or all forms
        that it could have; UnknownName.
        """
        path = Path(path)
        documents = read_documents(path)
        if not documents:
            raise AnnotationError(path, ["no rows; expected one JSON object per line"])
        name = find_form(form) if form is not None else _form_of(path, documents)
        rows, faults = parsed_rows(documents, FORMS[name].read)
        faults += _repeated(rows)
        if faults:
            raise AnnotationError(path, faults)
        return cls._numbered(tuple(row for _, row in rows), tuple(place for place, _ in rows), str(path), name)

    @classmethod
    def from_groundings(cls, found: Iterable[Answered]) -> "Predictions":
        """Answers of `Grounder.ground`, numbered from 1."""
        rows = tuple(one.to_prediction() for one in found)
        return cls._numbered(rows, cls(rows).places, "answers", "json")

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Several files as one. Raises AnnotationError where a query stands in two of them."""
        if len(parts) == 1:
            return parts[0]
        numbered = any(one.numbered for one in parts)
        placed = [
            (f"{part.source}, {place}", replace(row, query_id=NO_ID) if numbered else row)
            for part in parts
            for place, row in zip(part.places, part.rows, strict=True)
        ]
        source = ", ".join(part.source for part in parts)
        if len({part.numbered for part in parts}) > 1:
            raise AnnotationError(source, ["some files have a qid in each row and some have none; convert them apart"])
        if faults := _repeated(placed):
            raise AnnotationError(source, faults)
        forms = {part.form for part in parts}
        scoreless = [part.form for part in parts if "scores" not in FORMS[part.form].holds]
        form = parts[0].form if len(forms) == 1 else next(iter(scoreless), "jsonl")
        return cls._numbered(tuple(row for _, row in placed), tuple(place for place, _ in placed), source, form)

    @classmethod
    def _numbered(
        cls, rows: tuple[PredictedRow, ...], places: tuple[str, ...], source: str, form: str
    ) -> "Predictions":
        without = [i for i, row in enumerate(rows) if row.query_id == NO_ID]
        if without and len(without) < len(rows):
            raise AnnotationError(source, [f"{places[without[0]]}: has no 'qid', and other rows have one"])
        if without:
            rows = tuple(replace(row, query_id=i) for i, row in enumerate(rows, start=1))
        return cls(rows, places, source, form, numbered=bool(without))

    @property
    def notes(self) -> list[str]:
        """What somebody should know of rows of this form."""
        said = []
        if "scores" not in FORMS[self.form].holds and any(len(row.moments) > 1 for row in self.rows):
            said.append(
                f"{FORMS[self.form].title}: there are no scores; 1, 1/2, 1/3 ... stand for the order of moments"
            )
        behind = [
            row for row in self.rows if row.duration_s and row.moments and row.moments[0].start_s >= row.duration_s
        ]
        if behind and self.form == "timelens":
            had = counted(len(behind), "answer names", "answers name")
            said.append(
                f"{had} no time; TimeLens' evaluation puts a window behind the end for that, which overlaps nothing"
            )
        names = (place if self.numbered else f"qid {row.query_id!r}"
                 for place, row in zip(self.places, self.rows, strict=True))  # fmt: skip
        return said + notes_of_words(list(zip(names, self.rows, strict=True)))

    def matched(self, truth: Sequence[Annotation]) -> "Predictions":
        """The same with the ids, durations and true windows of annotations: by id, or where the form has none by video
        and sentence. Raises AnnotationError that names the rows that no annotation fits, or several.
        """
        placed = list(zip(self.places, self.rows, strict=True))
        rows, faults = with_truth(placed, truth, by_id=not self.numbered)
        faults = faults or repeated_ids(zip(self.places, rows, strict=True))
        if faults:
            raise AnnotationError(self.source, faults)
        return replace(self, rows=tuple(rows), numbered=False)

    def faults(self) -> list[str]:
        """Moments that no file should hold: that end before they begin, or begin before the video."""
        found = []
        for place, row in zip(self.places, self.rows, strict=True):
            for one in row.moments:
                problem = "ends before it begins" if one.end_s < one.start_s else "begins before the video"
                if one.end_s < one.start_s or one.start_s < 0:
                    found.append(f"{place}: moment [{one.start_s:g}, {one.end_s:g}] {problem}")
        return found

    def without_faults(self) -> "Predictions":
        """The same without such moments."""
        rows = (
            replace(row, moments=tuple(one for one in row.moments if 0 <= one.start_s <= one.end_s))
            for row in self.rows
        )
        return replace(self, rows=tuple(rows))

    def left_out(self, form: str) -> list[str]:
        """What a form has no place for of what these rows hold, a clause each.  Raises UnknownName."""
        to, had = FORMS[find_form(form)], FORMS[self.form].holds
        found = []
        for what, (one, several, has) in LEFT_OUT.items():
            ours = what not in had or (what == "ids" and self.numbered)  # and not the file's
            n = 0 if what in to.holds or ours else sum(map(has, self.rows))
            if n:
                found.append(f"{counted(n, one, several)} left out: {to.title} has none")
        return found

    def text(self, form: str, *, lines: bool = True) -> str:
        """A file of a form: JSON lines, or one JSON document.

        Raises UnknownName, AnnotationError for a row without what the form cannot do without.
        """
        name = find_form(form)
        to = FORMS[name]
        faults = [
            f"{place}: has no {what}, which {to.title} cannot do without"
            for place, row in zip(self.places, self.rows, strict=True)
            for what, value in (("video", row.video_id), ("query", row.query))
            if what in to.needs and not value
        ]
        # numbers that were only counted are no ids, save where a row needs one
        rows = [replace(row, query_id=NO_ID) for row in self.rows] if self.numbered and name != "jsonl" else self.rows
        documents = [to.document(row) for row in rows]
        if to.merged:
            faults += _same_keys(zip(self.places, documents, strict=True))
        if faults:
            raise AnnotationError(self.source, faults)
        if lines:
            return "".join(map(json_line, documents))
        return json_text({key: value for one in documents for key, value in one.items()} if to.merged else documents)

    def to_file(self, path: Path | str, form: str = "jsonl") -> list[str]:
        """Write a file of a form, JSON lines unless its name ends in .json, and say what is left out.

        Raises UnknownName, AnnotationError, OutputError.
        """
        path = Path(path)
        write_text(path, self.text(form, lines=path.suffix.lower() != ".json"))
        return self.left_out(form)


def _form_of(path: Path, documents: Sequence[Document]) -> str:
    """The form of a file by its first row. Raises AnnotationError."""
    place, first = documents[0]
    fits = fitting_forms(first)
    if len(fits) == 1:
        return fits[0]
    again = command_line("spikemba", "convert", path, "--from", "FORM", "--to", "jsonl", "--out", "OUT.jsonl")
    if fits:
        names = " and ".join(fits)
        raise AnnotationError(path, [f"{place}: could be of the forms {names}; say which: `{again}`"])
    if "qid" in first:  # its own reader says what is missing
        return "jsonl"
    keys = ", ".join(map(json.dumps, list(first)[:6])) or "nothing"
    raise AnnotationError(
        path, [f"{place}: holds {keys}, as no known form of predictions; there are: {', '.join(form_names())}"]
    )


def _repeated(rows: Sequence[tuple[str, PredictedRow]]) -> list[str]:
    """Rows about what is answered before; without ids by video, query and true window."""
    faults = repeated_ids((place, row) for place, row in rows if row.query_id != NO_ID)
    seen: dict[object, str] = {}
    for place, row in rows:
        if row.query_id != NO_ID or not row.video_id:  # one sentence may be asked of several videos
            continue
        about = row.video_id, row.query, row.true_window
        if about in seen:
            faults.append(f"{place}: {row.query!r} of video {row.video_id!r} stands on {seen[about]} already")
        seen.setdefault(about, place)
    return faults


def _same_keys(documents: Iterable[tuple[str, dict[str, object]]]) -> list[str]:
    """Rows whose member would take the place of another's."""
    seen: dict[str, str] = {}
    faults = []
    for place, one in documents:
        for key in one:
            if key in seen:
                faults.append(f"{place}: its key {key!r} is that of {seen[key]}; --annotations adds the true windows")
            seen.setdefault(key, place)
    return faults
