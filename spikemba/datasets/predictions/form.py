"""What a form of predictions is."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from spikemba.datasets.annotations import PredictedRow

NO_ID = ""
"""The id of a row of a form that has none, until it is numbered."""


class Form(NamedTuple):
    """A form of predictions: how one is told from others, read and written, a row at a time."""

    title: str
    """As messages name it."""
    what: str
    """Who writes it, and what a row is."""
    holds: frozenset[str]
    """Of `LEFT_OUT`, what it has a place for."""
    needs: frozenset[str]
    """`video` and `query`, where it cannot do without."""
    claims: Callable[[Mapping[str, Any]], bool]
    """Whether a row may be of this form, by its keys."""
    read: Callable[[Mapping[str, Any]], PredictedRow]
    """Raises BadRow."""
    document: Callable[[PredictedRow], dict[str, Any]]
    """What stands in the file of a row."""
    also: tuple[str, ...] = ()
    """Other names of it, those of the projects that write it."""
    merged: bool = False
    """A .json of it is one object with the members of all rows; otherwise it is a list."""


LEFT_OUT: dict[str, tuple[str, str, Callable[[PredictedRow], bool]]] = {
    "ids": ("query id", "query ids", lambda row: row.query_id != NO_ID),
    "videos": ("name of a video", "names of videos", lambda row: bool(row.video_id)),
    "scores": ("row's scores", "rows' scores", lambda row: bool(row.moments)),
    "saliency": ("saliency list", "saliency lists", lambda row: bool(row.saliency)),
    "exists": ("existence score", "existence scores", lambda row: row.exist_score is not None),
    "durations": ("duration", "durations", lambda row: row.duration_s is not None),
    "clips": ("length of clips", "lengths of clips", lambda row: row.clip_s is not None),
    "models": ("name of a model", "names of models", lambda row: row.model is not None),
    "words": ("answer in words", "answers in words", lambda row: row.words is not None),
    "truth": ("true window", "true windows", lambda row: row.true_window is not None),
}
"""What a row may hold beside the windows -> what it is called, of one row and of several, and whether a row has it."""
