"""The JSON document that the QVHighlights evaluator writes, from predictions and truth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.metrics.highlights import HighlightScores, highlight_metrics
from spikemba.metrics.retrieval import (
    AP_THRESHOLDS,
    QVHIGHLIGHTS_RANGES,
    QueryId,
    RangeScores,
    retrieval_metrics,
)

BRIEF_MAP = ("0.5", "0.75")
"""IoU thresholds of MR-mAP that the brief repeats, beside the average."""

BRIEF_R1 = ("0.3", "0.5", "0.7")
"""Those of MR-R1, where they were measured: the QVHighlights document has no 0.3."""


def grounding_document(
    predicted: Mapping[QueryId, NDArray[np.floating]] | None = None,
    truth: Mapping[QueryId, NDArray[np.floating]] | None = None,
    saliency: Mapping[QueryId, NDArray[np.floating]] | None = None,
    ratings: Mapping[QueryId, NDArray[np.floating]] | None = None,
    *,
    r1_thresholds: Sequence[float] = AP_THRESHOLDS,
    ranges: Mapping[str, tuple[float, float]] = QVHIGHLIGHTS_RANGES,
    with_miou: bool = False,
) -> dict[str, Any]:
    """Scores in the order of the official file: `brief`, then HL-min-Fair ..., full, long, middle, short.

    predicted, truth and the keywords: as retrieval_metrics takes them.  saliency, ratings: as highlight_metrics does.
    A part is left out where either of its two is None.
    Source: moment_detr standalone_eval/eval.py, eval_submission; R1@0.3 and mIoU in the brief as the peers print them.
    """
    moments: dict[str, RangeScores] = {}
    if predicted is not None and truth is not None:
        moments = retrieval_metrics(predicted, truth, r1_thresholds=r1_thresholds, ranges=ranges, with_miou=with_miou)
    highlights: dict[str, HighlightScores] = {}
    if saliency is not None and ratings is not None:
        highlights = highlight_metrics(saliency, ratings)
    brief = {**_brief_of_moments(moments), **_brief_of_highlights(highlights)}
    return {"brief": brief, **dict(sorted({**moments, **highlights}.items()))}


def _brief_of_moments(scores: Mapping[str, RangeScores]) -> dict[str, float]:
    """MR-long-mAP and so on, sorted by key as in the official file."""
    brief = {f"MR-{name}-mAP": of_range["MR-mAP"]["average"] for name, of_range in scores.items()}
    if full := scores.get("full"):
        brief |= {f"MR-full-mAP@{limit}": full["MR-mAP"][limit] for limit in BRIEF_MAP}
        brief |= {f"MR-full-R1@{limit}": full["MR-R1"][limit] for limit in BRIEF_R1 if limit in full["MR-R1"]}
        if "MR-mIoU" in full:
            brief["MR-full-mIoU"] = full["MR-mIoU"]
    return dict(sorted(brief.items()))


def _brief_of_highlights(scores: Mapping[str, HighlightScores]) -> dict[str, float]:
    """HL-min-Fair-mAP and so on, in the order of the levels."""
    brief: dict[str, float] = {}
    for level, of_level in scores.items():
        brief |= {f"{level}-mAP": of_level["HL-mAP"], f"{level}-Hit1": of_level["HL-Hit1"]}
    return brief
