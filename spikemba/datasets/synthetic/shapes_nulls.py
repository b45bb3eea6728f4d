"""Sentences about things that a video of `shapes` does not show, each true of nothing that its storyboard tells.

absent   a form that never stands on the stage
colour   a form and what it does, in a colour in which it does not do it: one word of a true sentence changed
action   a look that is there, doing what it never does: one phrase changed
order    two things that happen, in an order in which they do not: `before` and `after` exchanged
"""

import random
from collections.abc import Callable
from dataclasses import replace

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.synthetic.shapes import (
    ACTIONS,
    COLOURS,
    FORMS,
    Description,
    Event,
    Storyboard,
    describe,
    phrase,
)

FIRST_ID = 5
"""Query ids of a video begin with those of its true sentences, at most five."""


def annotate_nulls(board: Storyboard, first_query_id: int) -> list[Annotation]:
    """At most one sentence of each kind, as rows without a window.

    first_query_id: of the video; the rows' own come behind those of `shapes.annotate`.
    """
    rng = random.Random(f"nulls {board.video_id}")
    rows = []
    for number, (kind, make) in enumerate(_MAKERS.items(), start=first_query_id + FIRST_ID):
        text = make(rng, board)
        if text is not None:
            rows.append(Annotation(number, text, board.video_id, board.duration_s, windows=(), kind=kind))
    return rows


def _absent(rng: random.Random, board: Storyboard) -> str | None:
    seen = {actor.form for scene in board.scenes for actor in scene.actors}
    form = rng.choice([form for form in FORMS if form not in seen])  # a cast has three forms of six
    return phrase(rng, Description(rng.choice(COLOURS), form, rng.choice(ACTIONS)))


def _colour(rng: random.Random, board: Storyboard) -> str | None:
    true = describe(rng.choice(board.events))
    return _one_untrue(rng, board, [replace(true, colour=colour) for colour in COLOURS])


def _action(rng: random.Random, board: Storyboard) -> str | None:
    true = describe(rng.choice(board.events))
    return _one_untrue(rng, board, [replace(true, action=action) for action in ACTIONS])


def _one_untrue(rng: random.Random, board: Storyboard, what: list[Description]) -> str | None:
    untrue = [one for one in what if not any(map(one.fits, board.events))]
    return phrase(rng, rng.choice(untrue)) if untrue else None


def _order(rng: random.Random, board: Storyboard) -> str | None:
    """Of what happens once, and what happens only before it, or only after it."""
    events = board.events
    once = [event for event in events if len(_alike(board, event)) == 1]
    found: list[tuple[Event, str, Event]] = []
    for anchor in once:
        for event in events:
            alike = _alike(board, event)
            if all(one.start_s > anchor.end_s for one in alike):
                found.append((event, "before", anchor))
            if all(one.end_s < anchor.start_s for one in alike):
                found.append((event, "after", anchor))
    if not found:
        return None
    event, word, anchor = rng.choice(found)
    return f"{phrase(rng, describe(event))} {word} {phrase(rng, describe(anchor))}"


def _alike(board: Storyboard, event: Event) -> list[Event]:
    return [other for other in board.events if describe(event).fits(other)]


_MAKERS: dict[str, Callable[[random.Random, Storyboard], str | None]] = {
    "absent": _absent,
    "colour": _colour,
    "action": _action,
    "order": _order,
}
