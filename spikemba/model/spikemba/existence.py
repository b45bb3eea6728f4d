"""Existence: whether the video shows what the query says at all."""

# Shapes: B pairs, L clips, D width.

import torch
from torch import Tensor, nn

from spikemba.ops.precision import Float32Linear


class ExistenceHead(nn.Module):
    """One logit per pair, from the query, the clips that fit it best, and how much the detector fires for them.

    The clips are pooled twice: weighted by a softmax over their saliency, and by the maximum of every channel. What
    pools does not learn from it, so that the order of the clips stays what the other losses make it.
    Source of the task: generalised moment retrieval, arXiv 2605.02623; the head is ours.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.clip = nn.Linear(width, width)
        self.read = nn.Sequential(nn.Linear(4 * width + 3, width), nn.ReLU(), Float32Linear(width, 1))

    def forward(
        self, clips: Tensor, mask: Tensor, query: Tensor, saliency: Tensor, foreground: Tensor, rates: Tensor | None
    ) -> Tensor:
        """clips: (B, L, D).  mask: (B, L) bool, at least one True per row.  query: (B, D), pooled and projected.

        saliency, foreground: (B, L), logits.  rates: (B, L, D) of the detector; None without one.  Returns (B,).
        """
        best, found = (x.detach().masked_fill(~mask, -torch.inf) for x in (saliency, foreground))
        weight = best.softmax(1)
        states = self.clip(clips).relu()  # not below 0, so padding of 0 is no maximum
        pooled = torch.einsum("bl,bld->bd", weight, states)
        highest = (states * mask[..., None]).amax(1)
        fires = saliency.new_zeros(len(clips)) if rates is None else (weight * rates.mean(-1)).sum(1)
        numbers = torch.stack((best.amax(1), found.amax(1), fires), dim=-1)
        told: Tensor = self.read(torch.cat((query, pooled, query * pooled, highest, numbers), dim=-1))
        return told.squeeze(-1)
