"""Draws the frames of a shapes storyboard."""

# Shapes: H, Wd frame height and width in pixels.

import colorsys
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spikemba.datasets.synthetic.shapes import FPS, SIZE_PX, Actor, Event, Flash, Storyboard

Frame = NDArray[np.uint8]
Point = tuple[float, float]

RGB = {
    "red": (225, 30, 35),
    "green": (40, 190, 60),
    "blue": (45, 80, 235),
    "yellow": (245, 225, 50),
    "purple": (150, 50, 190),
    "orange": (250, 140, 20),
    "cyan": (50, 215, 225),
    "white": (245, 245, 245),
}
LARGE = 1.6
"""Size of a grown shape as a multiple of its normal size."""


def render(board: Storyboard, fps: int = FPS, size_px: int = SIZE_PX) -> Iterator[Frame]:
    """Yield the frames, (H, Wd, 3) uint8, one after another."""
    scenes = iter(board.scenes)
    scene = next(scenes)
    stage = draw_stage(scene.background, size_px)
    for k in range(round(board.duration_s * fps)):
        now = k / fps
        while now >= scene.end_s and (following := next(scenes, None)) is not None:
            scene, stage = following, draw_stage(following.background, size_px)
        image = stage.copy()
        draw = ImageDraw.Draw(image)
        for actor in scene.actors:
            seen = pose(actor, scene.events_of(actor), now)
            if seen is not None:
                centre = seen.x * size_px, seen.y * size_px
                draw_form(draw, actor.form, centre, seen.size * size_px, seen.angle, RGB[actor.colour])
        for flash in board.flashes:
            _draw_flash(draw, flash, now, size_px)
        yield np.asarray(image)


def draw_stage(background: tuple[int, int, int], size_px: int) -> Image.Image:
    """Background of a scene: a gradient of the colour with a few dim bars, different for every colour."""
    rng = np.random.default_rng(background)
    ramp = np.linspace(0.7, 1.3, size_px)[:, None, None]
    canvas = np.clip(np.array(background) * ramp, 0, 255).astype(np.uint8).repeat(size_px, axis=1)
    image = Image.fromarray(np.ascontiguousarray(canvas))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, w = rng.integers(0, size_px, 3).tolist()
        shade = int(rng.integers(30, 95))
        draw.rectangle((x, y, x + w // 2, y + 3), fill=(shade, shade, shade))
    return image


@dataclass(frozen=True)
class Pose:
    """Where and how an actor is seen; lengths are fractions of the frame."""

    x: float
    y: float
    size: float
    angle: float
    """Radians, clockwise."""
    event: Event | None
    """What it is doing, if anything."""


def pose(actor: Actor, events: Sequence[Event], now: float) -> Pose | None:
    """How the actor is seen at `now` seconds, given its events in the scene; None while it is not to be seen."""
    if events and events[0].action == "enters" and now < events[0].start_s:
        return None
    size, gone = actor.size, False
    for event in events:
        if now < event.start_s:
            break
        if now < event.end_s:
            return _acting(actor, event, size, now)
        size = {"grows": LARGE * actor.size, "shrinks": actor.size, "leaves": actor.size}.get(event.action, size)
        gone = event.action == "leaves"
    return None if gone else Pose(actor.x, actor.y, size, 0.0, None)


def _acting(actor: Actor, event: Event, size: float, now: float) -> Pose | None:
    since = now - event.start_s
    done = since / (event.end_s - event.start_s)
    x, y, angle = actor.x, actor.y, 0.0
    if event.action in ("enters", "leaves"):
        outside = -size if x < 0.5 else 1 + size  # just out of sight, so that an entrance is seen from its beginning
        x += (outside - x) * (1 - done if event.action == "enters" else done)
    elif event.action == "spins":
        angle = math.tau * since / 2.5
    elif event.action == "grows":
        size = actor.size * (1 + (LARGE - 1) * done)
    elif event.action == "shrinks":
        size = actor.size * (LARGE - (LARGE - 1) * done)
    elif event.action == "blinks" and since % 1.0 >= 0.5:
        return None
    elif event.action == "jumps":
        y -= 0.18 * abs(math.sin(math.pi * since / 1.25))
    elif event.action == "shakes":
        x += 0.06 * math.sin(math.tau * since / 0.75)
    return Pose(x, y, size, angle, event)


def _draw_flash(draw: ImageDraw.ImageDraw, flash: Flash, now: float, size_px: int) -> None:
    if not flash.start_s <= now < flash.end_s or (now * 4) % 2 >= 1:
        return
    red, green, blue = colorsys.hsv_to_rgb((now * 0.7) % 1, 0.5, 1.0)
    fill = (int(255 * red), int(255 * green), int(255 * blue))
    draw_form(draw, flash.form, (flash.x * size_px, flash.y * size_px), 0.28 * size_px, now, fill)


def draw_form(
    draw: ImageDraw.ImageDraw, form: str, centre: Point, radius: float, angle: float, fill: tuple[int, int, int]
) -> None:
    """Draw one form, with a dark notch that shows how it is turned."""
    x, y = centre
    if form in ("circle", "ring"):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        draw.polygon([(x + radius * px, y + radius * py) for px, py in _outline(form, angle)], fill=fill)
    if form == "ring":
        inner = 0.5 * radius
        draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=(20, 20, 20))
    tip = (x + 0.95 * radius * math.sin(angle), y - 0.95 * radius * math.cos(angle))
    inner_tip = (x + 0.45 * radius * math.sin(angle), y - 0.45 * radius * math.cos(angle))
    draw.line((inner_tip, tip), fill=(10, 10, 10), width=max(2, round(0.22 * radius)))


def _outline(form: str, angle: float) -> list[Point]:
    """Corners on the unit circle's scale, turned by `angle` radians."""
    if form == "star":
        polar = [(1.15 if i % 2 == 0 else 0.5, math.pi * i / 5) for i in range(10)]
    elif form == "cross":
        arm, corner = math.hypot(1, 0.36), 0.36 * math.sqrt(2)
        lean = math.atan2(0.36, 1)
        polar = [
            point
            for i in range(4)
            for point in (
                (arm, math.pi / 2 * i - lean),
                (arm, math.pi / 2 * i + lean),
                (corner, math.pi / 2 * (i + 0.5)),
            )
        ]
    else:
        n = {"triangle": 3, "square": 4, "hexagon": 6}[form]
        start = math.pi / 4 if form == "square" else 0.0
        polar = [(1.2 if n < 6 else 1.0, start + math.tau * i / n) for i in range(n)]
    return [(r * math.sin(a + angle), -r * math.cos(a + angle)) for r, a in polar]
