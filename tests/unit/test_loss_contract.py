"""What every term of the loss promises, whichever there are."""

from dataclasses import fields, replace
from typing import get_args

import pytest
import torch

from spikemba.batch import Batch, Prediction, Spikes, Targets
from spikemba.losses import LossConfig, _true_edges, grounding_loss

B, L, W, D = 4, 9, 3, 8
FIELDS = LossConfig.model_fields
ON = LossConfig(**{name: 1.0 for name, field in FIELDS.items() if field.annotation is float})
"""Every number of the section is 1, and with it every weight."""
FORMS = {f"{name}={form}": {name: form} for name, field in FIELDS.items() for form in get_args(field.annotation)}
"""Settings that choose another formula for a term."""
OF_TRUE_CLIPS = {"contrastive", "boundary", "entropy", "overlap", "edges"}
"""Terms that look at true clips only; the others also say something of a batch without any."""


def targets():
    foreground = torch.zeros(B, L, dtype=torch.bool)
    foreground[0, 2:5] = foreground[1, 0] = foreground[2, 4:] = foreground[3, 1:3] = True
    boundaries = torch.rand(B, L, 2, generator=torch.Generator().manual_seed(1)).sort(-1).values
    windows = torch.tensor([True, True, True, False])
    relevance = foreground * torch.arange(1.0, L + 1)  # some clips better than others, and none the best
    return Targets(foreground, boundaries, relevance, windows, torch.tensor([0, 1, 1, 2]), torch.arange(B), 12)


def batch(of=None):
    mask = torch.ones(B, L, dtype=torch.bool)
    return Batch(torch.zeros(B, L, 1), mask, torch.zeros(B, W, 1), torch.ones(B, W, dtype=torch.bool), of or targets())


def prediction(seed=0):
    g = torch.Generator().manual_seed(seed)
    rates = {"saliency": torch.linspace(0, 1, D)}
    return Prediction(
        foreground_logits=torch.randn(B, L, generator=g),
        boundaries=torch.rand(B, L, 2, generator=g).sort(-1).values,
        saliency_logits=torch.randn(B, L, generator=g),
        proposal_spikes=torch.zeros(B, L, 4),
        proposal_current=torch.randn(B, L, generator=g),
        clip_embeddings=torch.randn(B, L, D, generator=g),
        query_embedding=torch.randn(B, D, generator=g),
        spikes=(Spikes(torch.zeros(4, B, L + W, D), torch.zeros(B, L + W, D), rates),),
        quality_logits=torch.randn(B, L, generator=g),
        edge_logits=torch.randn(B, L, 2, generator=g),
        exists_logits=torch.randn(B, generator=g),
    )


def perfect():
    """The truth as a prediction for the pairs' own queries, and for others'."""
    t, sure = targets(), 100.0
    foreground = torch.where(t.foreground, sure, -sure)
    queries = torch.eye(D)[:B]
    mask = torch.ones(B, L, dtype=torch.bool)
    good = replace(
        prediction(),
        foreground_logits=foreground,
        boundaries=t.boundaries,
        saliency_logits=foreground,
        proposal_current=foreground,
        clip_embeddings=queries[:, None].expand(B, L, D),
        query_embedding=queries,
        spikes=(Spikes(torch.zeros(1), torch.zeros(1), {"saliency": torch.full((D,), 0.2)}),),
        quality_logits=torch.full((B, L), sure),  # also outside, where the window is the nearest true one
        edge_logits=_true_edges(t.boundaries, t.foreground & t.has_windows[:, None], mask).clamp(min=1e-30).log(),
        exists_logits=torch.full((B,), sure),
    )
    return good, replace(good, saliency_logits=torch.full((B, L), -sure), exists_logits=torch.full((B,), -sure))


def term(name, given, p, negative, **settings):
    """One term alone, which the total must then be."""
    config = LossConfig(**{other: 0.0 for other in TERMS if other != name}, **{name: 1.0}, **settings)
    total, terms = grounding_loss(p, given, config, negative)
    assert list(terms) == [name]
    torch.testing.assert_close(total, terms[name])
    return total


