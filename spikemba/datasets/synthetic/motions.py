"""motions: a seeded synthetic corpus for recognition, in which only the motion tells the classes apart.

One shape moves over a still stage that has no edges: what leaves on the right comes in on the left. Every place, size,
turn, colour and form is equally likely in every frame of every class, so a single frame says nothing. Classes come in
reversed pairs: equal seeds give one class the frames of the other in the opposite order.

    moves    twelve classes: right, left, down, up, turning and circling either way, growing, shrinking, zigzags
    orders   eight classes: a run to the side and a run up or down, in either order and direction. Equal seeds give all
             eight the same frames, so that shuffled frames say nothing at all

    storyboard("moves", "grows", seed) -> MotionBoard -> motion_drawing.render -> frames
"""

import math
import random
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, get_args

from spikemba.datasets.synthetic.shapes import COLOURS, FORMS
from spikemba.errors import UnknownName

MotionSet = Literal["moves", "orders"]
Kind = Literal["right", "down", "turn", "grow", "circle", "zigzag"]
Look = Literal["dark", "light"]

FPS = 8
N_FRAMES = 16
SIZE_PX = 64
SMALLEST, LARGEST = 0.14, 0.3
"""Radius of a shape as a fraction of the frame."""
ORBIT = 0.2
"""Radius of a circle that a shape runs along."""

_PAIRS: dict[Kind, tuple[str, str]] = {
    "right": ("moves_right", "moves_left"),
    "down": ("moves_down", "moves_up"),
    "turn": ("turns_clockwise", "turns_counterclockwise"),
    "grow": ("grows", "shrinks"),
    "circle": ("circles_clockwise", "circles_counterclockwise"),
    "zigzag": ("zigzags_down", "zigzags_up"),
}
"""What each kind of motion is called, and what it is called backwards."""
_SIDES, _HEIGHTS = ("right", "left"), ("down", "up")


@dataclass(frozen=True)
class Pose:
    """How a shape stands; lengths are fractions of the frame."""

    x: float
    y: float
    """Centre, counted round the edges: 1.2 is 0.2."""
    growth: float
    """Place between the smallest size, 0, and the largest, 1; beyond, it begins again."""
    angle: float
    """Radians, clockwise."""

    @property
    def radius(self) -> float:
        """The size that the growth stands for, equal steps being equal ratios."""
        return float(SMALLEST * (LARGEST / SMALLEST) ** (self.growth % 1))


@dataclass(frozen=True)
class Act:
    """One stretch of steady motion."""

    kind: Kind
    backwards: bool
    start: Pose
    """Before the first frame, or after the last one where it runs backwards."""
    amount: float
    """Frame widths, turns or sizes passed through from beginning to end."""

    def pose(self, done: float) -> Pose:
        """The pose at a share of the act, 0 to 1."""
        start, way = self.start, self.amount * (1 - done if self.backwards else done)
        if self.kind == "right":
            return replace(start, x=start.x + way)
        if self.kind == "down":
            return replace(start, y=start.y + way)
        if self.kind == "turn":
            return replace(start, angle=start.angle + math.tau * way)
        if self.kind == "grow":
            return replace(start, growth=start.growth + way)
        if self.kind == "circle":
            phase = start.angle + math.tau * way  # any start of the circle does, and the angle is any
            return replace(start, x=start.x + ORBIT * math.sin(phase), y=start.y - ORBIT * math.cos(phase))
        swing = abs((2 * way + start.growth) % 1 - 0.5)  # two swings per frame height
        return replace(start, x=start.x + 0.8 * swing, y=start.y + way)


@dataclass(frozen=True)
class MotionBoard:
    """Everything that is seen in one video."""

    label: str
    seed: int
    form: str
    colour: str
    background: tuple[int, int, int]
    bystander: tuple[str, str, Pose] | None
    """Form, colour and pose of a second shape that stands still."""
    acts: tuple[Act, ...]
    """Each has an equal share of the video."""

    def pose(self, done: float) -> Pose:
        """The moving shape's pose at a share of the video, 0 <= done < 1."""
        act = int(done * len(self.acts))
        return self.acts[act].pose(done * len(self.acts) - act)


def motion_labels(which: MotionSet) -> list[str]:
    """The classes of a set; each pair of neighbours is reversed. Raises UnknownName."""
    if which not in get_args(MotionSet):
        raise UnknownName("set of motions", which, list(get_args(MotionSet)))
    if which == "moves":
        return [label for pair in _PAIRS.values() for label in pair]
    first = [f"{side}_then_{height}" for side, height in product(_SIDES, _HEIGHTS)]
    return [label for one in first for label in (one, reversed_label(one))]


def reversed_label(label: str) -> str:
    """What a motion is called when its frames are shown in the opposite order. Raises UnknownName."""
    for pair in _PAIRS.values():
        if label in pair:
            return pair[1 - pair.index(label)]
    first, then, second = label.partition("_then_")
    opposite = dict([_SIDES, _SIDES[::-1], _HEIGHTS, _HEIGHTS[::-1]])
    if not then or {first, second} - opposite.keys():
        raise UnknownName("motion", label, motion_labels("moves") + motion_labels("orders"))
    return f"{opposite[second]}_then_{opposite[first]}"


def storyboard(which: MotionSet, label: str, seed: int, look: Look = "dark") -> MotionBoard:
    """Invent a video of a class. Equal seeds give every class the same shape, stage and poses to start from.

    look: of the stage; a set in another look is another world to transfer to.
    Raises UnknownName for a set or a class that there is not.
    """
    if label not in motion_labels(which):
        raise UnknownName("motion", label, motion_labels(which))
    rng = random.Random(f"{which} {look} {seed}")
    colour, other = rng.sample(COLOURS, 2)
    form, second = rng.sample(FORMS, 2)
    low, high = (15, 70) if look == "dark" else (95, 190)
    background = (rng.randint(low, high), rng.randint(low, high), rng.randint(low, high))
    bystander = (second, other, _anywhere(rng)) if rng.random() < 0.5 else None
    starts, amount = (_anywhere(rng), _anywhere(rng)), rng.uniform(0.6, 1.0)
    acts = _one_act(label, starts[0], amount) if which == "moves" else _two_acts(label, starts, amount)
    return MotionBoard(label, seed, form, colour, background, bystander, acts)


def _anywhere(rng: random.Random) -> Pose:
    return Pose(rng.random(), rng.random(), rng.random(), rng.uniform(0, math.tau))


def _one_act(label: str, start: Pose, amount: float) -> tuple[Act, ...]:
    kind = next(kind for kind, pair in _PAIRS.items() if label in pair)
    return (Act(kind, label == _PAIRS[kind][1], start, amount),)


def _two_acts(label: str, starts: tuple[Pose, Pose], amount: float) -> tuple[Act, ...]:
    """The run to the side begins at the first place and the other at the second, whichever comes first."""
    words = label.split("_then_")
    standing = replace(starts[1], growth=starts[0].growth, angle=starts[0].angle)  # the same shape, elsewhere
    side = Act("right", "left" in words, starts[0], 0.7 * amount)
    height = Act("down", "up" in words, standing, 0.7 * amount)
    return (side, height) if words[0] in _SIDES else (height, side)
