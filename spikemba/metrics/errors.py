"""Faults of predictions and labels that only show when they are scored."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import SpikeMbaError


class NothingToScore(SpikeMbaError):
    """No query or video has both a prediction and a truth to hold it against."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"nothing to score: {problem}; check that predictions and annotations are of the same split")


class SaliencyTooShort(SpikeMbaError):
    """A video has fewer saliency values than labelled clips; padding them would invent a ranking."""

    def __init__(self, video_id: Hashable, n_seen: int, n_expected: int) -> None:
        super().__init__(
            f"video {video_id!r} has {n_seen} saliency values for {n_expected} labelled clips; "
            f"predict one value per clip, {n_expected} in all"
        )


class NotNumbers(SpikeMbaError):
    """A prediction holds NaN, which has no rank."""

    def __init__(self, what: str, item: Hashable) -> None:
        super().__init__(f"{what} of {item!r} holds NaN; predict again from a checkpoint whose training loss is finite")


def refuse_nan(what: str, items: Sequence[Hashable], values: NDArray[np.float64]) -> None:
    """Raise NotNumbers naming the first item whose values, (Q, ...), hold NaN."""
    if np.isnan(values).any():
        bad = np.isnan(values).reshape(len(values), -1).any(1)
        raise NotNumbers(what, items[int(bad.argmax())])
