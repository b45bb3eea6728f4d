"""Which queries a page shows in pictures: the best first, then near misses, misses, and what the videos do not show."""

from collections.abc import Callable, Sequence

from pipelines.scoring.outcomes import Outcome

N_PICTURES = {"found": 2, "near": 2, "missed": 2, "rejected": 1, "taken": 1}
"""Of each fate, at most."""


def chosen(found: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Fate -> the outcomes to show, in the order of a page; of different videos as far as there are any."""
    orders: dict[str, Callable[[Outcome], tuple[float, ...]]] = {
        "found": lambda one: (-one.overlap, -_score(one)),
        "near": lambda one: (one.right_rank or 99, -one.overlap),
        "missed": lambda one: (-_score(one), one.overlap),
        "rejected": lambda one: (one.row.existence,),
        "taken": lambda one: (-one.row.existence,),
    }
    used: set[str] = set()
    picked: dict[str, list[Outcome]] = {}
    for fate, order in orders.items():
        ranked = sorted((one for one in found if one.fate == fate), key=order)
        picked[fate] = _of_different_videos(ranked, N_PICTURES[fate], used)
    return {fate: own for fate, own in picked.items() if own}


def _of_different_videos(ranked: Sequence[Outcome], n: int, used: set[str]) -> list[Outcome]:
    """The first n, those of videos that were not shown yet before the others."""
    left = sorted(ranked, key=lambda one: one.truth.video_id in used)
    picked: list[Outcome] = []
    while left and len(picked) < n:
        one = next((other for other in left if other.truth.video_id not in used), left[0])
        left.remove(one)
        used.add(one.truth.video_id)
        picked.append(one)
    return picked


def _score(one: Outcome) -> float:
    return one.row.moments[0].score if one.row.moments else 0.0
