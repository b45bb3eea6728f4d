"""Annotation and prediction rows in the field's JSON lines. Needs no torch."""

# Shapes: K true windows, M moments, L clips, A annotators.

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.row_values import (
    LATEST,
    BadRow,
    all_finite,
    collect_rows,
    number_lists,
    number_of,
    read_rows,
    text_of,
    value_of,
)
from spikemba.files import write_jsonl
from spikemba.moments import Moment, Window

QueryId = int | str

RATING_CLIP_S = 2.0
"""Seconds of a rated clip in the QVHighlights form."""


@dataclass(frozen=True)
class Annotation:
    """One query about one video."""

    query_id: QueryId
    query: str
    video_id: str
    duration_s: float
    windows: tuple[Window, ...] | None = None
    """True windows; empty for a null query, of which the video shows nothing; None when the set has none (highlights)
    or hides them (a test split)."""
    relevant_clips: tuple[int, ...] = ()
    """Clips that `ratings` are about."""
    ratings: tuple[tuple[int, ...], ...] = ()
    """Three ratings 0-4, one per annotator, for each relevant clip; empty when nobody rated."""
    rating_clip_s: float = RATING_CLIP_S
    """Seconds of a clip of `relevant_clips`; key `clip_s` of the row, where it is not that of QVHighlights."""
    labels: tuple[tuple[float, ...], ...] = ()
    """Highlight sets: for each clip of the video 20 importances 1-5 (TVSum) or one 0 or 1 (YouTube Highlights)."""
    domain: str | None = None
    """Highlight sets: the kind of video, within which they are trained and scored."""
    kind: str | None = None
    """What sort of question it is, where a corpus says so."""

    def to_row(self) -> dict[str, Any]:
        """The row as QVHighlights writes it."""
        row: dict[str, Any] = {
            "qid": self.query_id, "query": self.query, "duration": self.duration_s, "vid": self.video_id,
        }  # fmt: skip
        if self.windows is not None:
            row["relevant_windows"] = [list(window) for window in self.windows]
        if self.ratings:
            row["relevant_clip_ids"] = list(self.relevant_clips)
            row["saliency_scores"] = [list(rating) for rating in self.ratings]
            if self.rating_clip_s != RATING_CLIP_S:
                row["clip_s"] = self.rating_clip_s
        if self.labels:
            row["label"] = [list(of_clip) for of_clip in self.labels]
        if self.kind is not None:
            row["kind"] = self.kind
        return row if self.domain is None else row | {"domain": self.domain}

    @property
    def is_null(self) -> bool:
        """Whether it is known that the video shows nothing of the query."""
        return self.windows == () and not self.ratings and not self.labels

    @property
    def window_array(self) -> NDArray[np.float64]:
        """(K, 2) seconds."""
        return np.asarray(self.windows or (), dtype=np.float64).reshape(-1, 2)

    @property
    def label_array(self) -> NDArray[np.float64]:
        """(L, A), of highlight sets."""
        return np.asarray(self.labels, dtype=np.float64)


@dataclass(frozen=True)
class PredictedRow:
    """What a model answered to one query."""

    query_id: QueryId
    video_id: str
    query: str
    moments: tuple[Moment, ...]
    saliency: tuple[float, ...]
    """One number per clip, the higher the better."""
    exist_score: float | None = None
    """How sure it is that the video shows the query at all, the higher the surer; None where nothing says it."""
    duration_s: float | None = None
    """Of the video, where the file says it."""
    clip_s: float | None = None
    """Seconds of video per value of `saliency`, where the file says it."""
    model: str | None = None
    """What answered, where the file says it."""
    words: str | None = None
    """The answer as a language model gave it, word for word."""
    true_window: Window | None = None
    """What is true, where the form has it beside the answer."""

    @property
    def existence(self) -> float:
        """The existence score; without one the largest score of a moment, without moments 0, as the field has it."""
        if self.exist_score is not None:
            return self.exist_score
        return max((moment.score for moment in self.moments), default=0.0)

    @property
    def moment_array(self) -> NDArray[np.float64]:
        """(M, 3): seconds and score, best first."""
        return np.asarray(self.moments, dtype=np.float64).reshape(-1, 3)

    def to_row(self) -> dict[str, Any]:
        """The row as the official evaluators read it."""
        row: dict[str, Any] = {
            "qid": self.query_id,
            "query": self.query,
            "vid": self.video_id,
            "pred_relevant_windows": [list(moment) for moment in self.moments],
            "pred_saliency_scores": list(self.saliency),
        }
        row |= {} if self.exist_score is None else {"pred_exist_score": self.exist_score}
        return row if self.duration_s is None else row | {"duration": self.duration_s}


def read_annotations(path: Path) -> list[Annotation]:
    """Read a jsonl of annotations. Raises AnnotationError that names every row that cannot be used."""
    return read_rows(path, _annotation)


Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A row of another form -> the row in the QVHighlights form."""


def read_numbered(path: Path, change: Change = lambda row: row) -> tuple[list[tuple[str, Annotation]], list[str]]:
    """The rows that can be read, with their places, as `line 12`, and the faults of the others; repeated ids are kept.

    Raises AnnotationError when the file is not jsonl.
    """
    return collect_rows(path, lambda row: _annotation(change(row)))


def write_annotations(path: Path, annotations: Iterable[Annotation]) -> None:
    """Write annotations as a jsonl that `read_annotations` and the field's tools read."""
    write_jsonl(path, (annotation.to_row() for annotation in annotations))


