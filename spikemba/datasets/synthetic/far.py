"""far: what is described happens three to five times, and only things far away tell which time is meant.

Sentences pick by order (`for the second time`) or by anchors. An anchor stands beside an occurrence that is not meant,
and at least `FAR` clips from the one that is; so do any two occurrences.

    A .. . . . . . . B A . . . . . . . . . . A B . . . . . . . . A      B twice: before its first, after its last
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from spikemba.datasets.synthetic.claim_parts import (
    N_CLIPS,
    Claim,
    ClaimVideo,
    Clause,
    Part,
    draw_unlike,
    lay_out,
    said,
    storyboard_with,
)
from spikemba.datasets.synthetic.shapes import Description, Event

FAR = 10
"""Least clips between occurrences, and between an anchor and what it tells apart."""


@dataclass
class _Slot:
    """What stands between two occurrences, or at an end of the video."""

    left: list[Description] = field(default_factory=list)
    """Right after the occurrence before."""
    right: list[Description] = field(default_factory=list)
    """Right before the occurrence after."""


@dataclass
class _Plan:
    """Where the anchors stand, and which occurrence each kind of sentence means."""

    slots: list[_Slot]
    """The one before each occurrence, and the last."""
    meant: dict[str, int]
    anchors: dict[str, tuple[Description, ...]]


def draw(rng: random.Random, video_id: str) -> ClaimVideo:
    """Invent a video and three or four sentences about the occurrences of one event."""
    n_times = rng.randint(3, 5)
    while True:
        n_clips = rng.randint(*N_CLIPS)
        what, *others = draw_unlike(rng, 5, 1)
        plan = _plan(rng, n_times, others)
        parts, pauses = _parts(rng, what, plan)
        events = lay_out(rng, parts, n_clips, pauses)
        if events is not None:
            break
    times = [event for part, event in zip(parts, events, strict=True) if part.what == what]
    return ClaimVideo(storyboard_with(rng, video_id, events, n_clips), tuple(_claims(rng, what, plan, times)))


def _plan(rng: random.Random, n_times: int, others: list[Description]) -> _Plan:
    """Anchors for two of the three kinds of sentences that have them; each but those of `between` happens twice."""
    slots = [_Slot() for _ in range(n_times + 1)]
    meant = {"first": 0, "second": 1, "last": n_times - 1}
    anchors: dict[str, tuple[Description, ...]] = {}
    for kind in rng.sample(("before", "after", "between"), 2):
        one = others.pop()
        anchors[kind] = (one,)
        at = rng.randint(1, n_times - 1)
        if kind == "before":
            slots[at].right.append(one)
            rng.choice(_sides(slots[rng.randint(at + 1, n_times)])).append(one)
            meant[kind] = at - 1
        elif kind == "after":
            slots[at].left.append(one)
            rng.choice(_sides(slots[rng.randint(0, at - 1)])).append(one)
            meant[kind] = at
        else:
            at = meant[kind] = rng.randint(0, n_times - 1)
            anchors[kind] = (one, others.pop())
            slots[at].left.append(one)
            slots[at + 1].right.append(anchors[kind][1])
    return _Plan(slots, meant, anchors)


def _sides(slot: _Slot) -> tuple[list[Description], list[Description]]:
    return slot.left, slot.right


def _parts(rng: random.Random, what: Description, plan: _Plan) -> tuple[list[Part], list[int]]:
    """Everything in its order, with the least clips before each and after the last."""
    parts: list[Part] = []
    pauses: list[int] = []

    def add(one: Description, pause: int) -> None:
        parts.append(Part(one, rng.randint(2, 3), rng.uniform(0.9, 1.1)))
        pauses.append(pause)

    end = len(plan.slots) - 1
    for i, slot in enumerate(plan.slots):
        for one in slot.left:
            add(one, 1)
        is_wide = slot.left if i == 0 else slot.right if i == end else True
        for j, one in enumerate([*slot.right, what] if i < end else slot.right):
            add(one, FAR if j == 0 and is_wide else 1)
    return parts, [*pauses, 0]


def _claims(rng: random.Random, what: Description, plan: _Plan, times: list[Event]) -> Iterator[Claim]:
    """Three or four sentences that mean different occurrences, or as many as there are; those with anchors first."""
    kinds = list(plan.meant.items())
    rng.shuffle(kinds)
    kinds.sort(key=lambda kind: kind[0] not in plan.anchors)
    left, taken = rng.randint(3, 4), set()
    for kind, index in kinds:
        if index not in taken and left:
            taken.add(index)
            left -= 1
            anchors = [said(rng, anchor) for anchor in plan.anchors.get(kind, ())]
            yield Claim((said(rng, what), *_how(kind, anchors)), times[index], kind)


def _how(kind: str, anchors: list[Clause]) -> list[Clause]:
    """The part of the sentence that says which occurrence is meant."""
    if kind == "before":
        return [Clause("for the last time before"), *anchors, Clause("for the first time")]
    if kind == "after":
        return [Clause("for the first time after"), *anchors, Clause("for the last time")]
    if kind == "between":
        return [Clause("between the time"), anchors[0], Clause("and the time"), anchors[1]]
    return [Clause(f"for the {kind} time")]
