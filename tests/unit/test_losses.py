"""Losses, against the formulas written out."""

import math
import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from spikemba.batch import Batch, Prediction, Targets
from spikemba.losses import (
    LossConfig,
    boundary_loss,
    contrastive_loss,
    entropy_loss,
    firing_rate_loss,
    foreground_loss,
    grounding_loss,
    negative_pair_loss,
    negative_places,
    overlap_loss,
    quality_loss,
)

B, L, D = 3, 8, 5
MASK = torch.ones(B, L, dtype=torch.bool)
OPTIONAL = [("quality", "quality_logits"), ("edges", "edge_logits"), ("proposal", "proposal_current")]


def prediction(seed=0, **changes):
    g = torch.Generator().manual_seed(seed)
    begin = 0.5 * torch.rand(B, L, generator=g)
    fields = {
        "foreground_logits": torch.randn(B, L, generator=g),
        "boundaries": torch.stack((begin, begin + 0.5 * torch.rand(B, L, generator=g)), -1),
        "saliency_logits": torch.randn(B, L, generator=g),
        "proposal_spikes": torch.zeros(B, L, 4),
        "proposal_current": torch.randn(B, L, generator=g),
        "clip_embeddings": torch.randn(B, L, D, generator=g),
        "query_embedding": torch.randn(B, D, generator=g),
        "spikes": (),
    }
    return Prediction(**{**fields, **changes})


def targets(**changes):
    foreground = torch.zeros(B, L, dtype=torch.bool)
    foreground[0, 2:5] = foreground[1, 0] = foreground[2, 4:] = True
    fields = {
        "foreground": foreground,
        "boundaries": torch.tensor([0.25, 0.625]).expand(B, L, 2),
        "relevance": foreground * torch.arange(L).float(),
        "has_windows": torch.ones(B, dtype=torch.bool),
        "video_group": torch.arange(B),
        "query_group": torch.arange(B),
        "n_ranks": 12,
    }
    return Targets(**{**fields, **changes})


def batch(of):
    return Batch(torch.zeros(B, L, 1), MASK, torch.randn(B, 2, 1), torch.ones(B, 2, dtype=torch.bool), of)


def similarity(p, t, temperature):
    rows = []
    for i in range(B):
        moment = p.clip_embeddings[i][t.foreground[i]].mean(0)
        cosine = [torch.cosine_similarity(moment, p.query_embedding[g], dim=0) for g in range(B)]
        rows.append(torch.stack(cosine) / temperature)
    return torch.stack(rows)


def test_contrastive_loss_is_infonce_in_both_directions():
    p, t, config = prediction(), targets(), LossConfig()
    s = similarity(p, t, config.contrastive_temperature)
    rows = [-torch.log(s[i].exp()[i] / s[i].exp().sum()) for i in range(B)]
    columns = [-torch.log(s[i, i].exp() / s[:, i].exp().sum()) for i in range(B)]
    expected = (sum(rows) + sum(columns)) / (2 * B)
    torch.testing.assert_close(contrastive_loss(p, t, config), expected)


def test_contrastive_loss_as_printed_pushes_matched_pairs_apart():
    p, t = prediction(clip_embeddings=torch.randn(B, L, D).requires_grad_()), targets()
    gradients = {}
    for form in ("aligned", "printed"):
        config = LossConfig(contrastive_form=form, contrastive_temperature=1.0)
        s = similarity(p, t, 1.0)
        if form == "printed":
            expected = sum(-torch.log(1 - s[i].softmax(0)[i]) for i in range(B)) / B
            torch.testing.assert_close(contrastive_loss(p, t, config), expected)
        (gradient,) = torch.autograd.grad(contrastive_loss(p, t, config), p.clip_embeddings)
        (matched,) = torch.autograd.grad(similarity(p, t, 1.0).diagonal().sum(), p.clip_embeddings)
        gradients[form] = (gradient * matched).sum()
    assert gradients["aligned"] < 0 < gradients["printed"]


@pytest.mark.parametrize("shared", ["video_group", "query_group"])
def test_pairs_of_one_video_or_one_sentence_are_no_negatives(shared):
    p, config = prediction(), LossConfig()
    t = targets(**{shared: torch.tensor([0, 0, 1])})
    s = similarity(p, t, config.contrastive_temperature)
    s[0, 1] = s[1, 0] = -torch.inf
    rows = -s.log_softmax(1).diagonal()
    columns = -s.t().log_softmax(1).diagonal()
    torch.testing.assert_close(contrastive_loss(p, t, config), ((rows + columns) / 2).mean())