def read_predictions(path: Path) -> list[PredictedRow]:
    """Read a jsonl of predictions. Raises AnnotationError that names every row that cannot be used."""
    return read_rows(path, parse_prediction)


def write_predictions(path: Path, rows: Iterable[PredictedRow]) -> None:
    """Write predictions as a jsonl that the official evaluators read."""
    write_jsonl(path, (row.to_row() for row in rows))


def _annotation(row: Mapping[str, Any]) -> Annotation:
    if "truth" in row and "duration" not in row:
        raise BadRow("has 'truth', so it is about all videos of a corpus; give --corpus to `evaluate` and `compare`")
    duration = value_of(row, "duration", (int, float))
    if not (isfinite(duration) and duration > 0):
        raise BadRow(f"duration {duration} is not a positive number of seconds")
    windows = None
    if row.get("relevant_windows") is not None:
        windows = tuple(Window(*map(float, pair)) for pair in number_lists(row, "relevant_windows", width=2))
    clips, ratings = row.get("relevant_clip_ids") or (), row.get("saliency_scores") or ()
    if ratings and len(clips) != len(ratings):
        cure = "; `spikemba prepare na_vmr --source DIR` reads such rows" if ratings == [[]] else ""
        raise BadRow(f"{len(ratings)} saliency_scores for {len(clips)} relevant_clip_ids{cure}")
    return Annotation(
        query_id=value_of(row, "qid", (int, str)),
        query=value_of(row, "query", (str,)),
        video_id=value_of(row, "vid", (str,)),
        duration_s=duration,
        windows=windows,
        relevant_clips=_clip_ids(clips) if ratings else (),
        ratings=tuple((int(a), int(b), int(c)) for a, b, c in _ratings(row)) if ratings else (),
        rating_clip_s=_rating_clip_s(row) if ratings else RATING_CLIP_S,
        labels=_labels(row) if row.get("label") is not None else (),
        domain=value_of(row, "domain", (str,)) if row.get("domain") is not None else None,
        kind=value_of(row, "kind", (str,)).strip() or None if row.get("kind") is not None else None,
    )


def _clip_ids(clips: Any) -> tuple[int, ...]:
    if not isinstance(clips, list) or any(type(clip) not in (int, float) or clip != int(clip) for clip in clips):
        raise BadRow(f"relevant_clip_ids is {clips!r}; expected a list of whole numbers")
    return tuple(map(int, clips))


def _ratings(row: Mapping[str, Any]) -> list[list[float]]:
    rows = number_lists(row, "saliency_scores", width=3)
    if wrong := [of_clip for of_clip in rows if any(rating not in (0, 1, 2, 3, 4) for rating in of_clip)]:
        raise BadRow(f"saliency_scores holds {wrong[0]!r}; expected whole numbers from 0 to 4")
    return rows


def _rating_clip_s(row: Mapping[str, Any]) -> float:
    clip_s = value_of(row, "clip_s", (int, float)) if row.get("clip_s") is not None else RATING_CLIP_S
    if not (isfinite(clip_s) and clip_s > 0):
        raise BadRow(f"clip_s {clip_s} is not a positive number of seconds")
    return float(clip_s)


def _labels(row: Mapping[str, Any]) -> tuple[tuple[float, ...], ...]:
    """One row of numbers per clip, all of one width."""
    rows = number_lists(row, "label")
    if len({len(of_clip) for of_clip in rows}) != 1:
        raise BadRow("label has clips with different numbers of annotators, or none")
    return tuple(tuple(of_clip) for of_clip in rows)


def parse_prediction(row: Mapping[str, Any]) -> PredictedRow:
    """A row as moment_detr and its successors write it. Raises BadRow."""
    if "pred_corpus_moments" in row and "pred_relevant_windows" not in row:
        raise BadRow("has 'pred_corpus_moments', so it is about all videos of a corpus; give --corpus to `evaluate`")
    return PredictedRow(
        query_id=value_of(row, "qid", (int, str)),
        video_id=text_of(row, "vid"),
        query=text_of(row, "query"),
        **parse_answer(row),
    )


def parse_answer(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row in that form answers, without what it is about, as fields of PredictedRow. Raises BadRow."""
    windows = number_lists(row, "pred_relevant_windows", width=3) if row.get("pred_relevant_windows") else []
    saliency = row.get("pred_saliency_scores") or []
    if not isinstance(saliency, list) or not all_finite(saliency):
        raise BadRow("pred_saliency_scores holds something that is not a finite number")
    if late := next((one for one in windows if max(map(abs, one[:2])) > LATEST), None):
        raise BadRow(f"pred_relevant_windows holds {late!r}; expected times of at most {LATEST:g}")
    if (duration_s := number_of(row, "duration")) is not None and duration_s < 0:
        raise BadRow(f"duration is {duration_s:g}; expected a positive number")
    return {
        "moments": tuple(Moment(float(a), float(b), float(c)) for a, b, c in windows),
        "saliency": tuple(map(float, saliency)),
        "exist_score": number_of(row, "pred_exist_score"),
        "duration_s": duration_s,
    }
