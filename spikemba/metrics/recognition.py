"""Accuracy of a recogniser: the true class first, among the first five, and class by class. Needs no torch."""

# Shapes: V videos, K classes.

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BRIEF = ("top1", "top5", "mean_class")
"""Names of the few numbers."""

Scores = NDArray[np.float32]  # (V, K)


def recognition_document(scores: Scores, truth: NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    """scores: (V, K), higher for likelier classes.  truth: (V,), numbers of the true classes.  All in percent.

    `brief`: top1, top5 and mean_class, the mean of the classes' top-1.  `per_class`: of each class its videos, top1,
    and what it is most often taken for.  Equal scores count against the true class.
    """
    rank = (scores >= scores[np.arange(len(truth)), truth][:, None]).sum(1)  # 1: nothing else is as likely
    first = scores.argmax(1)
    per_class: dict[str, Any] = {}
    for k, name in enumerate(labels):
        of_class = truth == k
        if not of_class.any():
            continue
        wrong = first[of_class & (rank > 1)]
        taken_for = {"taken_for": labels[int(np.bincount(wrong).argmax())]} if len(wrong) else {}
        per_class[name] = {"videos": int(of_class.sum()), "top1": _percent(rank[of_class] == 1), **taken_for}
    mean = float(np.mean([row["top1"] for row in per_class.values()])) if per_class else 0.0
    brief = dict(zip(BRIEF, (_percent(rank == 1), _percent(rank <= 5), round(mean, 2)), strict=True))
    return {"brief": brief, "videos": len(truth), "per_class": per_class}


def _percent(right: NDArray[np.bool_]) -> float:
    return round(100 * float(right.mean()), 2) if len(right) else 0.0
