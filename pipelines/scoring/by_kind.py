"""Scores by kind of query, where the annotations name kinds: a mean hides what a model cannot do. Needs no torch."""

from collections.abc import Sequence
from typing import Any

from pipelines.scoring.scores import brief, score
from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.errors import AnnotationError
from spikemba.metrics import NothingToScore


def by_kind(truth: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    """The annotations of each kind, in the order in which kinds come first; those of no kind are left out."""
    found: dict[str, list[Annotation]] = {}
    for one in truth:
        if one.kind is not None:
            found.setdefault(one.kind, []).append(one)
    return found


def scores_by_kind(
    rows: Sequence[PredictedRow], truth: Sequence[Annotation], protocol: ScoringProtocol
) -> dict[str, dict[str, Any]]:
    """Kind -> {"n_queries": n, "brief": the few numbers of its queries alone}; empty where no row has a kind.

    A kind without a truth, or without an answer to any query that has one, has an empty brief.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind, of_kind in by_kind(truth).items():
        asked = {one.query_id for one in of_kind}
        try:
            document = score([row for row in rows if row.query_id in asked], of_kind, protocol=protocol)
        except (AnnotationError, NothingToScore):
            document = {"brief": {}}
        found[kind] = {"n_queries": len(of_kind), "brief": brief(document)}
    return found
