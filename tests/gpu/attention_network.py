"""A grounding network of attention alone, with the layers and sizes of CG-DETR: what its steps and answers cost.

It is compared in nothing but time, and has nearly as many weights: 12.0 of 12.6 million. Sizes: Moon et al. 2023, arXiv
2311.08835, and its script for QVHighlights. What its step does besides, with unrelated pairs, matching and ranking, is
left out, which is in its favour; benchmarks/bench_peer.py has its own code, on a CPU.
"""

# Shapes: B pairs, L clips, W tokens, D width, K queries of the decoder.

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEADS, INNER, DROPOUT = 256, 8, 1024, 0.1
DUMMIES, QUERIES = 45, 10
SELF = {"dummies": 2, "sentence": 1, "moment": 1, "encoder": 3}
"""Layers of the stages whose tokens look at each other."""
CROSS, DECODER = 2, 3
"""Of clips that look at words, and of queries that look at clips."""


class AttentionNetwork(nn.Module):
    """Clips and tokens to K windows, their scores, and saliency."""

    def __init__(self, video: int, query: int) -> None:
        super().__init__()
        self.video, self.query = _projection(video + 2), _projection(query)
        self.dummies = nn.Parameter(torch.randn(DUMMIES, WIDTH))
        self.whole = nn.Parameter(torch.randn(1, WIDTH))
        self.queries = nn.Parameter(torch.randn(QUERIES, WIDTH))
        self.stages = nn.ModuleDict(
            {name: nn.ModuleList(_encoder_layer() for _ in range(n)) for name, n in SELF.items()}
        )
        self.cross = nn.ModuleList(_decoder_layer() for _ in range(CROSS))
        self.decoder = nn.ModuleList(_decoder_layer() for _ in range(DECODER))
        self.windows = nn.Sequential(*_mlp(WIDTH, WIDTH), *_mlp(WIDTH, WIDTH), nn.Linear(WIDTH, 2))
        self.scores, self.saliency = nn.Linear(WIDTH, 2), nn.Linear(WIDTH, WIDTH)

    def forward(self, clips: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """clips: (B, L, F); tokens: (B, W, F) -> windows (B, K, 2), scores (B, K, 2), saliency (B, L)."""
        batch, length = clips.shape[:2]
        place = torch.arange(length, device=clips.device) / length
        ends = torch.stack((place, place + 1 / length), -1).expand(batch, -1, -1)
        x, words = self.video(torch.cat((clips, ends), -1)), self.query(tokens)
        dummies = self._through("dummies", torch.cat((self.dummies.expand(batch, -1, -1), words), 1))[:, :DUMMIES]
        sentence = self._through("sentence", torch.cat((self.whole.expand(batch, -1, -1), words), 1))[:, :1]
        moment = self._through("moment", torch.cat((self.whole.expand(batch, -1, -1), x), 1))[:, :1]
        memory = torch.cat((dummies, words), 1)
        for layer in self.cross:
            x = layer(x, memory)
        x = self._through("encoder", torch.cat((sentence + moment, x), 1))
        found = self.queries.expand(batch, -1, -1)
        for layer in self.decoder:
            found = layer(found, x[:, 1:])
        saliency = (self.saliency(x[:, 1:]) * x[:, :1]).sum(-1) / WIDTH**0.5
        return self.windows(found).sigmoid(), self.scores(found), saliency

    def _through(self, stage: str, x: Tensor) -> Tensor:
        for layer in self.stages[stage]:
            x = layer(x)
        return x

    def loss(self, clips: Tensor, tokens: Tensor, window: Tensor, foreground: Tensor) -> Tensor:
        """L1 to the true window, the score of the nearest one, saliency inside above outside.

        window: (B, 2).  foreground: (B, L) bool.
        """
        windows, scores, saliency = self(clips, tokens)
        apart = (windows - window[:, None]).abs().sum(-1)
        best = apart.argmin(1)
        inside = (saliency * foreground).sum(1) / foreground.sum(1)
        outside = (saliency * ~foreground).sum(1) / (~foreground).sum(1)
        kinds = F.one_hot(best, QUERIES)
        told = F.cross_entropy(scores.flatten(0, 1), kinds.flatten())
        return apart.amin(1).mean() + told + F.relu(0.2 + outside - inside).mean()


def _projection(width: int) -> nn.Module:
    """Two layers, as its inputs go through."""
    norm = (nn.LayerNorm(width), nn.Dropout(0.5), nn.Linear(width, WIDTH), nn.ReLU())
    return nn.Sequential(*norm, nn.LayerNorm(WIDTH), nn.Dropout(0.5), nn.Linear(WIDTH, WIDTH))


def _mlp(width: int, out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(width, out), nn.ReLU()


def _encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, DROPOUT, "relu", batch_first=True)


def _decoder_layer() -> nn.Module:
    return nn.TransformerDecoderLayer(WIDTH, HEADS, INNER, DROPOUT, "relu", batch_first=True)
