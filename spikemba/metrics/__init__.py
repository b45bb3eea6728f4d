"""Scores of predicted moments and saliency, equal to the official evaluators' to the printed digit. Numpy only.

In:    arrays of moments, windows, saliency and ratings, by query.
Out:   the official documents of metrics, also of queries that have no moment, and intervals by resampling.
First: retrieval.py, R1 and mAP of moments; highlights.py; corpus.py, a sentence asked of many videos.
"""

from spikemba.metrics.document import grounding_document
from spikemba.metrics.errors import NothingToScore, NotNumbers, SaliencyTooShort
from spikemba.metrics.generalised import AnsweredQueries, generalised_document
from spikemba.metrics.highlights import (
    DomainScores,
    HighlightScores,
    highlight_metrics,
    ratings_matrix,
    tvsum_metrics,
    tvsum_top5_map,
    youtube_ap,
    youtube_metrics,
)
from spikemba.metrics.retrieval import (
    AP_THRESHOLDS,
    OPEN_ENDED_RANGES,
    QVHIGHLIGHTS_RANGES,
    QueryId,
    RangeScores,
    retrieval_metrics,
)

__all__ = [
    "AP_THRESHOLDS",
    "OPEN_ENDED_RANGES",
    "QVHIGHLIGHTS_RANGES",
    "AnsweredQueries",
    "DomainScores",
    "HighlightScores",
    "NotNumbers",
    "NothingToScore",
    "QueryId",
    "RangeScores",
    "SaliencyTooShort",
    "generalised_document",
    "grounding_document",
    "highlight_metrics",
    "ratings_matrix",
    "retrieval_metrics",
    "tvsum_metrics",
    "tvsum_top5_map",
    "youtube_ap",
    "youtube_metrics",
]
