"""Heads: what each clip says about the moment around it, its saliency, its proposal spikes."""

# Shapes: B pairs, L clips, W query tokens, S spike steps, D width.

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from spikemba.batch import Prediction, Spikes
from spikemba.config import Config
from spikemba.model.spikemba.existence import ExistenceHead
from spikemba.ops.precision import Float32Conv1d, Float32Linear, in_full_precision
from spikemba.ops.spiking import NeuronConfig, lif_spikes


class ProposalConfig(Config):
    """What turns the detector's spikes into the proposal set."""

    read: Literal["neuron", "rates"] = "neuron"
    """A neuron per clip that reads the spikes through learned weights (`loss.proposal`), or, with nothing to learn and
    no such loss, the clip's share of firing channels: it proposes at a step in which that is above the mean of the
    video's clips."""
    min_rate: float = Field(0.5, gt=0, le=1)
    """A clip is proposed when it fires so at this share of the steps or more."""
    max_gap: int = Field(1, ge=0)
    """Runs of proposed clips that are this many clips apart, or less, are one proposal."""


class HeadsConfig(Config):
    """The heads over the clips."""

    reads: Literal["states", "spikes", "both"] = "both"
    """What the heads see of a clip: the last block's states, the firing rates of its detector, or their sum, the rates
    through a projection of their own. Without a detector, its states. The source names no heads."""
    clamp: bool = False
    """Cut begin and end to the video before the loss sees them, where they then have no gradient; answers are cut in
    either case."""
    first_distance: float = Field(0.1, gt=0, lt=1)
    """How far from a clip the ends of its window are before anything is learned, as a fraction of the video. From 0.5,
    which 0.1.0 had, all are drawn in at once, in some trainings so far that every window has no length for good."""
    quality: bool = False
    """Also tell how well each clip's window will fit (intersection over union with a true one), to rank windows by."""
    edges: bool = False
    """Also tell of each clip whether a moment begins and whether one ends there, and draw the ends of windows to such
    clips (`loss.edges`), for moments of few clips."""
    edges_reach_clips: float = Field(2.0, ge=0.5, le=32)
    """How far an end is drawn, in clips: the standard deviation of what holds it where the distances put it."""
    exists: bool = False
    """Also tell whether the video shows what the query says at all."""


class ClipConvolution(nn.Conv1d):
    """A convolution of kernel 3 over the clips, as one product whose three parts are shifted and summed.

    Torch's own would change the layout there and back.
    """

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """input: (B, L, D) -> (B, L, O)."""
        before, at, after = F.linear(input, self.weight.permute(2, 0, 1).flatten(0, 1)).chunk(3, dim=-1)
        assert self.bias is not None
        return at + self.bias.to(at.dtype) + F.pad(before, (0, 0, 1, -1)) + F.pad(after, (0, 0, -1, 1))


class Float32ClipConvolution(Float32Conv1d, ClipConvolution):
    """The same, in float32 under autocast."""


class ClipConvolutions(nn.Module):
    """Three convolutions over the clips, kernel 3, ReLU between them; padding is cleared before each.

    The last stays in float32 under autocast, as saliency does: the 8 bits of bfloat16 are too few to rank clips by.
    """

    def __init__(self, width: int, n_outputs: int, last_bias: float = 0.0) -> None:
        super().__init__()
        inner = [ClipConvolution(width, width) for _ in range(2)]
        last = Float32ClipConvolution(width, n_outputs)
        self.layers = nn.ModuleList([*inner, last])
        assert last.bias is not None
        nn.init.constant_(last.bias, last_bias)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """clips: (B, L, D).  mask: (B, L) bool.  Returns (B, L, n_outputs)."""
        x, real = clips, mask[..., None]
        for i, layer in enumerate(self.layers):
            x = layer(x * real)
            if i + 1 < len(self.layers):
                x = x.relu()
        return x


