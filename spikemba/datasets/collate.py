"""Pairs of different lengths into one padded batch."""

# Shapes: B pairs, L clips, W query tokens, F feature width.

from collections.abc import Sequence

import torch

from spikemba.batch import Batch, Targets, pad
from spikemba.datasets.base import Pair
from spikemba.datasets.targets import ClipTargets


def collate(pairs: Sequence[Pair]) -> Batch:
    """Pad on the right to the longest video and the longest query. Targets are there if every pair has them."""
    video, video_mask = pad([pair.video for pair in pairs])
    tokens, query_mask = pad([pair.tokens for pair in pairs])
    known = [pair.targets for pair in pairs if pair.targets is not None]
    targets = _targets(pairs, known) if len(known) == len(pairs) else None
    return Batch(video, video_mask, tokens, query_mask, targets, tuple(pair.query_id for pair in pairs))


def _targets(pairs: Sequence[Pair], targets: Sequence[ClipTargets]) -> Targets:
    return Targets(
        foreground=pad([target.foreground for target in targets])[0],
        boundaries=pad([target.boundaries for target in targets])[0],
        relevance=pad([target.relevance for target in targets])[0],
        has_windows=torch.tensor([target.has_windows for target in targets]),
        video_group=torch.tensor([pair.video_group for pair in pairs]),
        query_group=torch.tensor([pair.query_group for pair in pairs]),
        n_ranks=pairs[0].n_ranks,
        is_null=torch.tensor([target.is_null for target in targets]),
    )
