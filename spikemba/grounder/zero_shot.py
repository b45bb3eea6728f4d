"""Grounding without training: how similar each clip is to the sentence, turned into moments by spiking thresholds.

The similarities of one video are standardised, because their level says more about the sentence than about the clips,
and drive leaky integrate-and-fire neurons along the video, in both directions. A neuron fires through a stretch that
keeps it above its threshold and stays silent after one weak clip, so its runs of spikes are proposals; neurons with
different gains propose longer and shorter ones. It is a baseline: it knows what an encoder's towers agree on, no more.
"""

# Shapes: L clips, F feature width, M moments, G gains.

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from spikemba.config import Config
from spikemba.errors import ShapeError
from spikemba.features import row_length_s
from spikemba.grounding import Answer, Array
from spikemba.moments import Moment, runs, suppress
from spikemba.ops.spiking import NeuronConfig, lif_spikes


class ZeroShotConfig(Config):
    """How similarities become moments."""

    similarity: Literal["cosine", "product"] = "cosine"
    """`product` keeps the length of a clip's vector, for encoders in which it says how much goes on."""
    tau: float = Field(2.0, gt=1)
    """Membrane time constant, in clips."""
    gains: tuple[PositiveFloat, ...] = (0.4, 0.6, 0.8, 1.0, 1.5)
    """What a similarity of one standard deviation above the video's median adds to the membranes; they fire at 1."""
    max_gap: int = Field(1, ge=0)
    """Silent clips that do not end a run of spikes."""
    n_moments: PositiveInt = 10
    """Moments kept per query."""
    max_iou: float = Field(0.5, ge=0, le=1)
    """Of two moments that overlap more than this, the better one is kept."""


def answer_zero_shot(
    clips: Array, sentence: Array, duration_s: float, clip_s: float, config: ZeroShotConfig | None = None
) -> Answer:
    """Moments of a video that a sentence describes.

    clips: (L, F), sentence: (F,), both from the two towers of one encoder, as they come.
    Returns an Answer whose saliency is the standardised similarity in [0, 1] and whose spikes are (L, 2G).
    Raises ShapeError when the two are not of one width.
    """
    config = config or ZeroShotConfig()
    if clips.ndim != 2 or sentence.shape != clips.shape[1:]:
        raise ShapeError(f"clips are {clips.shape} and the sentence {sentence.shape}; expected (L, F) and (F,)")
    strength = standardised(similarity(clips, sentence, config.similarity))
    spikes = _spikes(strength, config)  # (L, 2, G)
    fired = np.logical_or(spikes[:, 0], spikes[:, 1])
    proposals = {run for g in range(len(config.gains)) for run in runs(fired[:, g], config.max_gap)}
    best = int(strength.argmax())
    ordered = sorted(proposals | {(best, best + 1)})
    windows = np.minimum(np.array(ordered, np.float64) * row_length_s(len(clips), duration_s, clip_s), duration_s)
    scores = np.array([_score(strength, start, stop) for start, stop in ordered])
    real = windows[:, 1] > windows[:, 0]
    windows, scores = windows[real], scores[real]
    moments = [Moment(float(windows[i, 0]), float(windows[i, 1]), float(scores[i])) for i in range(len(windows))]
    kept = suppress(windows, scores, config.max_iou, config.n_moments)
    saliency = (1 / (1 + np.exp(1 - strength))).astype(np.float32)
    return Answer(
        moments=tuple(moments[i] for i in kept),
        saliency=saliency,
        foreground=saliency,
        proposals=tuple(moments),
        spikes=spikes.reshape(len(clips), -1),
        ranking=saliency,
    )


def similarity(clips: Array, sentence: Array, kind: Literal["cosine", "product"]) -> NDArray[np.float64]:
    """(L, F) and (F,) -> (L,): the cosine, or the product with the sentence scaled to length 1."""
    wide, unit = clips.astype(np.float64), sentence / max(float(np.linalg.norm(sentence)), 1e-12)
    found: NDArray[np.float64] = wide @ unit
    return found / np.maximum(np.linalg.norm(wide, axis=1), 1e-12) if kind == "cosine" else found


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(values - median) / standard deviation; all 0 when the values are the same but for rounding."""
    spread = float(values.std())
    if spread < 1e-6 * max(1.0, float(np.abs(values).max())):
        return np.zeros_like(values)
    return (values - np.median(values)) / spread


def _spikes(strength: NDArray[np.float64], config: ZeroShotConfig) -> NDArray[np.bool_]:
    """(L,) -> (L, 2, G): what neurons fire that read the video forwards and backwards."""
    driven = np.maximum(strength, 0)  # below the median a membrane leaks; inhibited, it would wake up late
    both = np.stack((driven, driven[::-1]), axis=1)[:, :, None]
    current = torch.from_numpy(both * np.array(config.gains))
    fired = lif_spikes(current, NeuronConfig(tau=config.tau, reset="soft")).numpy() > 0
    fired[:, 1] = fired[::-1, 1].copy()
    return np.asarray(fired, np.bool_)


def _score(strength: NDArray[np.float64], start: int, stop: int) -> float:
    """In [0, 1): the sum over a run against the noise of such a sum, which grows as the root of its length.

    The same statistic finds a raised segment in white noise; a mean alone would always prefer the single best clip.
    """
    evidence = max(0.0, float(strength[start:stop].sum()) / float(np.sqrt(stop - start)))
    return evidence / (evidence + 2)
