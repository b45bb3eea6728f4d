"""Answers over a whole corpus of videos against what is true in it, from files. Needs no torch."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.scoring.comparisons import in_percent
from pipelines.scoring.evaluate_files import Evaluation
from pipelines.scoring.prediction_faults import query_fault
from pipelines.scoring.scores import query_faults
from spikemba.datasets.corpus_rows import CorpusAnswer, CorpusQuery, read_corpus_answers, read_corpus_truth
from spikemba.datasets.predictions.matching import other_questions
from spikemba.errors import AnnotationError
from spikemba.metrics.bootstrap import ENOUGH, Comparison, Sample, compare, interval
from spikemba.metrics.corpus import BRIEF_IOU, MOST_ANSWERS, CorpusAnswers, corpus_document, corpus_samples
from spikemba.metrics.retrieval import QueryId

NAME = "corpus"
"""In the place of a benchmark's name."""


def evaluate_corpus(
    predictions: Path, annotations: Path, resamples: int = 0, *, only_check: bool = False
) -> Evaluation:
    """Score a file of answers over a corpus; intervals resample the videos that the queries were written about.

    only_check: look for faults and score nothing.
    Raises AnnotationError for rows that cannot be used, queries that only one file holds, and answers of other videos.
    """
    rows, truth = read_corpus_answers(predictions), read_corpus_truth(annotations)
    faults = _faults(rows, truth)
    if only_check:
        return Evaluation(NAME, {}, {}, faults=_refused(rows, truth) + faults)
    if refused := _refused(rows, truth):
        raise AnnotationError(predictions, refused)
    return evaluate_answers(rows, truth, resamples, faults)


def evaluate_answers(
    rows: Sequence[CorpusAnswer], truth: Sequence[CorpusQuery], resamples: int = 0, faults: Sequence[str] = ()
) -> Evaluation:
    """The same from rows, each query answered once; `by_kind` is in the document where the truth names kinds.

    Raises NothingToScore when no query has a true moment.
    """
    document = corpus_document(_beside(rows, truth))
    kinds = _by_kind(rows, truth)
    found = {name: in_percent(interval(one, resamples)) for name, one in _samples(rows, truth).items() if resamples}
    return Evaluation(
        NAME,
        document | ({"by_kind": kinds} if kinds else {}),
        document["brief"],
        intervals=found,
        faults=[*faults, *(too_few_corpus(truth) if resamples else [])],
        notes=corpus_notes(truth),
        n_queries=len(truth),
    )


def compare_corpus(a: Path, b: Path, annotations: Path, n: int = 2000, seed: int = 0) -> dict[str, Comparison]:
    """The main metrics of two files of answers to the same queries, in percent, with intervals of the differences.

    Raises AnnotationError as `evaluate_corpus` does, NothingToScore when no query has a true moment.
    """
    truth = read_corpus_truth(annotations)
    both = []
    for path in (a, b):
        rows = read_corpus_answers(path)
        if refused := _refused(rows, truth):
            raise AnnotationError(path, refused)
        both.append(_samples(rows, truth))
    found = {name: compare(both[0][name], both[1][name], n, seed) for name in both[0]}
    return {
        name: Comparison(100 * c.a, 100 * c.b, in_percent(c.difference), c.p, c.better, c.worse)
        for name, c in found.items()
    }


def _beside(rows: Sequence[CorpusAnswer], truth: Sequence[CorpusQuery]) -> CorpusAnswers:
    asked = {one.query_id for one in truth}
    return CorpusAnswers(
        moments={row.query_id: row.moments for row in rows if row.query_id in asked},
        truth={one.query_id: one.truth for one in truth},
        existence={row.query_id: row.existence for row in rows if row.query_id in asked},
    )


def _by_kind(rows: Sequence[CorpusAnswer], truth: Sequence[CorpusQuery]) -> dict[str, dict[str, Any]]:
    """Kind -> {"n_queries": n, "brief": the few numbers of its queries alone}; a kind that nothing fits has none."""
    found: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(one.kind for one in truth if one.kind):
        of_kind = [one for one in truth if one.kind == kind]
        fits = any(one.truth for one in of_kind)
        brief = corpus_document(_beside(rows, of_kind))["brief"] if fits else {}
        found[kind] = {"n_queries": len(of_kind), "brief": brief}
    return found


