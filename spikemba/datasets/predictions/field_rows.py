"""The rows of moment_detr, which QD-DETR, CG-DETR, UniVTG, Soccer-GMR and lighthouse's evaluation write too; and what
lighthouse's predictors return, which names neither query nor video by an id.

    {"qid": 1, "query": "a dog enters", "vid": "v", "pred_relevant_windows": [[start, end, score], ...],
     "pred_saliency_scores": [...], "pred_exist_score"?: 0.9, "duration"?: 150}

Times are seconds, the best moment stands first. Evaluators leave keys alone that they do not know.
"""

from collections.abc import Mapping
from typing import Any

from spikemba.datasets.annotations import PredictedRow, parse_answer, parse_prediction
from spikemba.datasets.predictions.form import NO_ID, Form
from spikemba.datasets.row_values import text_of, value_of

_ANSWERS = {"pred_relevant_windows", "pred_saliency_scores", "pred_exist_score", "pred_corpus_moments"}


def _bare(row: Mapping[str, Any]) -> PredictedRow:
    return PredictedRow(
        query_id=value_of(row, "qid", (int, str)) if "qid" in row else NO_ID,
        video_id=text_of(row, "vid"),
        query=value_of(row, "query", (str,)),
        **parse_answer(row),
    )


def _bare_document(row: PredictedRow) -> dict[str, Any]:
    return {
        "query": row.query,
        "pred_relevant_windows": [list(moment) for moment in row.moments],
        "pred_saliency_scores": list(row.saliency),
    }


FIELD = Form(
    title="the field's jsonl",
    what="a row per query with `qid`, `query`, `vid`, `pred_relevant_windows`, `pred_saliency_scores`, perhaps"
    " `pred_exist_score`; also what `evaluate --out` writes",
    holds=frozenset({"ids", "videos", "scores", "saliency", "exists", "durations"}),
    needs=frozenset(),
    claims=lambda row: "qid" in row and not _ANSWERS.isdisjoint(row),
    read=parse_prediction,
    document=PredictedRow.to_row,
    also=("moment_detr", "qd_detr", "cg_detr", "univtg", "gmr"),
)

LIGHTHOUSE = Form(
    title="lighthouse",
    what="what `retrieve` of lighthouse's predictors returns: the same without `qid` and `vid`; its evaluation writes"
    " `jsonl`",
    holds=frozenset({"scores", "saliency"}),
    needs=frozenset({"query"}),
    claims=lambda row: "qid" not in row and "pred_relevant_windows" in row,
    read=_bare,
    document=_bare_document,
)
