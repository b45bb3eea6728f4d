"""Answers of video language models in words, a row each.

{"vid": "v", "query": "a dog enters", "answer": "from 18.5 to 23 seconds", "qid"?: 1, "duration"?: 150}
"""

from collections.abc import Mapping
from typing import Any

from spikemba.datasets.annotations import PredictedRow
from spikemba.datasets.predictions.form import NO_ID, Form
from spikemba.datasets.predictions.spoken import ranked, sentence_of, windows_in
from spikemba.datasets.row_values import BadRow, number_of, value_of

_ANSWER = ("answer", "answers", "response")
_VIDEO = ("vid", "video", "video_path")


def _read(row: Mapping[str, Any]) -> PredictedRow:
    words = value_of(row, _one_of(row, _ANSWER), (str,))
    video = [key for key in _VIDEO if key in row]
    return PredictedRow(
        query_id=value_of(row, "qid", (int, str)) if "qid" in row else NO_ID,
        video_id=value_of(row, _one_of(row, _VIDEO), (str,)) if video else "",
        query=value_of(row, "query", (str,)),
        moments=ranked(windows_in(words)),
        saliency=(),
        duration_s=number_of(row, "duration"),
        words=words,
    )


def _one_of(row: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    found = [key for key in keys if key in row]
    if len(found) != 1:
        raise BadRow(f"has {' and '.join(map(repr, found)) or 'none'} of {', '.join(keys)}; expected one of them")
    return found[0]


def _document(row: PredictedRow) -> dict[str, Any]:
    windows = [(one.start_s, one.end_s) for one in row.moments]
    # what was rounded or converted since stands in other words than the model's
    own = row.words is not None and windows_in(row.words) == windows
    said: dict[str, Any] = {} if row.query_id == NO_ID else {"qid": row.query_id}
    said |= {"vid": row.video_id, "query": row.query, "answer": row.words if own else sentence_of(row.moments)}
    return said if row.duration_s is None else said | {"duration": row.duration_s}


WORDS = Form(
    title="text",
    what='what video language models say, in a row with `vid`, `query` and `answer`, such as "from 18.5 to 23'
    ' seconds", read by the rules of TimeLens',
    holds=frozenset({"ids", "videos", "durations", "words"}),
    needs=frozenset(),
    claims=lambda row: "query" in row and not set(_ANSWER).isdisjoint(row),
    read=_read,
    document=_document,
)
