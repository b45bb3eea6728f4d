"""What a true answer says about each clip of a video: in a moment or not, whose ends, how relevant."""

# Shapes: L clips, K true windows, A annotators.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.clip_lengths import at_clip_length
from spikemba.features import Array

N_GRADES = 12
"""Ranks of graded relevance: the sum of three ratings 0-4, to which other scales are brought."""


@dataclass(frozen=True)
class ClipTargets:
    """What a true answer says about each clip; times are fractions of n_clips * clip_s."""

    foreground: NDArray[np.bool_]
    """(L,): the clip's centre lies in a true window."""
    boundaries: Array
    """(L, 2): begin and end of the true window around the clip, or of the nearest."""
    relevance: Array
    """(L,): 0 for clips that do not matter."""
    has_windows: bool
    """False for labelled clips without windows, and where no window is in the clips: then all clips are background."""
    is_null: bool = False
    """Whether it is known that the video shows nothing of the query."""

    @property
    def nbytes(self) -> int:
        """Of its arrays."""
        return self.foreground.nbytes + self.boundaries.nbytes + self.relevance.nbytes


def clip_targets(annotation: Annotation, n_clips: int, clip_s: float) -> ClipTargets:
    """What the annotation says about each of the first n_clips clips of its video.

    A window that holds no clip's centre claims the clip at its own centre, so that short moments are learned too.
    Windows beyond the last clip are left out. A null query has none: no clip is foreground or relevant.
    """
    if annotation.labels:
        return _label_targets(annotation.label_array[:n_clips])
    total_s = n_clips * clip_s
    centres = (np.arange(n_clips) + 0.5) * clip_s
    windows = annotation.window_array
    windows = windows[windows[:, 0] < total_s].clip(0, total_s)
    foreground = np.zeros(n_clips, dtype=np.bool_)
    boundaries = np.zeros((n_clips, 2), dtype=np.float32)
    if len(windows):
        before, after = windows[None, :, 0] - centres[:, None], centres[:, None] - windows[None, :, 1]
        distance = np.maximum(np.maximum(before, after), 0)  # (L, K), 0 inside
        foreground = (distance == 0).any(1)
        boundaries = (windows[distance.argmin(1)] / total_s).astype(np.float32)
        for k in np.flatnonzero(~(distance == 0).any(0)):
            clip = min(int(windows[k].mean() / clip_s), n_clips - 1)
            foreground[clip], boundaries[clip] = True, windows[k] / total_s
    relevance = foreground.astype(np.float32)
    if annotation.ratings:
        relevance = _rated_relevance(annotation, foreground, clip_s)
    return ClipTargets(foreground, boundaries, relevance, has_windows=bool(len(windows)), is_null=annotation.is_null)


def _rated_relevance(annotation: Annotation, foreground: NDArray[np.bool_], clip_s: float) -> Array:
    """(L,): the summed ratings of three annotators, of clips of clip_s whatever the length of the rated ones.

    Clips of true windows that nobody rated are as relevant as the rated ones are on average: unknown is not 0.
    foreground: (L,).
    """
    n_clips = len(foreground)
    n_rated = 1 + max(max(annotation.relevant_clips), int(n_clips * clip_s / annotation.rating_clip_s))
    grades, rated = np.zeros(n_rated), np.zeros(n_rated)
    for clip, ratings in zip(annotation.relevant_clips, annotation.ratings, strict=True):
        grades[clip] = N_GRADES / 4 * np.mean(ratings)  # the sum of QVHighlights' three ratings, for any number
        rated[clip] = 1
    relevance, known = (at_clip_length(x, annotation.rating_clip_s, clip_s, n_clips) for x in (grades, rated))
    relevance[foreground & (known < 1e-9)] = max(1.0, float(grades[rated > 0].mean()))
    return relevance.astype(np.float32)


def _label_targets(labels: NDArray[np.float64]) -> ClipTargets:
    """Targets of a highlight set, which marks clips and has no windows. labels: (L, A).

    Twenty importances 1-5 become their mean on the scale of summed ratings, and clips above its lower median are
    foreground, as the metric takes them; a 0 or 1 is itself.
    """
    mean = labels.mean(1)
    if labels.shape[1] > 1:
        foreground = mean > np.sort(mean)[(len(mean) - 1) // 2]
        relevance = N_GRADES * (mean - 1) / 4
    else:
        foreground, relevance = mean > 0, (mean > 0).astype(np.float64)
    boundaries = np.zeros((len(mean), 2), np.float32)
    return ClipTargets(foreground, boundaries, relevance.astype(np.float32), has_windows=False)


def is_graded(annotation: Annotation) -> bool:
    """Whether relevance has grades: annotators rated clips, or gave importances."""
    return bool(annotation.ratings) or (bool(annotation.labels) and len(annotation.labels[0]) > 1)
