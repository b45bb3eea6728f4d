"""The models' own ways of scaling a picture, by Pillow: squashed to a square, or its middle."""

# Shapes: H, Wd height and width in pixels.

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MARGIN = 256 / 224
"""Short side over the crop, where the crop has a margin around it."""


def _short_side_crop(image: Image, size_px: int, *, filter_name: str = "BICUBIC", margin: float = 1.0) -> Image:
    """With antialiasing to the short side, its long side truncated; then the middle, rounded to even."""
    height, width = image.shape[:2]
    short, wanted = min(height, width), int(size_px * margin)
    scaled = _scaled(image, int(wanted * width / short), int(wanted * height / short), filter_name)
    top, left = (round((side - size_px) / 2) for side in scaled.shape[:2])
    return np.ascontiguousarray(scaled[top : top + size_px, left : left + size_px])


def _squash(image: Image, size_px: int, *, filter_name: str = "BICUBIC") -> Image:
    """With antialiasing to a square, whatever the proportions."""
    return _scaled(image, size_px, size_px, filter_name)


def _scaled(image: Image, width: int, height: int, filter_name: str) -> Image:
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(image).resize((width, height), Pillow.Resampling[filter_name]))


FINISHES: dict[str, Callable[[Image, int], Image]] = {
    "pillow_short_side_crop": _short_side_crop,
    "pillow_short_side_crop_bilinear": partial(_short_side_crop, filter_name="BILINEAR"),
    "pillow_margin_crop_bilinear": partial(_short_side_crop, filter_name="BILINEAR", margin=MARGIN),
    "pillow_squash": _squash,
    "pillow_squash_bilinear": partial(_squash, filter_name="BILINEAR"),
}
"""Name of a resize -> what makes an image (size_px, size_px, 3) of a picture (H, Wd, 3)."""
