"""Numbers per clip of one length as numbers per clip of another: ratings in clips of 2 s beside features of 1 s."""

# Shapes: n clips as they are, m clips as they are wanted.

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def whole_clips(duration_s: float, clip_s: float) -> int:
    """Clips that lie in a video as a whole, as the official evaluator counts them; 0.3 s hold three of 0.1 s."""
    return int(duration_s / clip_s + 1e-9)


def at_clip_length(values: Numbers, clip_s: float, wanted_s: float, n_wanted: int) -> Numbers:
    """(n,) numbers of clips of clip_s seconds -> (m,), one per clip of wanted_s seconds.

    Each is the mean of the clips that it overlaps, weighted by the overlap; past the last of them it is the last one.
    Equal lengths change nothing.
    """
    edges = np.arange(n_wanted + 1) * wanted_s
    total = np.concatenate(([0.0], np.cumsum(values)))  # the integral up to each clip's end, in clips
    last_s = len(values) * clip_s
    until = np.interp(edges.clip(0, last_s), np.arange(len(values) + 1) * clip_s, total * clip_s)
    until += (edges - last_s).clip(0) * (values[-1] if len(values) else 0.0)
    found: Numbers = np.diff(until) / wanted_s
    if clip_s == wanted_s:  # to the last bit
        n = min(len(values), n_wanted)
        found[:n] = values[:n]
    return found
