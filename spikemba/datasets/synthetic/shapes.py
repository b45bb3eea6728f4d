"""shapes: a seeded synthetic corpus for grounding, with sentences, windows and ratings that are known exactly.

A video is a row of scenes. In each, a few coloured shapes stand on a stage and act: they enter, leave, spin, grow,
shrink, blink, jump, shake, often several at once. Shapes share colours, forms and actions, so a query has near misses
in its own video; some queries mean several events, or only the first, the last, or those after another event.
Two subsets are harder on purpose: `distractor` (large flashing shapes that no query means) and `long_range` (the
described event stands far from everything else).

    storyboard(seed, kind) -> Storyboard -> drawing.render -> frames
                                         -> annotate -> Annotation rows in the QVHighlights form
"""

# Shapes: L clips.

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast, get_args

import numpy as np

from spikemba.datasets.annotations import Annotation
from spikemba.moments import Window, runs

Action = Literal["enters", "leaves", "spins", "grows", "shrinks", "blinks", "jumps", "shakes"]
Kind = Literal["plain", "distractor", "long_range"]
QueryKind = Literal["plain", "one attribute", "first/last", "before/after"]

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white")
FORMS = ("circle", "square", "triangle", "star", "cross", "ring")
ACTIONS: tuple[Action, ...] = get_args(Action)

CLIP_S = 2.0
FPS = 8
SIZE_PX = 128

PHRASES: dict[Action, tuple[str, ...]] = {
    "enters": ("enters", "comes in", "moves into view", "arrives"),
    "leaves": ("leaves", "goes out", "moves out of view", "exits"),
    "spins": ("spins", "rotates", "turns around"),
    "grows": ("grows", "gets bigger", "expands"),
    "shrinks": ("shrinks", "gets smaller", "contracts"),
    "blinks": ("blinks", "flickers", "disappears and appears again and again"),
    "jumps": ("jumps", "hops up and down", "bounces"),
    "shakes": ("shakes", "trembles", "wiggles from side to side"),
}
FORM_WORDS = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "plus sign"),
    "ring": ("ring", "hoop"),
}


@dataclass(frozen=True)
class Actor:
    """A shape with a place on the stage; positions and size are fractions of the frame."""

    colour: str
    form: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Event:
    """One actor doing one thing."""

    actor: Actor
    action: Action
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Scene:
    """A stretch of the video between two cuts."""

    start_s: float
    end_s: float
    background: tuple[int, int, int]
    actors: tuple[Actor, ...]
    events: tuple[Event, ...]
    """By start time; an actor does one thing at a time."""

    def events_of(self, actor: Actor) -> list[Event]:
        """What this actor does in the scene."""
        return [event for event in self.events if event.actor is actor]


@dataclass(frozen=True)
class Flash:
    """A large flashing shape that no query means."""

    form: str
    x: float
    y: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Storyboard:
    """Everything that happens in one video."""

    video_id: str
    duration_s: float
    scenes: tuple[Scene, ...]
    flashes: tuple[Flash, ...]

    @property
    def events(self) -> list[Event]:
        """All events, by start time."""
        return sorted((event for scene in self.scenes for event in scene.events), key=lambda event: event.start_s)


@dataclass(frozen=True)
class Description:
    """What a sentence is about; None means any."""

    colour: str | None
    form: str | None
    action: Action

    def fits(self, event: Event) -> bool:
        """Whether the event is one of those described."""
        return (
            event.action == self.action
            and self.colour in (None, event.actor.colour)
            and self.form in (None, event.actor.form)
        )


def storyboard(seed: int, kind: Kind = "plain", duration_s: float | None = None) -> Storyboard:
    """Invent a video. Equal arguments give equal videos."""
    rng = random.Random(f"{kind} {seed}")
    duration_s = duration_s or rng.randrange(90, 151)
    players = _Cast.draw(rng)
    if kind == "long_range":
        scenes = _long_range_scenes(rng, players, duration_s)
    else:
        cuts = _cuts(rng, 0, duration_s)
        scenes = [_scene(rng, start, end, players, rng.randint(2, 4)) for start, end in cuts]
    n_flashes = rng.randint(4, 6) if kind == "distractor" else rng.randint(0, 1)
    flashes = tuple(_flash(rng, duration_s) for _ in range(n_flashes))
    return Storyboard(f"shapes_{kind}_{seed:06d}", float(duration_s), tuple(scenes), flashes)


def storyboard_of(video_id: str) -> Storyboard:
    """The storyboard that a video of the corpus shows, from its name `shapes_<kind>_<seed>`."""
    kind, seed = video_id.removeprefix("shapes_").rsplit("_", 1)
    return storyboard(int(seed), cast(Kind, kind))