@pytest.mark.parametrize("amount", [0.0, 1e-9, 1e-3])
def test_a_pair_whose_true_clips_hardly_fire_has_a_gradient_like_any_other(amount):
    t, norms = targets(), []
    for scale in (1.0, amount):
        p = prediction()
        embeddings = (p.clip_embeddings.detach() * scale).requires_grad_()
        contrastive_loss(replace(p, clip_embeddings=embeddings), t, LossConfig()).backward()
        norms.append(float(embeddings.grad.norm()))
    assert norms[1] < 1000 * norms[0]  # without a floor of the norm it is 1e11 times as large


def test_a_pair_without_true_clips_has_no_contrastive_loss():
    empty = targets(foreground=torch.zeros(B, L, dtype=torch.bool))
    p = prediction(clip_embeddings=torch.randn(B, L, D).requires_grad_())
    for form in ("aligned", "printed"):
        loss = contrastive_loss(p, empty, LossConfig(contrastive_form=form))
        assert loss == 0
        loss.backward()
        assert p.clip_embeddings.grad.isfinite().all()


def test_boundary_loss_is_l1_on_begin_and_end_inside_true_windows():
    p, t = prediction(), targets()
    errors = [(p.boundaries[i, j] - t.boundaries[i, j]).abs().sum() for i, j in t.foreground.nonzero().tolist()]
    torch.testing.assert_close(boundary_loss(p.boundaries, t), sum(errors) / len(errors))
    none = targets(has_windows=torch.zeros(B, dtype=torch.bool))
    assert boundary_loss(p.boundaries, none) == 0


def test_boundary_loss_in_windows_counts_an_error_in_lengths_of_the_true_window():
    windows = torch.tensor([[0.25, 0.625], [0.0, 0.125], [0.5, 1.0]])
    p, t = prediction(), targets(boundaries=windows[:, None].expand(B, L, 2))
    lengths = (windows[:, 1] - windows[:, 0]).tolist()
    errors = [(p.boundaries[i, j] - windows[i]).abs().sum() / lengths[i] for i, j in t.foreground.nonzero().tolist()]
    torch.testing.assert_close(boundary_loss(p.boundaries, t, "window"), sum(errors) / len(errors))
    _, terms = grounding_loss(p, batch(t), LossConfig(boundary_unit="window"))
    torch.testing.assert_close(terms["boundary"], sum(errors) / len(errors))


def test_quality_loss_is_the_cross_entropy_with_the_overlap_inside_and_outside_apart():
    """The window outside the video counts as it will be answered: cut."""
    p, t = prediction(quality_logits=torch.randn(B, L)), targets()
    p.boundaries[0, 2] = torch.tensor([-0.5, 0.5])
    losses = {True: [], False: []}
    for i in range(B):
        for j in range(L):
            begin, end = p.boundaries[i, j].clamp(0, 1).tolist()
            shared = max(0.0, min(end, 0.625) - max(begin, 0.25))
            overlap = shared / (end - begin + 0.375 - shared)
            logit = p.quality_logits[i, j]
            loss = -overlap * F.logsigmoid(logit) - (1 - overlap) * F.logsigmoid(-logit)
            losses[bool(t.foreground[i, j])].append(loss)
    expected = sum(sum(of) / len(of) for of in losses.values())
    torch.testing.assert_close(quality_loss(p, t, MASK), expected)
    assert quality_loss(p, targets(has_windows=torch.zeros(B, dtype=torch.bool)), MASK) == 0


def test_quality_teaches_no_window():
    p = prediction(quality_logits=torch.randn(B, L).requires_grad_())
    windows = p.boundaries.clone().requires_grad_()
    quality_loss(replace(p, boundaries=windows), targets(), MASK).backward()
    assert windows.grad is None
    assert p.quality_logits.grad.all()


@pytest.mark.parametrize(("term", "tensor"), OPTIONAL)
def test_what_no_head_tells_has_no_term(term, tensor):
    for told in (torch.zeros(B, L, 2) if term == "edges" else torch.zeros(B, L), None):
        _, terms = grounding_loss(prediction(**{tensor: told}), batch(targets()), LossConfig())
        assert (term in terms) == (told is not None)


@pytest.mark.parametrize("form", ["inside", "outside"])
@pytest.mark.parametrize("with_negative", [False, True])
def test_entropy_loss_equals_the_loops(form, with_negative):
    p, t, config = prediction(), targets(), LossConfig(entropy_form=form)
    negative = prediction(seed=1) if with_negative else None
    per_pair = []
    for i in range(B):
        o = (p.saliency_logits[i] / config.entropy_temperature).exp()
        other = (negative.saliency_logits[i] / config.entropy_temperature).exp().sum() if negative else 0
        ranks = []
        for m in range(1, 13):
            positive = t.relevance[i] >= m
            if positive.any():
                if form == "inside":
                    ranks.append(-torch.log(o[positive].sum() / (o.sum() + other)))
                else:
                    ranks.append(-torch.log(o[positive] / (o.sum() + other)).mean())
        if ranks:
            per_pair.append(sum(ranks) / len(ranks))
    found = entropy_loss(p, t, MASK, config, negative)
    torch.testing.assert_close(found, sum(per_pair) / len(per_pair))


