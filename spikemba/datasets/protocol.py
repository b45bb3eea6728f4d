"""What a benchmark measures: moments against windows and saliency against ratings, or saliency against labels."""

# Shapes: L clips, A annotators.

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.metrics import (
    AP_THRESHOLDS,
    OPEN_ENDED_RANGES,
    QVHIGHLIGHTS_RANGES,
    tvsum_metrics,
    tvsum_top5_map,
    youtube_ap,
    youtube_metrics,
)

Arrays = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class HighlightScores:
    """How the saliency of videos is scored against the labels of their clips."""

    by_domain: Callable[[Arrays, Arrays, Mapping[str, str]], Mapping[str, Any]]
    """(saliency (L,), labels (L, A), domain), each by video id -> {"mAP": mean over domains, "domains": {...}}."""
    of_video: Callable[[NDArray[np.floating], NDArray[np.floating]], Sequence[float]]
    """(saliency, labels) of one video -> the values, one per annotator or one, whose mean is the video's score."""


@dataclass(frozen=True)
class ScoringProtocol:
    """What a benchmark measures."""

    highlights: HighlightScores | None = None
    """For a highlight set, whose score is a mean over domains; the rest is for the others."""
    r1_thresholds: tuple[float, ...] = AP_THRESHOLDS
    """IoU thresholds of MR-R1."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: QVHIGHLIGHTS_RANGES)
    """Ranges of window length that are scored apart, in seconds."""
    with_miou: bool = False
    """Also the mean IoU of the first moment."""


ONE_WINDOW = ScoringProtocol(r1_thresholds=(0.3, 0.5, 0.7), ranges=OPEN_ENDED_RANGES, with_miou=True)
"""A query has one window, of any length; nobody rated clips."""
TOP5_OF_ANNOTATORS = ScoringProtocol(HighlightScores(tvsum_metrics, lambda *video: tvsum_top5_map(*video).tolist()))
"""Mean average precision of the five best clips, against each annotator."""
HIGHLIGHT_OR_NOT = ScoringProtocol(HighlightScores(youtube_metrics, lambda *video: [youtube_ap(*video)]))
"""Average precision of all clips against one label of 0 or 1."""
