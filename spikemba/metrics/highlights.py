"""Highlight detection: the QVHighlights scores, and mean average precision on TVSum and YouTube Highlights.

Sources: moment_detr standalone_eval/eval.py and utils.py; UMT datasets/tvsum.py and youtube.py. The two families define
average precision differently: the first interpolates and treats clips of equal saliency as one, the second is a
trapezoid over clips in stable order.
"""

# Shapes: Q queries, L clips, A annotators (3 in QVHighlights, 20 in TVSum).

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikemba.errors import ShapeError
from spikemba.metrics.errors import NothingToScore, SaliencyTooShort, refuse_nan
from spikemba.metrics.ragged import pad
from spikemba.metrics.retrieval import Bools, Floats, QueryId
from spikemba.metrics.rounding import percent, percent_of_five_decimals

N_RATERS = 3
"""Annotators who rated each clip of a QVHighlights query."""

LEVELS: Mapping[str, int] = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""Least rating of a positive clip; tables print VeryGood."""

TVSUM_TOP = 5
"""Clips that TVSum's Top-5 mAP looks at."""

HighlightScores = TypedDict("HighlightScores", {"HL-mAP": float, "HL-Hit1": float})
"""Scores at one level, percent with two decimals."""


class DomainScores(TypedDict):
    """Percent: mean of the domains, and each domain by name."""

    mAP: float
    domains: dict[str, float]


def highlight_metrics(
    saliency: Mapping[QueryId, NDArray[np.floating]], ratings: Mapping[QueryId, NDArray[np.floating]]
) -> dict[str, HighlightScores]:
    """Score saliency against the ratings of three annotators, at each of the LEVELS: "HL-min-Fair" and so on.

    saliency: per query (n,), any range, higher is better.  ratings: per query (L, 3) in 0..4, zero off the windows.
    n should be L.  As in the official code a longer list is cut for HL-mAP, while HL-Hit1 counts a maximum past the
    end as a miss; a shorter one is filled with 0, which ranks the missing clips above all negative values.
    Raises NothingToScore without queries, NotNumbers on NaN, ValueError when `ratings` lacks a predicted query or a
    shape is wrong.
    """
    results: dict[str, HighlightScores] = {}
    ranked = _ranked(saliency, ratings)
    for name, least in LEVELS.items():
        ap, hit = ranked.at(least)
        results[f"HL-min-{name}"] = {"HL-mAP": percent(ap.mean()), "HL-Hit1": percent(hit.mean())}
    return results


def clip_scores(
    saliency: Mapping[QueryId, NDArray[np.floating]], ratings: Mapping[QueryId, NDArray[np.floating]], least: int
) -> tuple[Floats, Bools]:
    """What highlight_metrics averages at one level: AP per query and annotator, (Q, 3), and hits, (Q,)."""
    return _ranked(saliency, ratings).at(least)


@dataclass(frozen=True)
class _Ranked:
    """Ratings in the order that the saliency gives the clips."""

    ratings: Floats
    """(Q, L, 3), best clip first, -1 past the video's end."""
    ends: Bools
    """(Q, L): the last clip of each run of equal saliency."""
    top: Floats
    """(Q, 3): ratings of the first clip of highest saliency."""

    def at(self, least: int) -> tuple[Floats, Bools]:
        """AP per query and annotator, (Q, 3), and hits, (Q,), where `least` is the least rating of a positive clip."""
        return interpolated_ap(self.ratings >= least, self.ends), np.asarray((self.top >= least).any(1))


def _ranked(
    saliency: Mapping[QueryId, NDArray[np.floating]], ratings: Mapping[QueryId, NDArray[np.floating]]
) -> _Ranked:
    if missing := [query_id for query_id in saliency if query_id not in ratings]:
        raise ValueError(f"{len(missing)} predicted queries have no ratings, the first is {missing[0]!r}")
    if not saliency:
        raise NothingToScore("no query has saliency")
    scores, given = pad(list(saliency.values()), ())
    refuse_nan("saliency", list(saliency), scores)
    rated, real = pad([ratings[query_id] for query_id in saliency], (N_RATERS,), fill=-1)
    order, ends = rank_with_ties(_fit(scores, real.shape[1]), real)
    ranked = np.take_along_axis(rated, order[..., None], axis=1)
    return _Ranked(ranked, ends, _first_maximum(scores, given, rated))


