"""Reciprocal rank fusion: one order out of several whose scores share no scale."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

K = 60
"""How little the first places of a list stand out; the source's value."""


def fused(*lists: Sequence[Key], k: int = K) -> dict[Key, float]:
    """Key -> sum over the lists that hold it of 1 / (k + its rank), ranks from 1; the greatest first.

    Of equal sums the one that an earlier list holds, then an earlier rank, comes first; a key counts once per list.
    Source: Cormack, Clarke and Buettcher, SIGIR 2009.
    """
    sums: dict[Key, float] = {}
    for keys in lists:
        for rank, key in enumerate(dict.fromkeys(keys), start=1):
            sums[key] = sums.get(key, 0.0) + 1 / (k + rank)
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
