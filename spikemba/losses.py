"""What training minimises: the source's three losses and the terms that preset `full` adds to them.

L = a_c L_con + a_s L_s + a_e L_e   (+ foreground, overlap, negative pairs, quality, edges, proposals, firing rates)
"""

# Shapes: B pairs, L clips, D width, M relevance ranks.

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from spikemba.batch import Batch, Prediction, Targets
from spikemba.config import Config, Tree, as_before
from spikemba.ops.precision import in_full_precision
from spikemba.ops.ranks import all_gather_rows, all_reduce, is_shared


class LossConfig(Config):
    """Weights and forms of the loss terms. A weight of 0 switches a term off."""

    contrastive: NonNegativeFloat = 0.3
    """a_c, weight of L_con: a pair's spikes on its true clips against its query. Value of TR-DETR."""
    contrastive_form: Literal["aligned", "printed"] = "aligned"
    """`printed` is the source's formula, whose `1 -` pushes matching pairs apart; `aligned` is InfoNCE both ways."""
    contrastive_temperature: PositiveFloat = 0.07
    """b of L_con; not stated by the source, value of TR-DETR and UniVTG."""
    boundary: NonNegativeFloat = 10.0
    """a_s, weight of L_s: L1 on begin and end of the moment, at the clips inside it."""
    boundary_unit: Literal["video", "window"] = "video"
    """What L_s is counted in: fractions of the video, as the ancestors do, or of the true window, so that a clip too
    many counts more where the moment is short."""
    entropy: NonNegativeFloat = 1.0
    """a_e, weight of L_e: rank contrast of the saliency over the clips."""
    entropy_form: Literal["inside", "outside"] = "inside"
    """Sum over the positives inside the logarithm, as the source writes, or outside, as QD-DETR computes it."""
    entropy_temperature: PositiveFloat = 0.5
    """b_e of L_e; not stated by the source, value of QD-DETR."""
    foreground: NonNegativeFloat = 10.0
    """Weight of the binary cross-entropy of the foreground; not in the source, where nothing ranks windows."""
    background_weight: NonNegativeFloat = 0.1
    """Weight of a background clip beside a foreground clip in that term."""
    overlap: NonNegativeFloat = 1.0
    """Weight of 1 - generalised IoU of the window; not in the source."""
    negative_pair: NonNegativeFloat = 0.0
    """Weight of -log(1 - saliency) of clips under another pair's query; not in the source; a second forward pass, which
    on planted sets cost half of the training and made the network worse. 1 is the ancestors' value."""
    negatives_every: PositiveInt = 1
    """Steps from one such pass to the next."""
    negatives_norm: Literal["kept", "batch"] = "kept"
    """Statistics of batch norms in that pass: the running ones, which learn nothing of wrong pairs, or its own."""
    negatives_read: Literal["once", "again"] = "once"
    """Whether what the network makes of a video before it meets a sentence (`model.joint_from`) serves both passes, or
    is made again, with a dropout of its own, as in 0.1.0."""
    negatives: Literal["unrelated", "previous"] = "unrelated"
    """Whose query: of the nearest pair before in the batch sharing neither video nor sentence, or of the one before."""
    quality: NonNegativeFloat = 1.0
    """Weight of the cross-entropy of each window's quality with its intersection over union with a true one, where the
    network tells it (`model.heads.quality`); not in the source."""
    edges: NonNegativeFloat = 1.0
    """Weight of the cross-entropy of the clips in which moments are told to begin and to end with those in which true
    windows do, where the network tells them (`model.heads.edges`); not in the source."""
    existence: NonNegativeFloat = 1.0
    """Weight of the cross-entropy of whether there is a moment, where the network tells it (`model.heads.exists`)."""
    existence_of: Literal["rows", "shuffled"] = "shuffled"
    """What has none: null queries of the data, or other pairs' too (`negatives`), in a second forward pass."""
    proposal: NonNegativeFloat = 1.0
    """Weight of the cross-entropy of the proposal neuron's mean current, where there is a neuron
    (`model.proposals.read`); not in the source."""
    firing_rate: NonNegativeFloat = 0.0
    """Weight of the penalty on channels that fire at under 2 % or over 50 % of the steps; not in the source."""

    @model_validator(mode="before")
    @classmethod
    def _goes_on_as_it_was_begun(cls, tree: Any) -> Any:
        return as_before(cls, tree, _BEFORE)

    def needs_negatives(self, *, tells_existence: bool) -> bool:
        """Whether a prediction for other pairs' queries is wanted. tells_existence: whether the network does."""
        shuffled = tells_existence and self.existence > 0 and self.existence_of == "shuffled"
        return self.negative_pair > 0 or shuffled