def ratings_matrix(n_clips: int, relevant_clip_ids: ArrayLike, saliency_scores: ArrayLike) -> Floats:
    """Ratings of a whole video, (L, 3), from a QVHighlights row; clips outside its windows get 0.

    n_clips: L, which the official evaluator takes as int(duration / 2).  relevant_clip_ids: (r,), counted from 0.
    saliency_scores: (r, 3), 0..4 per annotator.
    Raises ShapeError when a clip id lies outside the video or the two lists differ in length.
    """
    clips, scores = np.asarray(relevant_clip_ids, np.intp), np.asarray(saliency_scores, np.float64)
    if scores.size != N_RATERS * clips.size:
        raise ShapeError(f"saliency_scores is {scores.shape} for {clips.size} clip ids; expected ({clips.size}, 3)")
    if clips.size and not 0 <= clips.min() <= clips.max() < n_clips:
        worst = clips.min() if clips.min() < 0 else clips.max()
        raise ShapeError(f"relevant_clip_ids holds {worst}; a video of {n_clips} clips has ids 0 to {n_clips - 1}")
    matrix = np.zeros((n_clips, N_RATERS))
    matrix[clips] = scores.reshape(-1, N_RATERS)
    return matrix


def rank_with_ties(scores: Floats, real: Bools) -> tuple[NDArray[np.intp], Bools]:
    """Order of the clips (Q, L) by falling score, padding last, and which places end a run of equal scores."""
    order = np.argsort(np.where(real, -scores, np.inf), axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    ends = real.copy()  # padding comes last, so the mask of the ranked clips is the mask itself
    ends[:, :-1] &= (ranked[:, :-1] != ranked[:, 1:]) | ~real[:, 1:]
    return order, ends


def interpolated_ap(positive: Bools, ends: Bools) -> Floats:
    """Average precision per query and annotator: (Q, A) in [0, 1], 0 where nothing is positive.

    positive: (Q, L, A), clips by falling score; ends: (Q, L), the last clip of each run of equal scores.
    The mean, over the runs that add a positive clip, of the best precision at the end of that run or a later one:
    what the official code gets from sklearn's precision_recall_curve, where a run is one point whatever its length.
    """
    at_end = ends[..., None]
    found = np.where(at_end, positive.cumsum(1), 0)
    precision = found / np.arange(1, positive.shape[1] + 1)[:, None]
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    found_before = np.zeros_like(found)
    found_before[:, 1:] = np.maximum.accumulate(found, axis=1)[:, :-1]
    adds = found > found_before
    ap: Floats = (best_from_here * adds).sum(1) / np.maximum(adds.sum(1), 1)
    return ap


def _fit(scores: Floats, n_clips: int) -> Floats:
    """Cut or zero-fill (Q, n) to (Q, n_clips)."""
    fitted = np.zeros((len(scores), n_clips))
    n = min(n_clips, scores.shape[1])
    fitted[:, :n] = scores[:, :n]
    return fitted


def _first_maximum(scores: Floats, given: Bools, rated: Floats) -> Floats:
    """Ratings (Q, 3) of the first clip of highest score, -1 where that clip lies past the video's end."""
    if not scores.shape[1] or not rated.shape[1]:
        return np.full((len(rated), N_RATERS), -1.0)
    best = np.where(given, scores, -np.inf).argmax(1)
    rows, inside = np.arange(len(best)), best < rated.shape[1]
    hit = inside & given[rows, best]
    return np.where(hit[:, None], rated[rows, np.where(inside, best, 0)], -1.0)


def tvsum_top5_map(saliency: NDArray[np.floating], labels: NDArray[np.floating]) -> Floats:
    """Average precision of the five best clips against each annotator, (A,) in [0, 1]; their mean is the Top-5 mAP.

    saliency: (n,), n >= L, cut to L.  labels: (L, A) importance 1..5; an annotator's positive clips are those above
    the lower median of the column.  Ties keep the order of the clips.
    Raises ValueError when there are fewer saliency values than labelled clips.
    """
    labels = np.asarray(labels, np.float64)
    # The lower of two middle values, as torch.median takes it; their mean would put the same clips above it.
    positive = labels > np.sort(labels, axis=0)[(len(labels) - 1) // 2]
    return trapezoid_ap(positive[_falling(saliency, len(labels))[:TVSUM_TOP]])


def youtube_ap(saliency: NDArray[np.floating], labels: NDArray[np.floating]) -> float:
    """Average precision over all clips, in [0, 1].  saliency: (n,), n >= L, cut to L.

    labels: (L,) or (L, 1); positive is above 0, so both the 0/1 labels and the -1/0/1 matches will do.
    Raises ValueError when there are fewer saliency values than labelled clips.
    """
    positive = np.asarray(labels).reshape(-1, 1) > 0
    return float(trapezoid_ap(positive[_falling(saliency, len(positive))])[0])


def trapezoid_ap(positive: Bools) -> Floats:
    """Area under precision over recall by trapezoids from precision 1: (A,), 0 where nothing is positive.

    positive: (n, A), clips by falling score; recall is relative to the positives among these n.
    """
    hits = positive.cumsum(0)
    precision = hits / np.arange(1, len(positive) + 1)[:, None]
    before = np.concatenate([np.ones((1, positive.shape[1])), precision[:-1]])
    area = (positive * (before + precision) / 2).sum(0)
    ap: Floats = area / np.maximum(positive.sum(0), 1)
    return ap


def _falling(saliency: NDArray[np.floating], n_clips: int) -> NDArray[np.intp]:
    """Order of the first n_clips values by falling score, ties in the order of the clips."""
    scores = np.asarray(saliency, np.float64)[:n_clips]
    if len(scores) < n_clips:
        raise ValueError(f"{len(scores)} saliency values for {n_clips} labelled clips")
    return np.argsort(-scores, kind="stable")


def tvsum_metrics(
    saliency: Mapping[str, NDArray[np.floating]],
    labels: Mapping[str, NDArray[np.floating]],
    domain: Mapping[str, str],
) -> DomainScores:
    """TVSum Top-5 mAP per domain and their mean.  By video id: saliency (n,), labels (L, 20), domain name.

    Averaged over the videos of `saliency`.  Raises SaliencyTooShort when a video has n < L, NotNumbers on NaN,
    NothingToScore without videos, ValueError when labels or domain lack a video.
    """
    check_videos(saliency, labels, domain)
    return _by_domain(
        {video: float(tvsum_top5_map(saliency[video], labels[video]).mean()) for video in saliency}, domain
    )


def youtube_metrics(
    saliency: Mapping[str, NDArray[np.floating]],
    labels: Mapping[str, NDArray[np.floating]],
    domain: Mapping[str, str],
) -> DomainScores:
    """YouTube Highlights mAP per domain and their mean.  By video id: saliency (n,), labels (L,) or (L, 1), domain.

    Averaged over the videos of `saliency`.  Raises as tvsum_metrics does.
    """
    check_videos(saliency, labels, domain)
    return _by_domain({video: youtube_ap(saliency[video], labels[video]) for video in saliency}, domain)


def check_videos(
    saliency: Mapping[str, NDArray[np.floating]],
    labels: Mapping[str, NDArray[np.floating]],
    domain: Mapping[str, str],
) -> None:
    """Raise what tvsum_metrics says it raises."""
    if not saliency:
        raise NothingToScore("no video has saliency")
    if missing := [video for video in saliency if video not in labels or video not in domain]:
        raise ValueError(f"{len(missing)} predicted videos have no labels or domain, the first is {missing[0]!r}")
    for video, scores in saliency.items():
        if len(scores) < len(labels[video]):
            raise SaliencyTooShort(video, len(scores), len(labels[video]))
        refuse_nan("saliency", [video], np.asarray(scores, np.float64)[None])


def _by_domain(ap: Mapping[str, float], domain: Mapping[str, str]) -> DomainScores:
    """Mean AP of the videos of each domain, and the mean of the domains as they are printed."""
    members: dict[str, list[float]] = {}
    for video, value in ap.items():
        members.setdefault(domain[video], []).append(value)
    domains = {name: percent_of_five_decimals(np.mean(members[name])) for name in sorted(members)}
    return {"mAP": round(float(np.mean(list(domains.values()))), 3), "domains": domains}
