"""One sentence asked of many videos: is a true moment, or only a true video, among the first answers.

R@k: whether one of the first k answers lies in a true video and overlaps a true window there by the IoU asked for.
VR-R@k: whether one of the first k different videos is a true one. NDCG@k: how much of the true moments the first k
answers hold, each counted once, early ones more.

The order is the list's, as in the evaluators of both sources: no score is read, so that ties are ranked as they are
listed, and nothing is suppressed. Answers that overlap are thinned before the list is written, or not at all.

Source: TVR (Lei et al. 2020, arXiv 2001.09099), standalone_eval/eval.py: the keys, the first 100 answers, `>=`, and the
hull of the two windows as divisor; there a query has one true moment. TVR-Ranking (Liang et al. 2024, arXiv 2407.06597)
for NDCG@K, IoU >= mu: its code compares with `>`, here the limit itself counts, as the name says.
"""

# Shapes: Q queries, P of them with a true moment, M answers in the order given, K true moments, T IoU thresholds.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikemba.metrics.errors import NothingToScore, NotNumbers, refuse_nan
from spikemba.metrics.existence import THRESHOLDS, auroc, rejection
from spikemba.metrics.retrieval import QueryId
from spikemba.metrics.rounding import percent

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RECALL_AT = (1, 5, 10, 100)
"""How many of the first answers are looked at."""
RECALL_IOU = (0.5, 0.7)
NDCG_AT = (10, 20)
NDCG_IOU = (0.3, 0.5, 0.7)
BRIEF_IOU = ("0.5", "0.7")
"""IoU thresholds that a brief names."""
MOST_ANSWERS = max(*RECALL_AT, *NDCG_AT)
"""Answers of a query that are read."""
HIGHEST_GRADE = 30.0
"""A gain is 2^grade - 1."""
METRICS = (
    *(f"VCMR-R{k}@{limit}" for limit in RECALL_IOU for k in RECALL_AT),
    *(f"VR-R{k}" for k in RECALL_AT),
    *(f"NDCG{k}@{limit}" for limit in NDCG_IOU for k in NDCG_AT),
)
"""Means over the queries with a true moment."""
EMPTY = "empty"
"""In place of a threshold: rejected is what has no answer."""


class CorpusMoment(NamedTuple):
    """An answer: a window of one of the videos, with a score."""

    video_id: str
    start_s: float
    end_s: float
    score: float


class TrueMoment(NamedTuple):
    """A window of one of the videos that the sentence is true of."""

    video_id: str
    start_s: float
    end_s: float
    grade: float = 1.0
    """How well it fits, above 0; all are 1 where a set has no grades."""


@dataclass(frozen=True)
class CorpusAnswers:
    """Answers beside the truth, of the same queries."""

    moments: Mapping[QueryId, Sequence[CorpusMoment]]
    """By query, best first."""
    truth: Mapping[QueryId, Sequence[TrueMoment]]
    """By query; empty for a null query, which no video shows."""
    existence: Mapping[QueryId, float]
    """By query, the higher the likelier that a video shows it; -inf where nothing was answered."""

    @property
    def answerable(self) -> list[QueryId]:
        """The queries with a true moment."""
        return [query_id for query_id, moments in self.truth.items() if moments]


def corpus_samples(answers: CorpusAnswers) -> dict[str, Floats]:
    """Metric -> what it gives each query with a true moment, (P,) in [0, 1], in the order of `answerable`.

    `VCMR-R10@0.5` is R@10 at IoU 0.5, `VR-R10` that of videos alone, `NDCG10@0.5` NDCG@10. Who answers less than k is
    judged by what there is; who answers nothing gets 0.
    Raises ValueError when a query has no answers, not even an empty list, NotNumbers on NaN.
    """
    if missing := [query_id for query_id in answers.truth if query_id not in answers.moments]:
        raise ValueError(f"{len(missing)} queries have no answers, the first is {missing[0]!r}")
    rows = [_of_query(query_id, answers.moments[query_id], answers.truth[query_id]) for query_id in answers.answerable]
    return {name: np.array([row[name] for row in rows], np.float64) for name in METRICS}