def test_padding_has_no_part_in_any_loss():
    mask = MASK.clone()
    mask[0, 6:] = mask[1, 3:] = False
    p, q = prediction(), prediction()
    for name in ("foreground_logits", "saliency_logits", "proposal_current"):
        getattr(q, name)[~mask] = 1e4
    t = targets()
    t.foreground[~mask] = False
    t.relevance[~mask] = 0
    for loss in (
        lambda x: foreground_loss(x.foreground_logits, t, mask, 0.1),
        lambda x: entropy_loss(x, t, mask, LossConfig()),
        lambda x: negative_pair_loss(x, mask),
    ):
        torch.testing.assert_close(loss(p), loss(q))


def test_foreground_loss_weighs_background_down():
    p, t = prediction(), targets()
    probability = p.foreground_logits.sigmoid()
    loss = torch.where(t.foreground, -probability.log(), -0.1 * (1 - probability).log())
    torch.testing.assert_close(foreground_loss(p.foreground_logits, t, MASK, 0.1), loss.mean())


def test_overlap_loss_is_zero_for_the_true_window_and_grows_with_distance():
    t = targets()
    assert overlap_loss(t.boundaries, t).item() == pytest.approx(0, abs=1e-6)
    near, far = (torch.tensor(w).expand(B, L, 2) for w in ([0.7, 0.8], [0.9, 1.0]))
    assert 1 < overlap_loss(near, t) < overlap_loss(far, t) < 2
    half = torch.tensor([0.25, 0.4375]).expand(B, L, 2)
    assert overlap_loss(half, t).item() == pytest.approx(0.5, abs=1e-5)


def test_negative_pair_loss_by_hand():
    p = prediction(saliency_logits=torch.zeros(B, L))
    assert negative_pair_loss(p, MASK).item() == pytest.approx(math.log(2))


def test_firing_rate_loss_is_zero_for_healthy_channels():
    from spikemba.batch import Spikes

    def fired(*rates):
        return prediction(spikes=(Spikes(torch.zeros(1), torch.zeros(1), {"saliency": torch.tensor(rates)}),))

    assert firing_rate_loss(fired(0.02, 0.3, 0.5)) == 0
    assert firing_rate_loss(fired(0.0, 0.7)).item() == pytest.approx((0.02**2 + 0.2**2) / 2)


def test_the_total_is_the_weighted_sum_and_zero_weights_switch_terms_off():
    t = targets()
    config = LossConfig(negative_pair=0.5, boundary=0.0)
    total, terms = grounding_loss(prediction(), batch(t), config, prediction(seed=1))
    assert "boundary" not in terms
    assert "firing_rate" not in terms
    expected = sum(getattr(config, name) * value for name, value in terms.items())
    torch.testing.assert_close(total, expected)


def test_the_negative_of_a_pair_is_the_pair_before_it_and_the_last_is_before_the_first():
    for rule in ("previous", "unrelated"):
        assert negative_places([0, 1, 2, 3], [0, 1, 2, 3], rule) == [3, 0, 1, 2]
    assert negative_places([0, 0, 1], [0, 1, 1], "previous") == [2, 0, 1]


def test_no_unrelated_negative_is_of_the_same_video_or_sentence_and_the_nearest_before_is_taken():
    generator = torch.Generator().manual_seed(0)
    for n in range(1, 12):
        videos, queries = torch.randint(3, (2, n), generator=generator).tolist()
        for i, place in enumerate(negative_places(videos, queries, "unrelated")):
            before = [j % n for j in range(i - 1, i - n, -1)]
            fitting = [j for j in before if videos[j] != videos[i] and queries[j] != queries[i]]
            assert place == (fitting[0] if fitting else i)


@pytest.mark.parametrize("form", ["inside", "outside"])
def test_a_pair_without_a_negative_has_no_term_of_one_and_the_others_keep_theirs(form):
    t, config = targets(), LossConfig(entropy_form=form, negative_pair=1.0)
    t = replace(t, relevance=t.foreground * (1.0 + torch.arange(L)))
    p = prediction(saliency_logits=torch.randn(B, L).requires_grad_())
    negative = prediction(seed=1, saliency_logits=torch.randn(B, L).requires_grad_())
    has = torch.tensor([True, False, True])
    total, terms = grounding_loss(p, batch(t), config, negative, has)
    (gradient,) = torch.autograd.grad(total, negative.saliency_logits)
    assert gradient.isfinite().all()
    assert gradient[has].all()
    assert not gradient[~has].any()
    kept = F.softplus(negative.saliency_logits[has])
    torch.testing.assert_close(terms["negative_pair"], kept.mean())

    def entropies(other):
        """Of each pair alone."""
        alone = [replace(t, relevance=t.relevance * (torch.arange(B) == i)[:, None]) for i in range(B)]
        return torch.stack([entropy_loss(p, one, MASK, config, other) for one in alone])

    expected = torch.where(has, entropies(negative), entropies(None)).mean()
    torch.testing.assert_close(terms["entropy"], expected)


