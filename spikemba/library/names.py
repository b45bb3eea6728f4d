"""What a matrix's files are called: by the encoder, and a number that compacting raises."""

import re
from collections.abc import Collection
from itertools import count


def encoder_file(encoder: str, taken: Collection[str]) -> str:
    """`clip:ViT-L-14` -> clip_ViT-L-14, or clip_ViT-L-14.2 where another encoder has that name."""
    name = re.sub(r"[^\w-]+", "_", encoder)
    return next_file(name, taken) if name in taken else name


def next_file(file: str, taken: Collection[str]) -> str:
    """clip -> clip.2 -> clip.3, the first that is not taken; readers that have the old files open keep them."""
    stem, _, number = file.partition(".")
    return next(name for n in count(int(number or 1) + 1) if (name := f"{stem}.{n}") not in taken)
