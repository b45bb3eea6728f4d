"""Ends of windows that are drawn to the clips in which moments are told to begin and to end."""

# Shapes: B pairs, L clips, W query tokens, D width.

import math

import pytest
import torch

from spikemba.errors import ConfigError
from spikemba.model.spikemba.heads import GroundingHeads, HeadsConfig, ProposalConfig, drawn_to_edges
from spikemba.ops.spiking import NeuronConfig

L = 10
MASK = torch.ones(1, L, dtype=torch.bool)


def ends_of(begin, end, n_clips=L):
    return torch.tensor([begin, end]).expand(1, n_clips, 2)


def told(begin, end, n_clips=L, logit=60.0):
    logits = torch.zeros(1, n_clips, 2)
    logits[0, begin, 0] = logits[0, end, 1] = logit
    return logits


def test_ends_are_means_of_edges_weighted_by_logits_and_nearness():
    """A video of two clips, whose begins are at 0 and 1 and whose ends at 1 and 2, written out."""
    logits = torch.tensor([[[0.3, -0.2], [1.1, 0.7]]])
    begin, end = 0.8, 1.4  # in clips
    b = [math.exp(logit - (edge - begin) ** 2 / (2 * 1.5**2)) for logit, edge in ((0.3, 0), (1.1, 1))]
    e = [math.exp(logit - (edge - end) ** 2 / (2 * 1.5**2)) for logit, edge in ((-0.2, 1), (0.7, 2))]
    expected = [b[1] / sum(b) / 2, (e[0] + 2 * e[1]) / sum(e) / 2]
    found = drawn_to_edges(ends_of(begin / 2, end / 2, 2), logits, MASK[:, :2], 1.5)
    torch.testing.assert_close(found, torch.tensor(expected).expand(1, 2, 2))


def test_an_end_goes_to_the_clip_that_is_told_and_stays_where_none_is():
    ends = ends_of(0.43, 0.57)
    torch.testing.assert_close(drawn_to_edges(ends, told(3, 6), MASK, 1.0), ends_of(0.3, 0.7))
    torch.testing.assert_close(drawn_to_edges(ends, torch.zeros(1, L, 2), MASK, 1.0), ends, atol=1e-3, rtol=0)


def test_between_two_clips_that_are_told_the_nearer_is_taken():
    logits = told(2, 4) + told(7, 8)
    for begin, expected in ((0.3, 0.2), (0.6, 0.7)):
        found = drawn_to_edges(ends_of(begin, 0.9), logits, MASK, 1.0)
        torch.testing.assert_close(found, ends_of(expected, 0.9), atol=1e-3, rtol=0)


def test_what_is_told_far_away_is_not_heard():
    ends = torch.full((1, 40, 2), 0.5)
    logits, mask = torch.zeros(1, 40, 2), torch.ones(1, 40, dtype=torch.bool)
    far = logits.clone()
    far[0, :11] = far[0, 29:] = 100.0  # more than 8 clips from clip 20, where it begins, and clip 19, where it ends
    assert torch.equal(drawn_to_edges(ends, far, mask, 2.0), drawn_to_edges(ends, logits, mask, 2.0))


def test_an_end_outside_the_video_stays_outside_by_as_much_and_has_a_gradient():
    ends = ends_of(-0.2, 1.3).clone().requires_grad_()
    found = drawn_to_edges(ends, told(2, 7), MASK, 1.0)
    torch.testing.assert_close(found, ends_of(0.0, 1.1))  # moved as ends at 0 and 1 would be
    found.sum().backward()
    torch.testing.assert_close(ends.grad, torch.ones_like(ends))


def test_padding_changes_no_end_whatever_is_told_there():
    g = torch.Generator().manual_seed(0)
    ends, logits = torch.rand(1, L, 2, generator=g), torch.randn(1, L, 2, generator=g)
    longer = [torch.cat((x, torch.full((1, 5, 2), fill)), 1) for x, fill in ((ends, 7.0), (logits, 1e4))]
    mask = torch.arange(L + 5)[None] < L
    assert torch.equal(drawn_to_edges(*longer, mask, 2.0)[:, :L], drawn_to_edges(ends, logits, MASK, 2.0))
    assert drawn_to_edges(*longer, torch.zeros_like(mask), 2.0).isfinite().all()


def test_gradients_are_those_of_the_formula():
    g = torch.Generator().manual_seed(0)
    ends, logits = (f(1, L, 2, generator=g, dtype=torch.float64) for f in (torch.rand, torch.randn))
    assert torch.autograd.gradcheck(
        lambda e, z: drawn_to_edges(e, z, MASK, 2.0), (ends.requires_grad_(), logits.requires_grad_())
    )


@pytest.mark.parametrize("clamp", [False, True])
def test_losses_of_the_windows_reach_the_head(clamp):
    torch.manual_seed(0)
    config = HeadsConfig(reads="states", edges=True, clamp=clamp)
    heads = GroundingHeads(16, NeuronConfig(), config, ProposalConfig())
    found = heads(torch.randn(1, L, 16), MASK, torch.randn(1, 3, 16), torch.ones(1, 3, dtype=torch.bool), ())
    assert found.edge_logits.shape == (1, L, 2)
    found.boundaries.square().sum().backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in heads.edges.layers)
    if clamp:
        assert found.boundaries.min() >= 0


def test_no_head_tells_edges_unless_asked():
    heads = GroundingHeads(16, NeuronConfig(), HeadsConfig(reads="states"), ProposalConfig())
    assert heads.edges is None
    found = heads(torch.randn(1, L, 16), MASK, torch.randn(1, 3, 16), torch.ones(1, 3, dtype=torch.bool), ())
    assert found.edge_logits is None


@pytest.mark.parametrize("reach", [0.0, 1000.0])
def test_a_reach_of_no_clip_or_of_the_whole_video_is_refused(reach):
    with pytest.raises(ConfigError, match="edges_reach_clips"):
        HeadsConfig.parse({"edges_reach_clips": reach})