def test_where_no_pair_has_a_negative_its_term_is_zero():
    has, config = torch.zeros(B, dtype=torch.bool), LossConfig(negative_pair=1.0)
    total, terms = grounding_loss(prediction(), batch(targets()), config, prediction(seed=1), has)
    without, _ = grounding_loss(prediction(), batch(targets()), config)
    assert terms["negative_pair"] == 0
    assert torch.equal(total, without)


@pytest.mark.parametrize("seed", range(20))
def test_a_negative_is_never_of_the_same_video_or_sentence_and_is_there_wherever_one_can_be(seed):
    draw = random.Random(seed)
    n = draw.randint(1, 12)
    videos, queries = ([draw.randint(0, draw.randint(0, 4)) for _ in range(n)] for _ in range(2))
    for i, j in enumerate(negative_places(videos, queries, LossConfig().negatives)):
        others = [k for k in range(n) if videos[k] != videos[i] and queries[k] != queries[i]]
        assert j in others if others else j == i


def test_a_set_whose_sentences_are_all_one_has_no_negatives():
    assert negative_places([0, 1, 2, 3], [0] * 4, LossConfig().negatives) == [0, 1, 2, 3]


def test_a_run_of_0_1_0_goes_on_with_its_own_negatives():
    new = ("negatives", "negatives_every", "negatives_norm", "negatives_read", "boundary_unit", "quality", "edges")
    written = {name: value for name, value in LossConfig(negative_pair=1.0).model_dump().items() if name not in new}
    before = LossConfig.parse(written)
    assert (before.negative_pair, before.negatives, before.negatives_norm) == (1.0, "previous", "batch")
    assert LossConfig.parse(before.model_dump()) == before
    later = LossConfig.parse({**written, "negatives": "unrelated"})
    assert (later.negatives, later.negatives_norm) == ("unrelated", "batch")
    del written["overlap"]
    today = LossConfig.parse(written)
    assert (today.negatives, today.negatives_norm) == ("unrelated", "kept")
    assert not LossConfig().needs_negatives(tells_existence=False)


def with_null_pair(**changes):
    """Targets whose last pair is a null query: no clip of its video matters."""
    t = targets()
    foreground, windows = t.foreground.clone(), t.has_windows.clone()
    foreground[-1], windows[-1] = False, False
    relevance = foreground * torch.arange(1.0, L + 1)
    return targets(foreground=foreground, has_windows=windows, relevance=relevance, is_null=~windows, **changes)


@pytest.mark.parametrize("form", ["aligned", "printed"])
def test_a_null_query_takes_no_part_in_the_contrastive_loss(form):
    """Not even as a negative: its moment does not exist, and its sentence would be pushed from other videos alone."""
    p, t, config = prediction(), with_null_pair(), LossConfig(contrastive_form=form)
    two = replace(p, clip_embeddings=p.clip_embeddings[:2], query_embedding=p.query_embedding[:2])
    torch.testing.assert_close(contrastive_loss(p, t, config), contrastive_loss(two, t.first(2), config))


def test_the_saliency_of_a_null_query_is_pushed_down_in_every_clip():
    p, t = prediction(saliency_logits=torch.randn(B, L).requires_grad_()), with_null_pair()
    loss = entropy_loss(p, t, MASK, LossConfig())
    shown = entropy_loss(replace(p, saliency_logits=p.saliency_logits[:2]), t.first(2), MASK[:2], LossConfig())
    own = p.saliency_logits[-1][MASK[-1]]
    torch.testing.assert_close(loss, (2 * shown - torch.log(1 - own.sigmoid()).mean()) / 3)
    (gradient,) = torch.autograd.grad(loss, p.saliency_logits)
    assert (gradient[-1][MASK[-1]] > 0).all()
    assert (gradient[-1][~MASK[-1]] == 0).all()


def test_a_null_query_is_background_and_has_no_boundaries():
    t = with_null_pair()
    tensors = {"foreground_logits": (B, L), "boundaries": (B, L, 2), "quality_logits": (B, L)}
    p = prediction(**{name: torch.rand(shape).requires_grad_() for name, shape in tensors.items()})
    total, _ = grounding_loss(p, batch(t), LossConfig())
    total.backward()
    assert (p.foreground_logits.grad[-1][MASK[-1]] > 0).all()
    assert (p.boundaries.grad[-1] == 0).all()
    assert (p.quality_logits.grad[-1] == 0).all()
    assert (p.boundaries.grad[0] != 0).any()
