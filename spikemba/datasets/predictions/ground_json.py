"""What `spikemba ground --json` prints: an object per video and sentence.

A `qid` stands in it where the form that it was converted from has one, and numbers keep all their digits then.
"""

from collections.abc import Mapping
from typing import Any

from spikemba.datasets.annotations import PredictedRow
from spikemba.datasets.predictions.form import NO_ID, Form
from spikemba.datasets.row_values import BadRow, all_finite, number_of, value_of
from spikemba.moments import Moment

_KEYS = ("start_s", "end_s", "score")


def _read(row: Mapping[str, Any]) -> PredictedRow:
    saliency = row.get("saliency") or []
    if not isinstance(saliency, list) or not all_finite(saliency):
        raise BadRow("saliency holds something that is not a finite number")
    model = row.get("model")
    return PredictedRow(
        query_id=value_of(row, "qid", (int, str)) if "qid" in row else NO_ID,
        video_id=value_of(row, "video", (str,)),
        query=value_of(row, "query", (str,)),
        moments=tuple(map(_moment, value_of(row, "moments", (list,)))),
        saliency=tuple(map(float, saliency)),
        exist_score=number_of(row, "exists"),
        duration_s=number_of(row, "duration_s"),
        clip_s=number_of(row, "clip_s"),
        model=None if model is None else value_of(row, "model", (str,)),
    )


def _moment(one: Any) -> Moment:
    if not isinstance(one, dict) or not all_finite([one.get(key) for key in _KEYS]):
        raise BadRow(f"moments holds {one!r}; expected finite numbers under {', '.join(_KEYS)}")
    return Moment(*(float(one[key]) for key in _KEYS))


def _document(row: PredictedRow) -> dict[str, Any]:
    return {
        **({} if row.query_id == NO_ID else {"qid": row.query_id}),
        "video": row.video_id,
        "query": row.query,
        "duration_s": row.duration_s,
        "clip_s": row.clip_s,
        "exists": row.exist_score,
        "moments": [dict(zip(_KEYS, moment, strict=True)) for moment in row.moments],
        "saliency": list(row.saliency),
        "model": row.model,
    }


GROUND = Form(
    title="the JSON of `ground --json`",
    what="what `ground --json` and `ground --format json` write: an object per video and sentence, or a list of them",
    holds=frozenset({"ids", "videos", "scores", "saliency", "exists", "durations", "clips", "models"}),
    needs=frozenset(),
    claims=lambda row: "moments" in row and "video" in row,
    read=_read,
    document=_document,
)