def _samples(rows: Sequence[CorpusAnswer], truth: Sequence[CorpusQuery]) -> dict[str, Sample]:
    """Metric of the brief -> what it gives each query that something fits, drawn by the video it was written about."""
    answers = _beside(rows, truth)
    by_id = {one.query_id: one for one in truth}
    units = tuple(_unit(by_id[query_id]) for query_id in answers.answerable)
    return {
        name: Sample(values, units, ("all",) * len(units))
        for name, values in corpus_samples(answers).items()
        if "@" not in name or name.partition("@")[2] in BRIEF_IOU
    }


def too_few_corpus(truth: Sequence[CorpusQuery]) -> list[str]:
    """What to say about intervals of too few videos, or queries where those say no video."""
    n = len({_unit(one) for one in truth if one.truth})
    return [f"{n} of what is resampled are few for 95 % intervals; expected {ENOUGH} or more"] if n < ENOUGH else []


def _unit(query: CorpusQuery) -> str:
    """What is drawn together in a resample: the queries that were written about a video, or a query alone."""
    return f"video {query.video_id}" if query.video_id is not None else f"query {query.query_id!r}"


def corpus_notes(truth: Sequence[CorpusQuery]) -> list[str]:
    """What a reader of the numbers should know."""
    n_null = sum(not one.truth for one in truth)
    if not n_null:
        return []
    said = "VCMR, VR and NDCG leave them out; AUROC and Rej count them"
    return [f"{n_null} of {len(truth)} queries {'is' if n_null == 1 else 'are'} true of no video: {said}"]


def _refused(rows: Sequence[CorpusAnswer], truth: Sequence[CorpusQuery]) -> list[str]:
    """Faults with which numbers would be of something else."""
    return [
        *query_faults({row.query_id for row in rows}, {one.query_id for one in truth}),
        *other_questions(
            ((row.query_id, row.query, "") for row in rows), ((one.query_id, one.query, "") for one in truth)
        ),
        *_other_videos(rows, truth),
    ]


def _other_videos(rows: Sequence[CorpusAnswer], truth: Sequence[CorpusQuery]) -> list[str]:
    """A fault where no answer is of a video that anything is true in: names of another form, or another corpus."""
    known = {moment.video_id for one in truth for moment in one.truth}
    answered = {moment.video_id: row.query_id for row in rows for moment in row.moments}
    if not known or not answered or not known.isdisjoint(answered):
        return []
    seen = next(iter(answered))
    return [
        f"no answer is of a video that something is true in, as qid {answered[seen]!r}: {seen!r}; "
        f"expected names such as {min(known)!r}"
    ]


def _faults(rows: Sequence[CorpusAnswer], truth: Sequence[CorpusQuery]) -> list[str]:
    """What is wrong with answers that can be scored all the same."""
    true = {one.query_id for one in truth if one.truth}
    empty = {row.query_id: "no answer" for row in rows if row.query_id in true and not row.moments}
    backward, unsorted_, long, twice = (dict[QueryId, str]() for _ in range(4))
    for row in rows:
        for moment in row.moments:
            if moment.end_s <= moment.start_s or moment.start_s < 0:
                backward.setdefault(row.query_id, f"[{moment.start_s:g}, {moment.end_s:g}] of {moment.video_id!r}")
        if any(b.score > a.score for a, b in zip(row.moments, row.moments[1:], strict=False)):
            unsorted_[row.query_id] = "a better one stands behind"
        if len(row.moments) > MOST_ANSWERS:
            long[row.query_id] = f"{len(row.moments)} answers"
        again = Counter(moment[:3] for moment in row.moments[:MOST_ANSWERS]).most_common(1)
        if again and again[0][1] > 1:
            video, start_s, end_s = again[0][0]
            twice[row.query_id] = f"[{start_s:g}, {end_s:g}] of {video!r}"
    return [
        *query_fault(empty, "have no answer although something fits; they count as 0"),
        *query_fault(backward, "have windows that begin before 0 or do not end after they begin"),
        *query_fault(unsorted_, "are not sorted by score; the order of the list counts, not the score"),
        *query_fault(twice, "have a window twice; it takes a place each time"),
        *query_fault(long, f"have more than {MOST_ANSWERS} answers; after these only new videos count, for VR"),
    ]
