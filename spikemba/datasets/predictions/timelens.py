"""Result files of TimeLens (arXiv 2512.14698): an object per line whose one key names video, query and true window.

    {"v.mp4>>>a dog enters>>>[10.0, 20.5]": {"timestamps": [[9.5, 21.0]], "answers": "The event ...", "duration": 150}}

A .json has all keys in one object. Its evaluation reads the first of `timestamps`, or where they are absent the times
in `answers`, and leaves other keys alone: a `qid` is kept there. There are no scores.
"""

import json
from collections.abc import Mapping
from typing import Any

from spikemba.datasets.annotations import PredictedRow
from spikemba.datasets.predictions.form import NO_ID, Form
from spikemba.datasets.predictions.spoken import ranked, sentence_of, windows_in
from spikemba.datasets.row_values import BadRow, number_lists, number_of, value_of
from spikemba.moments import Window
from spikemba.reading.trees import parse_json
from spikemba.reading.unreadable import Unreadable

BETWEEN = ">>>"
SUFFIX = ".mp4"
"""Behind the name of a video, as TimeLens-Bench has them."""
_OTHER_SUFFIXES = (".mkv", ".webm", ".avi", ".mov", ".m4v")


def keys_of(row: Mapping[str, Any]) -> list[str]:
    """Those that name a video and a query."""
    return [key for key in row if BETWEEN in key]


def _read(row: Mapping[str, Any]) -> PredictedRow:
    if len(row) != 1:
        raise BadRow(f"has {len(row)} keys; expected VIDEO>>>QUERY>>>WINDOW alone")
    ((key, said),) = row.items()
    parts = key.split(BETWEEN)
    if len(parts) < 3:
        raise BadRow(f"has the key {key!r}; expected VIDEO>>>QUERY>>>WINDOW")
    if not isinstance(said, dict):
        raise BadRow(f"{key!r} is {said!r}; expected an object with `timestamps` or `answers`")
    words = value_of(said, "answers", (str,)) if said.get("answers") is not None else None
    if said.get("timestamps") is not None:
        windows = [Window(float(a), float(b)) for a, b in number_lists(said, "timestamps", width=2)]
    elif words is not None:
        windows = windows_in(words)
    else:
        raise BadRow(f"{key!r} has neither `timestamps` nor `answers`")
    return PredictedRow(
        query_id=value_of(said, "qid", (int, str)) if "qid" in said else NO_ID,
        video_id=parts[0].removesuffix(SUFFIX),
        query=BETWEEN.join(parts[1:-1]),
        moments=ranked(windows),
        saliency=(),
        duration_s=number_of(said, "duration"),
        words=words,
        true_window=_window(parts[-1]),
    )


def _window(text: str) -> Window | None:
    """The true window of a key, written as Python writes a list or a pair; None where it says none."""
    if text.strip() in ("", "None"):
        return None
    try:
        window = parse_json(text.replace("(", "[").replace(")", "]"))
    except Unreadable:
        raise BadRow(f"has {text!r} as true window; expected [start, end]") from None
    window = window[0] if isinstance(window, list) and len(window) == 1 else window
    ((start_s, end_s),) = number_lists({"true window": [window]}, "true window", width=2)
    return Window(float(start_s), float(end_s))


def _document(row: PredictedRow) -> dict[str, Any]:
    video = row.video_id if row.video_id.endswith(_OTHER_SUFFIXES) else row.video_id + SUFFIX
    truth = "None" if row.true_window is None else json.dumps(list(row.true_window))
    said: dict[str, Any] = {
        "timestamps": [[one.start_s, one.end_s] for one in row.moments],
        "answers": sentence_of(row.moments) if row.words is None else row.words,
    }
    said |= {} if row.duration_s is None else {"duration": row.duration_s}
    said |= {} if row.query_id == NO_ID else {"qid": row.query_id}
    return {BETWEEN.join((video, row.query, truth)): said}


TIMELENS = Form(
    title="TimeLens",
    what="result files of TimeLens' evaluation: `timestamps` and `answers` under `VIDEO>>>QUERY>>>WINDOW`",
    holds=frozenset({"ids", "videos", "durations", "words", "truth"}),
    needs=frozenset({"video", "query"}),
    claims=lambda row: bool(keys_of(row)),
    read=_read,
    document=_document,
    merged=True,
)