@dataclass(frozen=True)
class _Cast:
    """Who can appear in a video and what they can do: few enough that a query has near misses and repetitions."""

    looks: tuple[tuple[str, str], ...]
    """Colour and form of each actor."""
    actions: tuple[Action, ...]

    @classmethod
    def draw(cls, rng: random.Random) -> "_Cast":
        colours, forms = rng.sample(COLOURS, 3), rng.sample(FORMS, 3)
        looks = rng.sample([(colour, form) for colour in colours for form in forms], 5)
        repertoire = rng.sample([action for action in ACTIONS if action not in ("enters", "shrinks")], 3)
        return cls(tuple(looks), (*repertoire, *(("shrinks",) if "grows" in repertoire else ())))


def _cuts(rng: random.Random, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """Split a stretch into scenes of 20 to 50 seconds."""
    cuts = [start_s]
    while end_s - cuts[-1] > 60:
        cuts.append(cuts[-1] + rng.uniform(20, 50))
    return list(zip(cuts, [*cuts[1:], end_s], strict=True))


def _scene(
    rng: random.Random, start_s: float, end_s: float, players: _Cast, n_actors: int, n_events: int | None = None
) -> Scene:
    places = rng.sample([(x, y) for x in (0.2, 0.5, 0.8) for y in (0.3, 0.7)], n_actors)
    actors = tuple(
        Actor(colour, form, x + rng.uniform(-0.05, 0.05), y + rng.uniform(-0.05, 0.05), rng.uniform(0.11, 0.14))
        for (colour, form), (x, y) in zip(rng.sample(players.looks, n_actors), places, strict=True)
    )
    events = [event for actor in actors for event in _acts(rng, actor, players.actions, start_s, end_s)]
    if n_events is not None:
        events = sorted(events, key=lambda event: event.start_s)[:n_events]
    background = tuple(rng.randint(15, 70) for _ in range(3))
    return Scene(start_s, end_s, background, actors, tuple(sorted(events, key=lambda event: event.start_s)))  # type: ignore[arg-type]


def _acts(rng: random.Random, actor: Actor, actions: Sequence[Action], start_s: float, end_s: float) -> Iterator[Event]:
    """What one actor does in a scene: acts of 4 to 12 seconds with pauses, none that its state does not allow."""
    on_stage, large = rng.random() < 0.7, False
    now = start_s + rng.uniform(0, 8)
    while True:
        length = rng.uniform(4, 12)
        if now + length > end_s:
            return
        if not on_stage:
            action: Action = "enters"
        else:
            action = rng.choice([a for a in (*actions, "leaves") if a != ("grows" if large else "shrinks")])
        yield Event(actor, action, now, now + length)
        on_stage = action != "leaves"
        large = {"grows": True, "shrinks": False, "leaves": False}.get(action, large)
        now += length + rng.uniform(3, 14)


def _long_range_scenes(rng: random.Random, players: _Cast, duration_s: float) -> list[Scene]:
    """A busy third at one end of the video, silence, and one event near the other end."""
    busy_s, quiet_s = 0.35 * duration_s, 0.4 * duration_s
    first = rng.random() < 0.5
    busy_start, lone_start = (0.0, busy_s + quiet_s) if first else (duration_s - busy_s, 0.0)
    lone_end = lone_start + duration_s - busy_s - quiet_s
    busy = _scene(rng, busy_start, busy_start + busy_s, players, 4)
    while True:
        lone = _scene(rng, lone_start, lone_end, players, 2, n_events=1)
        if lone.events:
            break
    between = (busy.end_s, lone.start_s) if first else (lone.end_s, busy.start_s)
    silence = Scene(*between, lone.background, lone.actors, ())
    return [busy, silence, lone] if first else [lone, silence, busy]


def _flash(rng: random.Random, duration_s: float) -> Flash:
    start = rng.uniform(0, duration_s - 10)
    return Flash("hexagon", rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), start, start + rng.uniform(4, 10))


@dataclass(frozen=True)
class Query:
    """A sentence and the events that it means."""

    text: str
    events: tuple[Event, ...]
    kind: QueryKind = "plain"
    """What it takes to tell them from others."""


def queries(board: Storyboard, n: int = 5) -> list[Query]:
    """At most n different sentences about a video. For a long_range video, one: about the event that stands alone."""
    rng = random.Random(f"queries {board.video_id}")
    if "long_range" in board.video_id:
        lone = next(scene.events[0] for scene in board.scenes if len(scene.events) == 1)
        return [_about(rng, board, lone)]
    makers = [_ordinal, _relation, _plain, _partial, _plain]
    found: dict[frozenset[Event], Query] = {}
    for attempt in range(20 * n):
        query = makers[attempt % len(makers)](rng, board)
        if query is not None and _coverage(board, query) <= 0.5:
            found.setdefault(frozenset(query.events), query)
        if len(found) == n:
            break
    return list(found.values())


def annotate(board: Storyboard, first_query_id: int, asked: Sequence[Query] | None = None) -> list[Annotation]:
    """The video's queries as annotation rows: windows are unions of clips, with three ratings per clip inside.

    asked: other queries than those of `queries`.
    """
    rng = random.Random(f"ratings {board.video_id}")
    rows = []
    for query_id, query in enumerate(queries(board) if asked is None else asked, start=first_query_id):
        covered = coverage(board.duration_s, query.events)
        relevant = np.flatnonzero(covered >= 0.5)
        ratings = tuple(
            tuple(min(4, max(0, round(1 + 3 * covered[clip] + rng.gauss(0, 0.45)))) for _ in range(3))
            for clip in relevant
        )
        windows = relevant_windows(board.duration_s, covered)
        clips = tuple(int(clip) for clip in relevant)
        about = board.video_id, board.duration_s
        rows.append(Annotation(query_id, query.text, *about, windows, clips, ratings, kind=query.kind))
    return rows


