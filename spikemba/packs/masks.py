"""Which tokens of a query are real: by a mask beside them whose meaning is certain, or by rows of zeros around them."""

# Shapes: W tokens, F feature width.

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch

MASK_KEYS = ("attention_mask", "mask", "text_mask", "token_mask", "query_mask", "src_txt_mask")
"""Names of what says which tokens are real, with 1."""
PADDING_KEYS = ("key_padding_mask", "src_key_padding_mask", "padding_mask", "pad_mask")
"""Names of what says which are padding, with 1, as PyTorch's attention takes it."""

ADDED = -1e3
"""A mask that is added to logits has at most this where tokens are padding."""


def true_tokens(
    states: NDArray[Any], mask: NDArray[Any] | None, place: str, *, marks_padding: bool = False
) -> NDArray[Any]:
    """(W, F) of the real tokens, by a mask, or without the rows of zeros before and behind them.

    marks_padding: the mask's name says that it marks padding.
    Raises FeaturesMismatch for a mask of another length, one that leaves nothing, and one that can be read two ways.
    """
    real = (states != 0).any(1)
    if mask is None:
        found = np.flatnonzero(real)
        return states[int(found[0]) : int(found[-1]) + 1] if len(found) else states[:1]
    flat = mask.reshape(-1)
    if len(flat) != len(states):
        raise FeaturesMismatch(f"{place} has a mask of {len(flat)} for {len(states)} tokens; expected one of each")
    marked = _marked(flat, place)
    if len(real) and not real.all() and real.any():  # the padding is zeros: the numbers say what the mask means
        for kept in (marked, ~marked):
            if (kept == real).all():
                return _kept(states, kept, place)
    kept = ~marked if marks_padding else marked
    if (kept[1:] > kept[:-1]).any():
        seen = "".join("1" if one else "0" for one in marked[:20]) + ("…" if len(marked) > 20 else "")
        raise FeaturesMismatch(
            f"{place} has a mask of {seen}, which may mark real tokens or padding; expected real ones (1) first, then "
            "padding (0): leave it out, and rows of zeros where padding is"
        )
    return _kept(states, kept, place)


def _kept(states: NDArray[Any], kept: NDArray[np.bool_], place: str) -> NDArray[Any]:
    if not kept.any():
        raise FeaturesMismatch(f"{place} has a mask that leaves no token; expected at least one")
    chosen: NDArray[Any] = states[kept]
    return chosen


def _marked(flat: NDArray[Any], place: str) -> NDArray[np.bool_]:
    """Where a mask is 1, or 0 in one that is added to logits. Raises FeaturesMismatch for other numbers."""
    values = np.unique(flat)
    if np.isin(values, (0, 1)).all():
        return flat != 0  # type: ignore[no-any-return]
    if not np.isnan(values).any() and np.isin(values, (0, values.min())).all() and values.min() <= ADDED:
        return flat == 0  # type: ignore[no-any-return]
    seen = ", ".join(f"{value:g}" for value in values[:4]) + (", …" if len(values) > 4 else "")
    raise FeaturesMismatch(f"{place} has a mask of {seen}; expected 1 for real tokens and 0 for padding")
