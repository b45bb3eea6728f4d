"""Which of several videos' answers stands first, and the best moments of all of them together.

Calibrated scores are probabilities, so that the moments of all videos have one order, as in `search`. Where existence
alone is told, videos are ordered by it. Where nothing is, scores of two videos share no scale, and the order is that of
the names.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from spikemba.errors import SpikeMbaError
from spikemba.grounder.grounder import Grounder
from spikemba.grounder.result import Grounding
from spikemba.moments import apart

Order = Literal["score", "exists", "name"]
"""Of answers about several videos: by their best moment's score, by how sure it is that there is one, by name."""


def order_of(grounder: Grounder, found: Sequence[Grounding]) -> Order:
    """In which order answers about several videos stand."""
    if grounder.calibrated:
        return "score"
    return "exists" if any(one.exists is not None for one in found) else "name"


def best_first(one: Grounding) -> tuple[bool, float, float]:
    """To sort a checkpoint's answers about several videos by: by score where scores compare, else by existence.

    Of one checkpoint, so that all are calibrated or none is: a score and an existence have no common order.
    """
    return best_score_first(one) if one.calibrated else likeliest_first(one)


def best_score_first(one: Grounding) -> tuple[bool, float, float]:
    """To sort answers by where scores are probabilities: those with a moment first, then by the best score."""
    return not one.moments, -_best(one), -(one.exists or 0.0)


def likeliest_first(one: Grounding) -> tuple[bool, float, float]:
    """To sort answers by where scores are none: those with a moment first, then by how sure it is, then by best score.

    Where nothing tells whether a moment is there, scores of two videos are no scale to compare them on: no change.
    """
    if one.exists is None:
        return not one.moments, 0.0, 0.0
    return not one.moments, -one.exists, -_best(one)


def check_best(grounder: Grounder, best: int | None) -> None:
    """Raises SpikeMbaError for a number that means nothing, and where scores of two videos cannot be compared."""
    if best is None:
        return
    if best < 1:
        raise SpikeMbaError(f"best is {best}; expected at least 1 moment")
    if not grounder.calibrated:
        mend = "run `spikemba calibrate RUN`" if grounder.trained else "ask a calibrated checkpoint"
        raise SpikeMbaError(
            f"the best of all videos need scores that can be compared, and those of {grounder.name} are no "
            f"probabilities; {mend}, or ask a library with `spikemba search`, which orders by ranks then"
        )


MAX_IOU = 0.5
"""Of two moments of a video that overlap more than this, the better one takes a place, as in `search`."""


def best_of(found: Sequence[Grounding], n: int) -> list[Grounding]:
    """The answers with the n best moments that each sentence has in all videos; ties keep the order given.

    An answer of which no moment is left is gone. Of a sentence without any moment the likeliest answer stays and says
    so.
    found: in the order of `best_score_first`, which stays.
    """
    kept: list[Grounding] = []
    for query in dict.fromkeys(one.query for one in found):
        own = [one for one in found if one.query == query]
        offered = [(one.moments[k].score, i, k) for i, one in enumerate(own) for k in apart(one.moments, MAX_IOU)]
        chosen = {(i, k) for _, i, k in sorted(offered, key=lambda entry: -entry[0])[:n]}
        left = [
            _with_moments(one, [k for k in range(len(one.moments)) if (i, k) in chosen]) for i, one in enumerate(own)
        ]
        kept += [one for one in left if one.moments] or own[:1]
    return sorted(kept, key=best_score_first)


def _with_moments(one: Grounding, ranks: Sequence[int]) -> Grounding:
    return replace(one, answer=replace(one.answer, moments=tuple(one.moments[k] for k in ranks)))


def _best(one: Grounding) -> float:
    return max((moment.score for moment in one.moments), default=0.0)