def coverage(duration_s: float, events: Sequence[Event]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Share of each clip in which one of the events goes on, (L,); at least 0.5 makes a clip relevant."""
    n_clips = max(1, int(duration_s / CLIP_S + 0.5))  # as the frames are cut: a half clip counts
    starts = np.arange(n_clips) * CLIP_S
    share = np.zeros(len(starts))
    for event in events:
        inside = np.minimum(starts + CLIP_S, event.end_s) - np.maximum(starts, event.start_s)
        share += np.clip(inside, 0, CLIP_S) / CLIP_S
    return np.minimum(share, 1)


def relevant_windows(duration_s: float, covered: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Window, ...]:
    """The runs of relevant clips, of what `coverage` gives, in seconds."""
    return tuple(Window(start * CLIP_S, min(stop * CLIP_S, duration_s)) for start, stop in runs(covered >= 0.5))


def phrase(rng: random.Random, description: Description) -> str:
    """One of the ways to say it, as 'a red disc comes in'."""
    form = rng.choice(FORM_WORDS[description.form]) if description.form else None
    if form is None:
        subject = f"something {description.colour}" if description.colour else "something"
    else:
        subject = " ".join(word for word in (rng.choice(("a", "the")), description.colour, form) if word)
    if subject.startswith("a orange"):
        subject = "an" + subject[1:]
    return f"{subject} {rng.choice(PHRASES[description.action])}"


def describe(event: Event) -> Description:
    """All that can be said of one event."""
    return Description(event.actor.colour, event.actor.form, event.action)


def _matching(board: Storyboard, description: Description) -> tuple[Event, ...]:
    return tuple(event for event in board.events if description.fits(event))


def _events_by_count(board: Storyboard) -> tuple[list[Event], list[Event]]:
    """Events that happen once, and events that happen again."""
    counts = {event: len(_matching(board, describe(event))) for event in board.events}
    return [e for e, n in counts.items() if n == 1], [e for e, n in counts.items() if n > 1]


def _apart(events: Sequence[Event]) -> bool:
    """Whether the events lie two clips or more from each other, so that each has a window of its own."""
    return all(b.start_s - a.end_s >= 2 * CLIP_S for a, b in pairwise(events))


def _plain(rng: random.Random, board: Storyboard) -> Query | None:
    """Every event of one actor and action."""
    description = describe(rng.choice(board.events))
    return Query(phrase(rng, description), _matching(board, description), "plain")


def _partial(rng: random.Random, board: Storyboard) -> Query | None:
    """Only a colour or only a form is named."""
    event = rng.choice(board.events)
    if rng.random() < 0.5:
        description = Description(event.actor.colour, None, event.action)
    else:
        description = Description(None, event.actor.form, event.action)
    return Query(phrase(rng, description), _matching(board, description), "one attribute")


def _ordinal(rng: random.Random, board: Storyboard) -> Query | None:
    """The first or the last of several events."""
    _, several = _events_by_count(board)
    if not several:
        return None
    description = describe(rng.choice(several))
    return _first_or_last(rng, description, _matching(board, description), rng.choice(("first", "last")))


def _first_or_last(rng: random.Random, what: Description, events: Sequence[Event], which: str) -> Query | None:
    if not _apart(events):
        return None
    chosen = events[0 if which == "first" else -1]
    return Query(f"{phrase(rng, what)} for the {which} time", (chosen,), "first/last")


def _relation(rng: random.Random, board: Storyboard) -> Query | None:
    """Those of several events that come after, or before, an event that happens once."""
    anchors, several = _events_by_count(board)
    if not (anchors and several):
        return None
    anchor, what = rng.choice(anchors), describe(rng.choice(several))
    events = _matching(board, what)
    after = tuple(e for e in events if e.start_s > anchor.end_s)
    before = tuple(e for e in events if e.end_s < anchor.start_s)
    if anchor in events or not (after and before) or not _apart(events):
        return None
    word, meant = rng.choice((("after", after), ("before", before)))
    return Query(f"{phrase(rng, what)} {word} {phrase(rng, describe(anchor))}", meant, "before/after")


def _about(rng: random.Random, board: Storyboard, event: Event) -> Query:
    """A sentence that means this event alone."""
    what = describe(event)
    events = _matching(board, what)
    if len(events) > 1:
        which = "first" if event is events[0] else "last"
        return Query(f"{phrase(rng, what)} for the {which} time", (event,), "first/last")
    return Query(phrase(rng, what), events, "plain")


def _coverage(board: Storyboard, query: Query) -> float:
    return float(coverage(board.duration_s, query.events).mean())
