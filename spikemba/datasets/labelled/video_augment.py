"""What training changes in a clip, the same for all its frames, and the crops that a test looks at."""

# Shapes: T frames, S pixels a side, H, Wd pixels.

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor

from spikemba.config import Config
from spikemba.libraries import library

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, from 0 to 1, with which the published weights were trained."""
GREY = [round(255 * mean) for mean in MEAN]
"""What stands where something was cut out: zero after the normalisation."""


class AugmentConfig(Config):
    """Random changes of training clips."""

    crop_area: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the picture that a crop keeps; 1, 1 with aspect 1, 1 takes the middle square."""
    aspect: tuple[float, float] = (0.75, 4 / 3)
    """Narrowest and widest crop, width by height."""
    flip: bool = True
    """Mirror every other clip; not where left and right are what a class is about."""
    rand_augment_ops: NonNegativeInt = 4
    """Changes per clip of RandAugment; 0 turns it off."""
    rand_augment_magnitude: int = Field(7, ge=0, le=10)
    """Strength of each, of 10."""
    erase: float = Field(0.25, ge=0, le=1)
    """Share of clips in which a rectangle is blotted out."""


class MixConfig(Config):
    """Mixing the clips of a batch and their classes; one of the two per batch, at even odds where both are on."""

    mixup: NonNegativeFloat = 0.0
    """Alpha of the beta distribution that draws the shares; 0 turns it off."""
    cutmix: NonNegativeFloat = 0.0
    """The same for rectangles cut from another clip."""


Transform = Callable[[Tensor], Tensor]


def training_transform(config: AugmentConfig, size_px: int) -> Transform:
    """(T, 3, H, Wd) uint8 -> (T, 3, S, S) uint8, by torchvision; draws from torch's generator.

    The published recipes jitter RandAugment's strength (mstd 0.5), which torchvision's does not.
    """
    with library("torchvision"):
        from torchvision import tv_tensors
        from torchvision.transforms import v2

    steps: list[Callable[[Tensor], Tensor]] = []
    if config.crop_area == config.aspect == (1, 1):
        steps.append(lambda clip: viewed_crops(clip, size_px, 1)[0])
    else:
        steps.append(
            v2.RandomResizedCrop(
                size_px,
                scale=config.crop_area,
                ratio=config.aspect,
                interpolation=v2.InterpolationMode.BICUBIC,
                antialias=True,
            )
        )
    if config.flip:
        steps.append(v2.RandomHorizontalFlip())
    if config.rand_augment_ops:
        steps.append(
            v2.RandAugment(config.rand_augment_ops, config.rand_augment_magnitude, num_magnitude_bins=11, fill=GREY)
        )
    if config.erase:
        steps.append(v2.RandomErasing(config.erase, value=[float(grey) for grey in GREY]))

    def transform(clip: Tensor) -> Tensor:
        clip = tv_tensors.Video(clip)
        for step in steps:
            clip = step(clip)
        return clip.as_subclass(Tensor)

    return transform


def viewed_crops(clip: Tensor, size_px: int, n_crops: int) -> list[Tensor]:
    """The squares of a test, spread evenly along the longer side: (T, 3, H, Wd) -> n times (T, 3, S, S).

    The short side is scaled to S if it is not S already.
    """
    with library("torchvision"):
        from torchvision.transforms.v2 import functional

    if min(clip.shape[-2:]) != size_px:
        clip = functional.resize(clip, [size_px], functional.InterpolationMode.BICUBIC, antialias=True)
    height, width = clip.shape[-2:]
    slack = max(height, width) - size_px
    corners = [round(slack * (i / (n_crops - 1) if n_crops > 1 else 0.5)) for i in range(n_crops)]
    return [
        clip[..., corner : corner + size_px, :] if height > width else clip[..., corner : corner + size_px]
        for corner in corners
    ]


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Within, torch's CPU generator starts at `seed`; afterwards it is as if nothing had been drawn."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