_BEFORE: Tree = {
    "negatives": "previous",
    "negatives_every": 1,
    "negatives_norm": "batch",
    "negatives_read": "again",
    "boundary_unit": "video",
    "quality": 1.0,
    "edges": 1.0,
    "existence": 1.0,
    "existence_of": "shuffled",
}
"""Of runs of 0.1.0 and soon after."""


def grounding_loss(
    prediction: Prediction,
    batch: Batch,
    config: LossConfig,
    negative: Prediction | None = None,
    has_negative: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, a scalar, and each term of non-zero weight before weighting, by its name in LossConfig.

    negative: what the model says of the same videos under other pairs' queries; see `negative_places`.
    has_negative: (B,) bool, False for pairs that have none, whose rows of `negative` are left out; None: all have one.
    Computed in float32, under autocast too. Within `one_batch_over_ranks` it is this process's share: the sum over the
    processes is the loss of the whole batch.
    """
    targets = batch.targets
    assert targets is not None, "a batch without targets has no loss"
    with in_full_precision(batch.video):
        negative = None if negative is None else _in_float32(negative)
        return _loss(_in_float32(prediction), batch, targets, config, negative, has_negative)


def _loss(
    prediction: Prediction,
    batch: Batch,
    targets: Targets,
    config: LossConfig,
    negative: Prediction | None,
    has_negative: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    mask = batch.clip_mask
    negative_mask = mask if has_negative is None else mask & has_negative[:, None]
    pushed = negative if config.negative_pair > 0 else None  # saliency learns of them only where that is asked for
    shuffled = negative if config.existence_of == "shuffled" else None
    compute: dict[str, Callable[[], Tensor]] = {
        "contrastive": lambda: contrastive_loss(prediction, targets, config),
        "boundary": lambda: boundary_loss(prediction.boundaries, targets, config.boundary_unit),
        "entropy": lambda: entropy_loss(prediction, targets, mask, config, pushed, negative_mask),
        "foreground": lambda: foreground_loss(prediction.foreground_logits, targets, mask, config.background_weight),
        "overlap": lambda: overlap_loss(prediction.boundaries, targets),
        "negative_pair": lambda: negative_pair_loss(pushed, negative_mask),
    }
    if prediction.exists_logits is not None:
        compute["existence"] = lambda: existence_loss(prediction, targets, mask, shuffled, has_negative)
    if prediction.quality_logits is not None:
        compute["quality"] = lambda: quality_loss(prediction, targets, mask)
    if (edge_logits := prediction.edge_logits) is not None:
        compute["edges"] = lambda: edges_loss(edge_logits, targets, mask)
    if (current := prediction.proposal_current) is not None:
        compute["proposal"] = lambda: foreground_loss(current, targets, mask, config.background_weight)
    n_positions = mask.sum() + batch.query_mask.sum()
    compute["firing_rate"] = lambda: firing_rate_loss(prediction, n_positions=n_positions)
    terms = {name: term() for name, term in compute.items() if getattr(config, name) > 0}
    total = sum((getattr(config, name) * term for name, term in terms.items()), prediction.boundaries.new_zeros(()))
    return total, terms


def negative_places(
    video_groups: Sequence[int], query_groups: Sequence[int], rule: Literal["previous", "unrelated"]
) -> list[int]:
    """Whose query each pair's video is set under: places in a batch of all processes; its own where it has none.

    video_groups, query_groups: of each pair, equal for pairs of one source video, or of one sentence.
    rule: see `LossConfig.negatives`. The pair before the first is the last. The query of the pair before may well be
    true of the same video, or be the same sentence; `unrelated` goes on to the one before that until neither is so.
    """
    n = len(video_groups)
    if rule == "previous":
        return [(i - 1) % n for i in range(n)]

    def unrelated(i: int, j: int) -> bool:
        return video_groups[i] != video_groups[j] and query_groups[i] != query_groups[j]

    return [next((j % n for j in range(i - 1, i - n, -1) if unrelated(i, j)), i) for i in range(n)]


SILENT = 1e-2
"""Norm of a mean of projected spikes below which it is not scaled to 1: where hardly a spike fires it is next to 0, and
scaling would multiply its gradient without bound. Ordinary norms are 0.1 and more."""


def contrastive_loss(prediction: Prediction, targets: Targets, config: LossConfig) -> Tensor:
    """L_con: the mean projected spikes of a pair's true clips against the projected mean of its query's tokens.

    Other pairs of the batch, of all processes, are the negatives, except those that share the video or the sentence,
    and null queries, which have no moment and take no part.
    """
    moment = _mean_over(prediction.clip_embeddings, targets.foreground)
    moment, query = (F.normalize(x, dim=-1, eps=SILENT) for x in (moment, prediction.query_embedding))
    all_queries, first = all_gather_rows(query)
    all_moments, _ = all_gather_rows(moment)
    video_group, query_group = all_gather_rows(targets.video_group)[0], all_gather_rows(targets.query_group)[0]
    same = (targets.video_group[:, None] == video_group) | (targets.query_group[:, None] == query_group)
    usable = targets.foreground.any(1)
    has_moment = all_gather_rows(targets.nulls.long())[0] == 0  # (all B,)
    place = torch.arange(len(moment), device=moment.device)[:, None] + first
    itself = place == torch.arange(len(all_queries), device=moment.device)  # (B, all B)
    left_out = (same | ~has_moment) & ~itself

    def similarity(own: Tensor, others: Tensor) -> Tensor:
        return (own @ others.t() / config.contrastive_temperature).masked_fill(left_out, -torch.inf)

    forward = similarity(moment, all_queries)
    if config.contrastive_form == "printed":
        # -log(1 - p_ii) = logsumexp over all - logsumexp over the others; without others it would be infinite
        others = forward.masked_fill(itself, -torch.inf).logsumexp(1)
        usable = usable & others.isfinite()
        return _mean_of((forward.logsumexp(1) - others).masked_fill(~usable, 0), usable)
    backward = similarity(query, all_moments) if is_shared() else forward.t()
    if not bool(has_moment.all()):  # otherwise sums stay in the order they have had since 0.1.0
        backward = backward.masked_fill(left_out, -torch.inf)
    ahead, back = (-z.log_softmax(1)[itself] for z in (forward, backward))
    return _mean_of((ahead + back) / 2, usable)


def boundary_loss(boundaries: Tensor, targets: Targets, unit: Literal["video", "window"] = "video") -> Tensor:
    """L_s: |begin - true begin| + |end - true end|, averaged over the clips inside true windows.

    boundaries: (B, L, 2), fractions of the video.  unit: see `LossConfig.boundary_unit`.
    """
    inside = targets.foreground & targets.has_windows[:, None]
    off = (boundaries - targets.boundaries).abs().sum(-1)
    if unit == "window":
        begin, end = targets.boundaries.unbind(-1)
        off = off / torch.where(inside, end - begin, 1).clamp(min=1e-6)
    return _mean_of(off, inside)


def entropy_loss(
    prediction: Prediction,
    targets: Targets,
    mask: Tensor,
    config: LossConfig,
    negative: Prediction | None = None,
    negative_mask: Tensor | None = None,
) -> Tensor:
    """L_e: for each rank m, clips of relevance m or more against all clips; averaged over the ranks that have any.

    Clips of the same video under another query, if given, count as clips of relevance 0 (QD-DETR). A null query
    has nothing to contrast: it costs -log(1 - saliency), the mean over its clips, which is what QD-DETR asks of a video
    under a query that is not its own.
    mask, negative_mask: (B, L) bool, clips that count, of the video and of it under the other query; None: the same.
    """
    logits = (prediction.saliency_logits / config.entropy_temperature).masked_fill(~mask, -torch.inf)
    relevance = targets.relevance
    if negative is not None:
        left_out = ~(mask if negative_mask is None else negative_mask)
        other = (negative.saliency_logits / config.entropy_temperature).masked_fill(left_out, -torch.inf)
        logits, relevance = torch.cat((logits, other), 1), torch.cat((relevance, torch.zeros_like(relevance)), 1)
    ranks = torch.arange(1, targets.n_ranks + 1, device=logits.device)
    positive = relevance[:, None] >= ranks[:, None]  # (B, M, L)
    has_positive = positive.any(-1)
    every = logits.logsumexp(1)[:, None]
    if config.entropy_form == "inside":
        # a row without positives would be log 0, and its gradient nan: give it all clips and leave it out of the mean
        chosen = positive | ~has_positive[..., None]
        loss = every - logits[:, None].masked_fill(~chosen, -torch.inf).logsumexp(-1)
    else:
        finite = logits.masked_fill(logits.isinf(), 0)[:, None]
        loss = every - (finite * positive).sum(-1) / positive.sum(-1).clamp(min=1)
    per_pair = (loss * has_positive).sum(1) / has_positive.sum(1).clamp(min=1)
    nothing = mask.any(1) & targets.nulls
    if bool(nothing.any()):
        absent = torch.where(mask, F.softplus(prediction.saliency_logits), 0).sum(1) / mask.sum(1).clamp(min=1)
        per_pair = torch.where(nothing, absent, per_pair)
    return _mean_of(per_pair, has_positive.any(1) | nothing)


def foreground_loss(logits: Tensor, targets: Targets, mask: Tensor, background_weight: float) -> Tensor:
    """Binary cross-entropy per clip, background weighted down, averaged over the real clips. logits: (B, L)."""
    truth = targets.foreground.to(logits.dtype)
    weight = torch.where(targets.foreground, 1.0, background_weight)
    loss = F.binary_cross_entropy_with_logits(logits, truth, weight=weight, reduction="none")
    return _mean_of(loss, mask)


def overlap_loss(boundaries: Tensor, targets: Targets) -> Tensor:
    """1 - generalised IoU of predicted and true window, averaged over the clips inside true windows."""
    inside = targets.foreground & targets.has_windows[:, None]
    (begin, end), (true_begin, true_end) = boundaries.unbind(-1), targets.boundaries.unbind(-1)
    intersection = (torch.minimum(end, true_end) - torch.maximum(begin, true_begin)).clamp(min=0)
    union = (end - begin) + (true_end - true_begin) - intersection
    hull = torch.maximum(end, true_end) - torch.minimum(begin, true_begin)
    tiny = 1e-6
    giou = intersection / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)
    return _mean_of(1 - giou, inside)


def quality_loss(prediction: Prediction, targets: Targets, mask: Tensor) -> Tensor:
    """Binary cross-entropy of each clip's quality with its window's overlap with the nearest true window.

    Clips inside true windows and clips outside are averaged apart, for these are many; the windows learn nothing here.
    """
    assert prediction.quality_logits is not None
    with torch.no_grad():
        begin, end = prediction.boundaries.clamp(0, 1).unbind(-1)
        true_begin, true_end = targets.boundaries.unbind(-1)
        shared = (torch.minimum(end, true_end) - torch.maximum(begin, true_begin)).clamp(min=0)
        union = (end - begin) + (true_end - true_begin) - shared
        wanted = shared / union.clamp(min=1e-6)
    loss = F.binary_cross_entropy_with_logits(prediction.quality_logits, wanted, reduction="none")
    counts = mask & targets.has_windows[:, None]
    return _mean_of(loss, counts & targets.foreground) + _mean_of(loss, counts & ~targets.foreground)


def edges_loss(logits: Tensor, targets: Targets, mask: Tensor) -> Tensor:
    """Softmax over a video's clips against the clips where its true windows begin, and likewise end: cross-entropy.

    Windows count alike. One that begins within a clip is shared by the two clips whose begins are around it, each the
    more the nearer, so that their mean is its begin. Less the truth's own entropy, so that the truth costs nothing.
    logits: (B, L, 2).  mask: (B, L) bool.  Source: VSLNet (arXiv 2004.13931); shares as in arXiv 2006.04388, eq. 6.
    """
    inside = targets.foreground & targets.has_windows[:, None]
    truth = _true_edges(targets.boundaries, inside, mask)
    lowest = torch.finfo(logits.dtype).min
    told = logits.masked_fill(~mask[..., None], lowest).log_softmax(1)
    divergence = F.kl_div(told, truth, reduction="none").sum(1)
    return _mean_of(divergence.mean(-1), inside.any(1))


def _true_edges(boundaries: Tensor, inside: Tensor, mask: Tensor) -> Tensor:
    """Where true windows begin and end, as shares of the clips: (B, L, 2), 1 in sum over the clips, 0 without windows.

    boundaries: (B, L, 2), true at the clips inside (B, L). Clips of one window name the same edge, which counts once.
    """
    n = mask.sum(1).clamp(min=1)[:, None, None]
    edge = torch.arange(2, device=mask.device)
    place = torch.minimum((boundaries * n - edge).clamp(min=0), n - 1)  # the edge of the j-th real clip is at j
    before = place.floor().long()
    by_rank = torch.zeros_like(boundaries)
    for clip in (before, before + 1):
        share = (1 - (place - clip).abs()) * inside[..., None]
        by_rank = by_rank.scatter_reduce(1, clip.clamp(max=mask.shape[1] - 1), share, "amax")
    rank = (mask.cumsum(1) - 1).clamp(min=0)
    shares = by_rank.gather(1, rank[..., None].expand_as(by_rank)) * mask[..., None]
    return shares / shares.sum(1, keepdim=True).clamp(min=1e-6)


def existence_loss(
    prediction: Prediction, targets: Targets, mask: Tensor, negative: Prediction | None = None,
    has_negative: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Binary cross-entropy of whether a pair has a moment, those that have one and the others averaged apart.

    One is null, or of another pair's query (`negative`); one whose moment lies beyond its clips is neither.
    mask: (B, L) bool, real clips.  has_negative: (B,) bool; None: all have one.
    """
    assert prediction.exists_logits is not None
    logits, truth, real = prediction.exists_logits, targets.foreground.any(1), mask.any(1)
    counts = real & (truth | targets.nulls)
    if negative is not None and negative.exists_logits is not None:
        logits, truth = torch.cat((logits, negative.exists_logits)), torch.cat((truth, torch.zeros_like(truth)))
        counts = torch.cat((counts, real if has_negative is None else real & has_negative))
    loss = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
    return _mean_of(loss, counts & truth) + _mean_of(loss, counts & ~truth)


def negative_pair_loss(negative: Prediction | None, mask: Tensor) -> Tensor:
    """-log(1 - saliency) of clips under a query that is not theirs, averaged over the mask's clips; 0 without such."""
    if negative is None:
        return mask.new_zeros((), dtype=torch.float32)
    return _mean_of(F.softplus(negative.saliency_logits), mask)


def firing_rate_loss(
    prediction: Prediction, low: float = 0.02, high: float = 0.5, *, n_positions: Tensor | None = None
) -> Tensor:
    """How far the channels' firing rates lie outside [low, high], squared, averaged over channels and layers.

    n_positions: real positions that the rates were taken over, to weight this process's beside the others'.
    """
    rates = [rate for spikes in prediction.spikes for rate in spikes.layer_rates.values()]
    if not rates:
        return prediction.boundaries.new_zeros(())
    rate, share = torch.cat(rates), 1.0
    if is_shared() and n_positions is not None:
        n = n_positions.to(rate.dtype)
        n_all = all_reduce(n).clamp(min=1)
        rate, share = all_reduce(rate * n) / n_all, float(n / n_all)  # every process has the whole
    return share * ((low - rate).relu().square() + (rate - high).relu().square()).mean()


def _mean_over(x: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen positions. x: (B, L, D), chosen: (B, L) bool -> (B, D); zero where none is chosen."""
    weight = chosen[..., None].to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1).clamp(min=1)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values, a scalar; zero where none is chosen. Of several processes: this one's share of it."""
    return torch.where(chosen, values, 0).sum() / all_reduce(chosen.sum()).clamp(min=1)


def _in_float32(prediction: Prediction) -> Prediction:
    """The prediction with what autocast has left in half precision in float32."""
    halves = (torch.bfloat16, torch.float16)
    found = {field.name: getattr(prediction, field.name) for field in fields(prediction)}
    changed: dict[str, Any] = {k: x.float() for k, x in found.items() if isinstance(x, Tensor) and x.dtype in halves}
    return replace(prediction, **changed)
