"""Names of metrics: what a split will measure, and the long name of what tables call short."""

from collections.abc import Sequence

from pipelines.scoring.prediction_faults import n_labelled_clips
from pipelines.scoring.scores import MAIN, brief, protocol_of, score, short_name
from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.moments import Moment


def brief_names(truth: Sequence[Annotation], protocol: ScoringProtocol) -> list[str]:
    """Keys of the brief of predictions for these annotations: those of the truth itself. Raises what `score` raises."""
    rows = [
        PredictedRow(
            query_id=one.query_id,
            video_id=one.video_id,
            query=one.query,
            moments=tuple(Moment(*window, 1.0) for window in one.windows or ()),
            saliency=(0.0,) * n_labelled_clips(one),
        )
        for one in truth
    ]
    return list(brief(score(rows, truth, protocol=protocol)))


def long_name(name: str, benchmark: str) -> str:
    """The key of a benchmark's brief that tables show under a short name; any other name as it is.

    Raises UnknownName for a benchmark that there is not.
    """
    if protocol_of(benchmark).highlights:  # whose briefs have short names
        return name
    return {short_name(one): one for one in MAIN if one != short_name(one)}.get(name, name)