def corpus_document(answers: CorpusAnswers) -> dict[str, Any]:
    """All scores, percent with two decimals: `brief`, VCMR and VR under TVR's keys, NDCG, and `null`.

    Queries without a true moment are left out of all but `null`: how many they are, and how well they are told from the
    others, by AUROC of the existence scores, by empty lists, and at thresholds where the scores can be probabilities.
    Raises NothingToScore when no query has a true moment.
    """
    samples = corpus_samples(answers)
    n_answerable = len(answers.answerable)
    if not n_answerable:
        raise NothingToScore(f"none of {len(answers.truth)} queries has a true moment in any video")
    means = {name: percent(values.mean()) for name, values in samples.items()}
    null = null_scores(answers)
    return {
        "brief": corpus_brief(means, null),
        "VCMR": {f"{limit}-r{k}": means[f"VCMR-R{k}@{limit}"] for limit in RECALL_IOU for k in RECALL_AT},
        "VR": {f"r{k}": means[f"VR-R{k}"] for k in RECALL_AT},
        "NDCG": {str(k): {str(limit): means[f"NDCG{k}@{limit}"] for limit in NDCG_IOU} for k in NDCG_AT},
        **({"null": null} if null else {}),
        "stats": _stats(answers),
    }


def null_scores(answers: CorpusAnswers) -> dict[str, Any]:
    """How well queries that nothing fits are told from the others; empty where there are none."""
    exists = np.array([len(moments) > 0 for moments in answers.truth.values()], np.bool_)
    if exists.all():
        return {}
    scores = np.array([answers.existence[query_id] for query_id in answers.truth], np.float64)
    refuse_nan("existence score", list(answers.truth), scores)
    found: dict[str, Any] = {"n_queries": int((~exists).sum())}
    if exists.any():
        found["AUROC"] = percent(auroc(scores, exists))
    answered = np.array([len(answers.moments[query_id]) > 0 for query_id in answers.truth], np.float64)
    limits: dict[str, tuple[Floats, float]] = {} if answered.all() else {EMPTY: (answered, 0.5)}
    given = scores[np.isfinite(scores)]
    if given.size and given.min() >= 0 and given.max() <= 1:
        limits |= {str(limit): (scores, limit) for limit in THRESHOLDS}
    found["per_threshold"] = {name: rejection(of, exists, limit) for name, (of, limit) in limits.items()}
    return found


def ndcg(gained: Sequence[float], grades: Sequence[float], k: int) -> float:
    """Normalised discounted cumulative gain of the first k answers, in [0, 1].

    gained: the grade that each answer found, 0 for none, in the order of the list.  grades: of all true moments.
    DCG@k = sum over i = 1 ... k of (2^grade_i - 1) / log2(i + 1), divided by that of the best order there is.
    Source: Jaervelin and Kekaelaeinen 2002 with the gain of Burges et al. 2005, as TVR-Ranking takes it.
    """
    best = _dcg(np.sort(np.asarray(grades, np.float64))[::-1][:k])
    return _dcg(np.asarray(gained, np.float64)[:k]) / best if best > 0 else 0.0


def _dcg(grades: Floats) -> float:
    return float(((np.exp2(grades) - 1) / np.log2(np.arange(2, len(grades) + 2))).sum())


def overlaps(moments: Sequence[CorpusMoment], truth: Sequence[TrueMoment]) -> Floats:
    """IoU of every answer with every true moment, (M, K); 0 in another video. The divisor is the hull of the two."""
    start, end, video = _columns(moments)
    true_start, true_end, true_video = _columns(truth)
    intersection = np.minimum(end[:, None], true_end) - np.maximum(start[:, None], true_start)
    hull = np.maximum(end[:, None], true_end) - np.minimum(start[:, None], true_start)
    alike = (video[:, None] == true_video) & (hull > 0)
    found: Floats = np.divide(np.maximum(intersection, 0), hull, out=np.zeros_like(hull), where=alike)
    return found


