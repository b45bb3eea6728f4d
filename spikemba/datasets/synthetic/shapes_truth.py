"""Where in many videos of `shapes` a sentence is true: what it means, read from its words, held against storyboards.

    meaning_of("a red disc comes in after the star spins") -> Meaning -> true_moments(boards, meaning)

A sentence is true per video. `first` and `last` are those of the video, also where the thing happens once; `after` an
event that happens several times is after one of them at least, and so is `before`. In the video that a sentence of
`shapes.queries` was written about, this is what was annotated; one of `shapes_nulls` is true of nothing in its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.corpus_rows import CorpusQuery
from spikemba.datasets.synthetic.shapes import (
    COLOURS,
    FORM_WORDS,
    PHRASES,
    Action,
    Description,
    Event,
    QueryKind,
    Storyboard,
    coverage,
    relevant_windows,
)
from spikemba.errors import SpikeMbaError
from spikemba.metrics.corpus import TrueMoment

Which = Literal["first", "last"]
Relation = Literal["before", "after"]
Acts = Mapping[Action, Sequence[Event]]
"""The events of a video by what is done, each row by start time."""


@dataclass(frozen=True)
class Meaning:
    """What a sentence says."""

    what: Description
    which: Which | None = None
    """Only that of the events of a video."""
    relation: Relation | None = None
    anchor: Description | None = None
    """What they have to come before or after."""

    @property
    def kind(self) -> QueryKind:
        """What it takes to tell the events from others."""
        if self.relation:
            return "before/after"
        if self.which:
            return "first/last"
        return "one attribute" if None in (self.what.colour, self.what.form) else "plain"

    def events(self, acts: Acts) -> list[Event]:
        """Those of a video that are meant, by start time."""
        found = _fitting(acts, self.what)
        if self.anchor is not None:
            anchors = _fitting(acts, self.anchor)
            if not anchors:
                return []
            if self.relation == "after":
                first_end_s = min(event.end_s for event in anchors)
                found = [event for event in found if event.start_s > first_end_s]
            else:
                last_start_s = max(event.start_s for event in anchors)
                found = [event for event in found if event.end_s < last_start_s]
        if self.which:
            found = found[:1] if self.which == "first" else found[-1:]
        return found


def meaning_of(sentence: str) -> Meaning:
    """What a sentence in the words of `shapes` says. Raises SpikeMbaError for another one."""
    said = sentence.lower().strip(" .")
    meaning: Meaning | None = None
    for word in get_args(Relation):
        said_what, _, said_anchor = said.partition(f" {word} ")
        what, anchor = _description(said_what), _description(said_anchor)
        if what and anchor:
            meaning = Meaning(what, relation=word, anchor=anchor)
    for which in get_args(Which):
        if said.endswith(end := f" for the {which} time") and (what := _description(said.removesuffix(end))):
            meaning = Meaning(what, which=which)
    if what := _description(said):
        meaning = Meaning(what)
    if meaning is None:
        raise SpikeMbaError(
            f"{sentence!r} is no sentence of shapes; expected one as 'a red circle enters', 'something red spins', "
            "'the star jumps for the first time' or 'a ring grows after the white box leaves'"
        )
    return meaning


def true_moments(boards: Sequence[Storyboard], meaning: Meaning) -> tuple[TrueMoment, ...]:
    """Every window of every video that a sentence of this meaning is true of, by video as given, then by time."""
    return _true_moments([(board, _acts(board)) for board in boards], meaning)


def corpus_queries(boards: Sequence[Storyboard], rows: Sequence[Annotation]) -> list[CorpusQuery]:
    """The sentences of annotation rows, true or null of their own videos, asked of all these videos.

    Raises SpikeMbaError for a sentence that is none of `shapes`.
    """
    videos = [(board, _acts(board)) for board in boards]
    found = []
    for row in rows:
        meaning = meaning_of(row.query)
        truth = _true_moments(videos, meaning)
        found.append(CorpusQuery(row.query_id, row.query, truth, video_id=row.video_id, kind=meaning.kind))
    return found


def _true_moments(videos: Sequence[tuple[Storyboard, Acts]], meaning: Meaning) -> tuple[TrueMoment, ...]:
    found = []
    for board, acts in videos:
        if events := meaning.events(acts):
            windows = relevant_windows(board.duration_s, coverage(board.duration_s, events))
            found += [TrueMoment(board.video_id, *window) for window in windows]
    return tuple(found)


def _acts(board: Storyboard) -> Acts:
    acts: dict[Action, list[Event]] = {}
    for event in board.events:
        acts.setdefault(event.action, []).append(event)
    return acts


def _fitting(acts: Acts, what: Description) -> list[Event]:
    return [event for event in acts.get(what.action, ()) if what.fits(event)]


def _description(clause: str) -> Description | None:
    """What a clause in the words of `shapes.phrase` says; None for another one."""
    for action, ways in PHRASES.items():
        for way in ways:
            if clause.endswith(f" {way}"):
                return _of_subject(clause.removesuffix(f" {way}"), action)
    return None


def _of_subject(subject: str, action: Action) -> Description | None:
    article, _, rest = subject.partition(" ")
    if article == "something":
        return Description(rest or None, None, action) if rest in ("", *COLOURS) else None
    if article not in ("a", "an", "the"):
        return None
    for form, words in FORM_WORDS.items():
        for word in words:
            colour = f" {rest}".removesuffix(f" {word}").strip()
            if f" {rest}".endswith(f" {word}") and colour in ("", *COLOURS):
                return Description(colour or None, form, action)
    return None
