"""The loss of existence, against sums that are written out, and what of the batch it asks for."""

from dataclasses import replace
from math import exp, log1p

import pytest
import torch

from spikemba.batch import Batch, Prediction, Targets
from spikemba.losses import LossConfig, existence_loss, grounding_loss

B, L, D = 3, 8, 5
LOGITS = [2.0, -1.0, 0.5]


def prediction(seed=0, **changes):
    g = torch.Generator().manual_seed(seed)
    fields = {
        "foreground_logits": torch.randn(B, L, generator=g),
        "boundaries": torch.rand(B, L, 2, generator=g).sort(-1).values,
        "saliency_logits": torch.randn(B, L, generator=g),
        "proposal_spikes": torch.zeros(B, L, 4),
        "proposal_current": torch.randn(B, L, generator=g),
        "clip_embeddings": torch.randn(B, L, D, generator=g),
        "query_embedding": torch.randn(B, D, generator=g),
        "spikes": (),
    }
    return Prediction(**{**fields, **changes})


def targets():
    foreground = torch.zeros(B, L, dtype=torch.bool)
    foreground[0, 2:5] = foreground[1, 0] = foreground[2, 4:] = True
    boundaries, every = torch.tensor([0.25, 0.625]).expand(B, L, 2), torch.ones(B, dtype=torch.bool)
    return Targets(foreground, boundaries, foreground.float(), every, torch.arange(B), torch.arange(B), 1)


def batch(of):
    return Batch(torch.zeros(B, L, 1), mask(), torch.zeros(B, 2, 1), torch.ones(B, 2, dtype=torch.bool), of)


def yes(logit):
    """-log of the probability that a logit gives to a moment."""
    return log1p(exp(-logit))


def no(logit):
    return log1p(exp(logit))


def told(logits=LOGITS, **changes):
    return prediction(exists_logits=torch.tensor(logits), **changes)


def with_nulls(*rows):
    """Targets of which these pairs have no moment."""
    of = targets()
    foreground = of.foreground.clone()
    foreground[list(rows)] = False
    return replace(of, foreground=foreground, is_null=~foreground.any(1))


def test_a_moment_beyond_the_clips_that_are_read_is_neither_there_nor_not():
    cut = replace(with_nulls(1, 2), is_null=torch.tensor([False, True, False]))
    torch.testing.assert_close(existence_loss(told(), cut, mask()), torch.tensor(yes(2.0) + no(-1.0)))


def mask(*empty):
    found = torch.ones(B, L, dtype=torch.bool)
    found[list(empty)] = False
    return found


def test_pairs_with_a_moment_and_null_queries_are_averaged_apart():
    expected = (yes(2.0) + yes(0.5)) / 2 + no(-1.0)
    torch.testing.assert_close(existence_loss(told(), with_nulls(1), mask()), torch.tensor(expected))


def test_a_batch_of_one_kind_has_that_half_of_the_loss():
    torch.testing.assert_close(existence_loss(told(), targets(), mask()), torch.tensor(sum(map(yes, LOGITS)) / 3))
    torch.testing.assert_close(
        existence_loss(told(), with_nulls(0, 1, 2), mask()), torch.tensor(sum(map(no, LOGITS)) / 3)
    )


def test_other_pairs_queries_have_no_moment():
    other = told([3.0, -2.0, 1.0])
    expected = sum(map(yes, LOGITS)) / 3 + (no(3.0) + no(-2.0) + no(1.0)) / 3
    torch.testing.assert_close(existence_loss(told(), targets(), mask(), other), torch.tensor(expected))
    expected = (yes(2.0) + yes(0.5)) / 2 + (no(-1.0) + no(3.0) + no(-2.0) + no(1.0)) / 4
    torch.testing.assert_close(existence_loss(told(), with_nulls(1), mask(), other), torch.tensor(expected))


def test_pairs_for_which_no_other_query_was_found_are_left_out():
    has_negative = torch.tensor([True, False, True])
    expected = sum(map(yes, LOGITS)) / 3 + (no(3.0) + no(1.0)) / 2
    found = existence_loss(told(), targets(), mask(), told([3.0, -2.0, 1.0]), has_negative)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_rows_without_clips_count_for_nothing():
    expected = yes(2.0) + (no(-1.0) + no(3.0) + no(-2.0)) / 3
    found = existence_loss(told(), with_nulls(1), mask(2), told([3.0, -2.0, 1.0]))
    torch.testing.assert_close(found, torch.tensor(expected))


def test_a_network_without_the_head_has_no_such_term():
    assert "existence" not in grounding_loss(prediction(), batch(targets()), LossConfig())[1]
    assert "existence" in grounding_loss(told(), batch(targets()), LossConfig())[1]
    assert "existence" not in grounding_loss(told(), batch(targets()), LossConfig(existence=0))[1]


def test_a_second_pass_is_wanted_only_where_it_is_asked_for():
    assert LossConfig().needs_negatives(tells_existence=True)
    assert not LossConfig().needs_negatives(tells_existence=False)
    assert not LossConfig(existence=0).needs_negatives(tells_existence=True)
    assert not LossConfig(existence_of="rows").needs_negatives(tells_existence=True)
    assert LossConfig(negative_pair=1).needs_negatives(tells_existence=False)


@pytest.mark.parametrize(("existence_of", "used"), [("rows", False), ("shuffled", True)])
def test_other_queries_teach_existence_where_asked_and_saliency_never(existence_of, used):
    config, other = LossConfig(existence_of=existence_of), told([3.0, -2.0, 1.0], seed=1)
    _, alone = grounding_loss(told(), batch(targets()), config)
    _, both = grounding_loss(told(), batch(targets()), config, other)
    changed = {name for name in alone if not torch.equal(alone[name], both[name])}
    assert changed == ({"existence"} if used else set())
