"""Draws the frames of a motions storyboard."""

# Shapes: H, Wd frame height and width in pixels.

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spikemba.datasets.synthetic.drawing import RGB, draw_form, draw_stage
from spikemba.datasets.synthetic.motions import N_FRAMES, SIZE_PX, MotionBoard, Pose

_FINER = 2
"""Frames are drawn this much larger and averaged, so that a step of half a pixel is seen."""


def render(board: MotionBoard, n_frames: int = N_FRAMES, size_px: int = SIZE_PX) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames, (H, Wd, 3) uint8, one after another. n_frames: even, so that two acts get as many each.

    Frame k shows (k + 0.5) / n_frames of the video, so that reversed motion is the reversed video, frame by frame.
    """
    stage = draw_stage(board.background, size_px * _FINER)
    if board.bystander is not None:
        form, colour, pose = board.bystander
        _draw(stage, form, colour, pose)
    for k in range(n_frames):
        image = stage.copy()
        _draw(image, board.form, board.colour, board.pose((k + 0.5) / n_frames))
        yield np.asarray(image.reduce(_FINER))


def _draw(image: Image.Image, form: str, colour: str, pose: Pose) -> None:
    """Draw a shape, and again at the opposite edge what is beyond this one."""
    draw, size = ImageDraw.Draw(image), image.width
    for dx, dy in product((-1, 0, 1), repeat=2):
        x, y = pose.x % 1 + dx, pose.y % 1 + dy
        reach = 1.3 * pose.radius  # the corners of a square stand out
        if -reach < x < 1 + reach and -reach < y < 1 + reach:
            draw_form(draw, form, (x * size, y * size), pose.radius * size, pose.angle, RGB[colour])
            draw.polygon([(size * px, size * py) for px, py in _wedge(x, y, pose)], fill=(10, 10, 10))


def _wedge(x: float, y: float, pose: Pose) -> list[tuple[float, float]]:
    """A mark from the centre outwards, which shows the turn also of a shape that looks the same in many."""
    tips = [pose.angle + lean for lean in (-0.5, 0.5)]
    return [(x, y), *((x + 0.9 * pose.radius * math.sin(tip), y - 0.9 * pose.radius * math.cos(tip)) for tip in tips)]