class QueryPooling(nn.Module):
    """One vector per query: its tokens, weighted by a learned attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = Float32Linear(width, 1, bias=False)  # a softmax would not see a bias

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens: (B, W, D).  mask: (B, W) bool, at least one True per row.  Returns (B, D)."""
        weight: Tensor = self.score(tokens).squeeze(-1).masked_fill(~mask, -torch.inf).softmax(-1)
        return (weight[..., None] * tokens).sum(1)


class ProposalNeuron(nn.Module):
    """One neuron per clip that reads the detector's spikes step by step; its own spikes propose the clip."""

    def __init__(self, width: int, neuron: NeuronConfig) -> None:
        super().__init__()
        self.neuron = neuron
        self.read = nn.Linear(width, 1)

    def forward(self, trains: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - of ProposalRates
        """trains: (S, B, L, D) of 0 and 1.  mask: (B, L).

        Returns the neuron's spikes, (B, L, S), and its mean current, (B, L).
        """
        current = self.read(trains).squeeze(-1)  # (S, B, L)
        return lif_spikes(current, self.neuron).movedim(0, -1), current.mean(0)


class ProposalRates(nn.Module):
    """In place of the neuron: a clip fires at the steps in which more of its channels do than of the video's others."""

    def forward(self, trains: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        """trains: (S, B, L, D) of 0 and 1.  mask: (B, L).  Returns spikes as the neuron, (B, L, S), and no current."""
        # whole numbers, whose products and sums are exact: a mean's last bit would depend on the padding
        n_firing = trains.sum(-1, dtype=torch.float32)
        n_of_all = (n_firing * mask).sum(-1, keepdim=True)
        fires = n_firing * mask.sum(-1, keepdim=True) > n_of_all
        return fires.to(n_firing.dtype).movedim(0, -1), None


class GroundingHeads(nn.Module):
    """Dense, matching-free heads over the last block's video states; a head per clip, as UniVTG has them."""

    def __init__(self, width: int, neuron: NeuronConfig, config: HeadsConfig, proposals: ProposalConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(width) if config.reads != "spikes" else None
        self.rates = nn.Linear(width, width) if config.reads != "states" else None
        self.foreground = ClipConvolutions(width, 1)
        self.distances = ClipConvolutions(
            width, 2, last_bias=math.log(config.first_distance / (1 - config.first_distance))
        )
        self.quality = ClipConvolutions(width, 1) if config.quality else None
        self.query_pooling = QueryPooling(width)
        self.saliency_clip = Float32Linear(width, width, bias=False)
        self.saliency_query = Float32Linear(width, width, bias=False)
        self.proposal_neuron: nn.Module = ProposalRates()
        if proposals.read == "neuron":
            self.proposal_neuron = ProposalNeuron(width, neuron)
        self.contrast_clip = nn.Linear(width, width, bias=False)
        self.contrast_query = nn.Linear(width, width, bias=False)
        self.edges = ClipConvolutions(width, 2) if config.edges else None
        self.existence = ExistenceHead(width) if config.exists else None

    def forward(
        self, video: Tensor, video_mask: Tensor, query: Tensor, query_mask: Tensor, spikes: tuple[Spikes, ...]
    ) -> Prediction:
        """video: (B, L, D), real clips on the left.  query: (B, W, D), real tokens on the right.  spikes: per block.

        Without a detector the states stand in for its spikes, at every one of one step.
        """
        clips = self._clips(video, spikes)
        left, right = self.distances(clips, video_mask).sigmoid().unbind(-1)
        centre = clip_centres(video_mask)
        boundaries = torch.stack((centre - left, centre + right), dim=-1)
        edge_logits = None if self.edges is None else self.edges(clips, video_mask)
        if edge_logits is not None:
            boundaries = drawn_to_edges(boundaries, edge_logits, video_mask, self.config.edges_reach_clips)
        if self.config.clamp:
            boundaries = boundaries.clamp(0, 1)
        pooled = self.saliency_query(self.query_pooling(query, query_mask))
        with in_full_precision(video):
            saliency = torch.einsum("bld,bd->bl", self.saliency_clip(clips), pooled) / math.sqrt(video.shape[-1])
        trains = spikes[-1].trains[:, :, query.shape[1] :] if spikes else video[None]
        proposal_spikes, proposal_current = self.proposal_neuron(trains, video_mask)
        foreground = self.foreground(clips, video_mask).flatten(1)  # squeeze is a branch in ONNX
        exists = None
        if self.existence is not None:
            rates = spikes[-1].rates[:, query.shape[1] :] if spikes else None
            exists = self.existence(clips, video_mask, pooled, saliency, foreground, rates)
        return Prediction(
            foreground_logits=foreground,
            boundaries=boundaries,
            saliency_logits=saliency,
            proposal_spikes=proposal_spikes * video_mask[..., None],
            proposal_current=proposal_current,
            clip_embeddings=self.contrast_clip(trains.mean(0)),
            query_embedding=self.contrast_query(masked_mean(query, query_mask)),
            spikes=spikes,
            quality_logits=None if self.quality is None else self.quality(clips, video_mask).flatten(1),
            edge_logits=edge_logits,
            exists_logits=exists,
        )

    def _clips(self, video: Tensor, spikes: tuple[Spikes, ...]) -> Tensor:
        """What the heads see, (B, L, D). video: (B, L, D); the spikes' last positions are the clips'."""
        seen: list[Tensor] = [] if self.norm is None else [self.norm(video)]
        if self.rates is not None:
            seen.append(self.rates(spikes[-1].rates[:, -video.shape[1] :]))
        clips: Tensor = sum(seen[1:], start=seen[0])
        return clips


def drawn_to_edges(ends: Tensor, logits: Tensor, mask: Tensor, reach_clips: float) -> Tensor:
    """Each end moved to the mean of the edges near it: softmax_j(logit_j - (edge_j - end)^2 / (2 reach^2)), in clips.

    The edge of clip j is its begin for begins and its end for ends. Only clips within four times the reach are looked
    at, so memory is linear in the clips. An end outside the video moves as one at the video's border would.
    ends: (B, L, 2), fractions of the video.  logits: (B, L, 2).  mask: (B, L) bool, real clips on the left.
    Source: the distributions over clips of VSLNet (arXiv 2004.13931), here local, around an end that is regressed.
    """
    n = mask.sum(1).clamp(min=1)[:, None, None]
    edge = torch.arange(2, device=ends.device)[:, None]
    x = (ends.transpose(1, 2) * n) - edge  # (B, 2, L), in clips: the edge of clip j is at j
    within = torch.minimum(x.clamp(min=0), n - 1)
    radius = math.ceil(4 * reach_clips)
    near = within.detach().round().long()[..., None] + torch.arange(-radius, radius + 1, device=ends.device)
    real = torch.minimum(near.clamp(min=0), n[..., None] - 1)
    told = logits.transpose(1, 2).to(x.dtype).gather(2, real.flatten(2)).view(near.shape)
    away = near - within[..., None]
    weight = (told - away.square() / (2 * reach_clips**2)).masked_fill(near != real, -torch.inf).softmax(-1)
    drawn: Tensor = (x + (weight * away).sum(-1) + edge) / n
    return drawn.transpose(1, 2)


def clip_centres(mask: Tensor) -> Tensor:
    """(i + 0.5) / n for the i-th of n real clips. mask: (B, L) bool -> (B, L) in [0, 1]."""
    return (mask.long().cumsum(1) - 0.5) / mask.sum(1, keepdim=True).clamp(min=1)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real positions. x: (B, W, D), mask: (B, W) bool -> (B, D); zero where nothing is real."""
    real = mask[..., None].to(x.dtype)
    return (x * real).sum(1) / real.sum(1).clamp(min=1)