def found_grades(overlap: Floats, grades: Floats, limit: float) -> Floats:
    """The grade that each answer finds, (M,): of the true moment it overlaps most among those no earlier one took.

    It is taken when the overlap reaches the limit, and 0 otherwise; of equal overlaps the higher grade is taken.
    overlap: (M, K), grades: (K,).
    """
    order = np.argsort(-grades, kind="stable")
    free, gained = np.ones(len(grades), np.bool_), np.zeros(len(overlap))
    for rank in np.flatnonzero((overlap >= limit).any(1)):
        candidates = np.where(free, overlap[rank], -1.0)[order]
        best = order[candidates.argmax()]
        if free[best] and overlap[rank, best] >= limit:
            gained[rank], free[best] = grades[best], False
    return gained


def _of_query(query_id: QueryId, moments: Sequence[CorpusMoment], truth: Sequence[TrueMoment]) -> dict[str, float]:
    """Every metric of one query with a true moment."""
    read = moments[:MOST_ANSWERS]
    if any(isnan(number) for _, *numbers in read for number in numbers):
        raise NotNumbers("predicted moments", query_id)
    overlap = overlaps(read, truth)
    found: dict[str, float] = {}
    for limit in RECALL_IOU:
        hits = np.flatnonzero((overlap >= limit).any(1))
        found |= {f"VCMR-R{k}@{limit}": float(hits.size > 0 and hits[0] < k) for k in RECALL_AT}
    true_videos = {moment.video_id for moment in truth}
    videos = list(dict.fromkeys(moment.video_id for moment in moments))
    for k in RECALL_AT:
        found[f"VR-R{k}"] = float(not true_videos.isdisjoint(videos[:k]))
    grades = np.array([moment.grade for moment in truth], np.float64)
    for limit in NDCG_IOU:
        gained = found_grades(overlap[: max(NDCG_AT)], grades, limit)
        found |= {f"NDCG{k}@{limit}": ndcg(gained.tolist(), grades.tolist(), k) for k in NDCG_AT}
    return found


def _columns(rows: Sequence[CorpusMoment] | Sequence[TrueMoment]) -> tuple[Floats, Floats, NDArray[np.object_]]:
    windows = np.array([(row.start_s, row.end_s) for row in rows], np.float64).reshape(-1, 2)
    return windows[:, 0], windows[:, 1], np.array([row.video_id for row in rows], np.object_)


def corpus_brief(means: Mapping[str, float], null: Mapping[str, Any]) -> dict[str, float]:
    """The few numbers that stand for a document."""
    names = [name for name in means if "@" not in name or name.partition("@")[2] in BRIEF_IOU]
    brief = {name: means[name] for name in names}
    if "AUROC" in null:
        brief["AUROC"] = null["AUROC"]
    for limit, of_limit in null.get("per_threshold", {}).items():
        brief |= {f"{name}@{limit}": of_limit[name] for name in ("Rej-F1", "Rej-R")}
    return brief


def _stats(answers: CorpusAnswers) -> dict[str, Any]:
    answerable = answers.answerable
    return {
        "n_queries": len(answers.truth),
        "n_scored": len(answerable),
        "n_null": len(answers.truth) - len(answerable),
        "n_unanswered": sum(not answers.moments[query_id] for query_id in answerable),
        "true_moments_per_query": round(float(np.mean([len(answers.truth[one]) for one in answerable])), 2),
        "true_videos_per_query": round(
            float(np.mean([len({moment.video_id for moment in answers.truth[one]}) for one in answerable])), 2
        ),
    }
