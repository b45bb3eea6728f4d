"""What a format cannot hold of some answers, in one line beside the file. The page has the same rule: left_out.js."""

from collections.abc import Sequence
from itertools import combinations

from pipelines.timelines.forms import TIMELINES
from pipelines.timelines.plan import Shape
from spikemba.grounder.result import Grounding
from spikemba.moments import Moment, apart

EMPTY_ALLOWED = ("json", "csv")
"""Formats that can say that there is no moment; a file of the others would be empty."""


def note_of(form: str, found: Sequence[Grounding], shape: Shape | None = None) -> str | None:
    """What somebody should know who takes the file for all of the moments; None where it is all of them."""
    videos = {one.video: [m for other in found if other.video == one.video for m in other.moments] for one in found}
    n_moments = sum(map(len, videos.values()))
    if form in ("srt", "vtt"):
        n = sum(map(_n_overlapping, videos.values()))
        return f"captions of overlapping moments lie over one another: {n} of {n_moments}" if n else None
    is_cut = form in TIMELINES and (shape or TIMELINES[form].shape) == "cut"
    if form != "chapters" and not is_cut:
        return None
    n = n_moments - sum(map(_n_apart, videos.values()))
    cure = "; as markers all are there" if is_cut else ""
    return f"overlapping moments are left out: {n} of {n_moments}{cure}" if n else None


def _n_overlapping(moments: Sequence[Moment]) -> int:
    """How many share time with another one."""
    pairs = combinations(enumerate(moments), 2)
    shared = [{i, k} for (i, a), (k, b) in pairs if min(a.end_s, b.end_s) > max(a.start_s, b.start_s)]
    return len(set[int]().union(*shared))


def _n_apart(moments: Sequence[Moment]) -> int:
    """How many are left when of two that share time the better one stays."""
    return len(apart(moments, max_iou=0.0))
