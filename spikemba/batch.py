"""What goes into the model and what comes out, with the shapes written down."""

# Shapes: B pairs, V videos (V = B unless pairs share them), L clips, W query tokens, D width, F feature width,
# S spike steps.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class _Tensors:
    """A record of tensors that moves between devices as one."""

    def to(self, device: torch.device | str) -> Self:
        """The same record with every tensor on `device`."""
        moved = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor | _Tensors)
        }
        return replace(self, **moved)

    def first(self, n: int) -> Self:
        """The record of the first n pairs."""
        kept: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor | tuple):
                kept[field.name] = value[:n]
            elif isinstance(value, _Tensors):
                kept[field.name] = value.first(n)
        return replace(self, **kept)


@dataclass(frozen=True)
class Targets(_Tensors):
    """What training wants for B video-query pairs. Times are fractions of n_clips * clip_s."""

    foreground: Tensor
    """(B, L) bool: the clip's centre lies in a true window; never all False for a pair that has a window."""
    boundaries: Tensor
    """(B, L, 2): begin and end of the true window that holds the clip, or of the nearest one."""
    relevance: Tensor
    """(B, L): 0 for clips that do not matter, up to n_ranks for the best; graded when annotators graded."""
    has_windows: Tensor
    """(B,) bool: False for highlight sets, which mark clips but no windows, and for null queries, of which no clip
    shows anything."""
    video_group: Tensor
    """(B,) int: equal for pairs that share a source video."""
    query_group: Tensor
    """(B,) int: equal for pairs that share a sentence."""
    n_ranks: int
    """Number of relevance levels M: 12 for summed ratings, 1 for yes or no."""
    is_null: Tensor | None = None
    """(B,) bool: True for null queries; None: there are none. A moment beyond the clips that are read makes no null."""

    @property
    def nulls(self) -> Tensor:
        """(B,) bool: the null queries."""
        return torch.zeros_like(self.has_windows) if self.is_null is None else self.is_null


@dataclass(frozen=True)
class Batch(_Tensors):
    """B video-query pairs, padded. Padding may stand anywhere; only the masks say what is real."""

    video: Tensor
    """(V, L, F): normalised clip features."""
    video_mask: Tensor
    """(V, L) bool, True = real."""
    query_tokens: Tensor
    """(B, W, F)."""
    query_mask: Tensor
    """(B, W) bool, True = real."""
    targets: Targets | None = None
    query_ids: tuple[str | int, ...] = ()
    """B identifiers, as the annotations write them."""
    video_of: Tensor | None = None
    """(B,) int: which of the videos each pair asks, where several pairs ask one; `video` and `video_mask` then have a
    row per video. None: a row per pair."""

    def __len__(self) -> int:
        return len(self.query_tokens)

    @property
    def clip_mask(self) -> Tensor:
        """(B, L) bool: the real clips of each pair's video."""
        return self.video_mask if self.video_of is None else self.video_mask[self.video_of]

    def first(self, n: int) -> Self:
        """The record of the first n pairs, with all videos where pairs share them."""
        kept = super().first(n)
        if self.video_of is None:
            return kept
        return replace(kept, video=self.video, video_mask=self.video_mask)


@dataclass(frozen=True)
class Spikes:
    """What one spiking saliency detector fired."""

    trains: Tensor
    """(S, B, M, D) of 0 and 1 over the M positions of text and video; (0, B, M, D) where nobody reads them."""
    rates: Tensor
    """(B, M, D) in [0, 1]: mean over the steps."""
    layer_rates: dict[str, Tensor]
    """Share of steps that fire per channel, (D,), for each neuron layer; padding left out."""


@dataclass(frozen=True)
class Prediction:
    """What the model says about each clip of B pairs, in the clip order of the batch."""

    foreground_logits: Tensor
    """(B, L): does this clip lie in a described moment?"""
    boundaries: Tensor
    """(B, L, 2): begin and end of the moment around this clip, as fractions of n_clips * clip_s; they may lie outside
    the video, [0, 1], unless `model.heads.clamp` cuts them."""
    saliency_logits: Tensor
    """(B, L): how well the clip fits the query, any real number."""
    proposal_spikes: Tensor
    """(B, L, S) of 0 and 1: what the proposal neuron of each clip fires."""
    proposal_current: Tensor | None
    """(B, L): mean current into that neuron, the smooth quantity that training pushes; None where nothing learns."""
    clip_embeddings: Tensor
    """(B, L, D): spikes per clip, projected for the contrastive loss."""
    query_embedding: Tensor
    """(B, D): the query, projected for the contrastive loss."""
    spikes: tuple[Spikes, ...]
    """One per block, first block first; empty without a detector."""
    quality_logits: Tensor | None = None
    """(B, L): how well the clip's window fits a true one, any real number; None where no head tells."""
    edge_logits: Tensor | None = None
    """(B, L, 2): does a moment begin, or end, in this clip rather than in another? None where no head tells."""
    exists_logits: Tensor | None = None
    """(B,): whether the video shows what the query says, any real number; None where no head tells."""

    @property
    def foreground(self) -> Tensor:
        """(B, L) in [0, 1]."""
        return self.foreground_logits.sigmoid()

    @property
    def saliency(self) -> Tensor:
        """(B, L) in [0, 1]."""
        return self.saliency_logits.sigmoid()

    @property
    def proposal_rates(self) -> Tensor:
        """(B, L) in [0, 1]; runs of clips at the configured rate or more are the proposal set."""
        return self.proposal_spikes.mean(-1)

    def map_clips(self, change: Callable[[Tensor], Tensor]) -> Prediction:
        """The same prediction with `change` applied to every tensor that has a clip axis."""
        return replace(
            self,
            foreground_logits=change(self.foreground_logits),
            boundaries=change(self.boundaries),
            saliency_logits=change(self.saliency_logits),
            proposal_spikes=change(self.proposal_spikes),
            proposal_current=None if self.proposal_current is None else change(self.proposal_current),
            clip_embeddings=change(self.clip_embeddings),
            quality_logits=None if self.quality_logits is None else change(self.quality_logits),
            edge_logits=None if self.edge_logits is None else change(self.edge_logits),
        )


def pad(arrays: Sequence[NDArray[np.generic]]) -> tuple[Tensor, Tensor]:
    """Stack arrays of (L_i, ...) into (B, max L, ...), zero at the end, and the (B, max L) bool mask.

    Torch's pad_sequence gives the same, and took three to four times as long for 64 videos of 2,818 features.
    """
    length = max(map(len, arrays))
    out = np.zeros((len(arrays), length, *arrays[0].shape[1:]), arrays[0].dtype)
    mask = np.zeros((len(arrays), length), np.bool_)
    for i, array in enumerate(arrays):
        out[i, : len(array)] = array
        mask[i, : len(array)] = True
    return torch.from_numpy(out), torch.from_numpy(mask)