TERMS = list(grounding_loss(prediction(), batch(), ON, prediction(1))[1])
EVERY_FORM = [pytest.param(name, {}, id=name) for name in TERMS] + [
    pytest.param(name, form, id=shown) for shown, form in FORMS.items() for name in TERMS if shown.startswith(name)
]
every_form = pytest.mark.parametrize(("name", "form"), EVERY_FORM)


def changed(of, change):
    """A batch, targets or prediction with every tensor of pairs changed."""
    found = {field.name: getattr(of, field.name) for field in fields(of)}
    return replace(of, **{k: change(k, x) for k, x in found.items() if isinstance(x, torch.Tensor)})


def test_every_weight_is_that_of_a_term():
    assert len(TERMS) > 3
    assert set(TERMS) <= set(FIELDS)
    untried = [name for name in FIELDS if name not in TERMS and not name.startswith(tuple(TERMS))]
    assert untried == ["background_weight", "negatives_every", "negatives_norm", "negatives_read", "negatives"]


@every_form
def test_a_term_is_a_positive_number_that_trains_something(name, form):
    p, negative = (changed(one, lambda _, x: x.clone().requires_grad_()) for one in (prediction(), prediction(1)))
    rates = p.spikes[0].layer_rates["saliency"].requires_grad_()
    loss = term(name, batch(), p, negative, **form)
    assert loss.shape == ()
    assert loss > 0
    loss.backward()
    tensors = [getattr(one, field.name) for one in (p, negative) for field in fields(one) if field.name != "spikes"]
    gradients = [x.grad for x in (*tensors, rates) if x.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", TERMS)
def test_the_truth_costs_nothing(name):
    good, negative = perfect()
    equally_good = replace(targets(), relevance=12.0 * targets().foreground)
    assert term(name, batch(equally_good), good, negative).item() == pytest.approx(0, abs=1e-5)


@every_form
def test_padding_changes_nothing(name, form):
    def padded(key, x):
        if x.dim() < 2 or key == "query_embedding":
            return x
        fill = x.new_full((B, 2, *x.shape[2:]), False if x.dtype == torch.bool else 1e4)
        return torch.cat((x, fill), 1)

    t, p, negative = targets(), prediction(), prediction(1)
    longer = replace(changed(t, padded), relevance=torch.cat((t.relevance, torch.zeros(B, 2)), 1))
    given = replace(changed(batch(), padded), targets=longer)
    found = term(name, given, changed(p, padded), changed(negative, padded), **form)
    torch.testing.assert_close(found, term(name, batch(), p, negative, **form))


@every_form
def test_the_order_of_the_pairs_does_not_matter(name, form):
    order = torch.tensor([2, 0, 3, 1])
    p, negative = prediction(), prediction(1)
    shuffled = [changed(one, lambda _, x: x[order]) for one in (batch(), targets(), p, negative)]
    found = term(name, replace(shuffled[0], targets=shuffled[1]), *shuffled[2:], **form)
    torch.testing.assert_close(found, term(name, batch(), p, negative, **form))


@every_form
@pytest.mark.parametrize("real", [True, False], ids=["no true clip", "no clip at all"])
def test_a_batch_without_true_clips_costs_no_nan(name, form, real):
    t = targets()
    none = replace(
        t,
        foreground=torch.zeros_like(t.foreground),
        relevance=torch.zeros_like(t.relevance),
        has_windows=torch.zeros_like(t.has_windows),
    )
    given = replace(batch(none), video_mask=torch.full((B, L), real))
    p, negative = (changed(one, lambda _, x: x.clone().requires_grad_()) for one in (prediction(), prediction(1)))
    loss = term(name, given, p, negative, **form)
    assert loss.isfinite()
    if loss.requires_grad:
        loss.backward()
    for one in (p, negative):
        for field in fields(one):
            gradient = getattr(getattr(one, field.name), "grad", None)
            assert gradient is None or gradient.isfinite().all(), field.name
    if name in OF_TRUE_CLIPS or (not real and name != "firing_rate"):  # whose rates are of the layers, not of clips
        assert loss == 0
