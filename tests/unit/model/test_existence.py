"""The head that tells whether the video shows what the query says at all."""

# Shapes: B pairs, L clips, D width.

import pytest
import torch

from spikemba.batch import Batch
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.model.spikemba.existence import ExistenceHead

D = 6


def head(width=D):
    torch.manual_seed(0)
    return ExistenceHead(width)


def inputs(n_clips, seed=0, n=1):
    g = torch.Generator().manual_seed(seed)
    clips, query = torch.randn(n, n_clips, D, generator=g), torch.randn(n, D, generator=g)
    saliency, foreground = (torch.randn(n, n_clips, generator=g) for _ in range(2))
    rates = torch.rand(n, n_clips, D, generator=g)
    return clips, torch.ones(n, n_clips, dtype=torch.bool), query, saliency, foreground, rates


@torch.no_grad()
def test_padding_changes_nothing_whatever_lies_in_it():
    model, alone = head(), inputs(3)
    padded = []
    for one in alone:
        if one.ndim == 2 and one.shape[1] == D:  # the query has no clips
            padded.append(one)
        else:
            garbage = torch.zeros if one.dtype == torch.bool else lambda shape: 100 * torch.ones(shape)
            padded.append(torch.cat((one, garbage((1, 4, *one.shape[2:])).to(one.dtype)), 1))
    torch.testing.assert_close(model(*padded), model(*alone))


@torch.no_grad()
def test_a_silent_detector_and_none_are_the_same():
    *told, rates = inputs(4)
    torch.testing.assert_close(head()(*told, None), head()(*told, torch.zeros_like(rates)))
    assert not torch.allclose(head()(*told, None), head()(*told, rates))


def test_its_gradients_reach_clips_query_and_detector_and_never_what_pools():
    model, (clips, mask, *others) = head(), inputs(5, n=3)
    clips, *others = (x.requires_grad_() for x in (clips, *others))
    query, saliency, foreground, rates = others
    model(clips, mask, query, saliency, foreground, rates).square().sum().backward()
    assert all(bool(x.grad.any()) for x in (clips, query, rates))
    assert all(bool(p.grad.any()) for p in model.parameters())
    assert saliency.grad is None
    assert foreground.grad is None


@torch.no_grad()
def test_two_clips_of_width_one_by_hand():
    model = head(1)
    model.clip.weight.fill_(2.0)
    model.clip.bias.fill_(1.0)
    model.read[0].weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0, 0.5, 0.25, 8.0]]))
    model.read[0].bias.fill_(3.0)
    model.read[2].weight.fill_(-1.0)
    model.read[2].bias.fill_(5.0)
    clips, mask = torch.tensor([[[1.0], [-2.0]]]), torch.ones(1, 2, dtype=torch.bool)
    saliency, foreground = torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[-4.0, 2.0]])  # weights 3/4 and 1/4
    rates, query = torch.tensor([[[0.4], [0.8]]]), torch.tensor([[7.0]])
    pooled, highest, fires = 3 / 4 * 3.0, 3.0, 3 / 4 * 0.4 + 1 / 4 * 0.8  # states: 2 * 1 + 1, and below 0
    read = 7 + 10 * pooled + 100 * 7 * pooled + 1000 * highest + 0.5 * torch.tensor(3.0).log() + 0.25 * 2 + 8 * fires
    torch.testing.assert_close(model(clips, mask, query, saliency, foreground, rates), 5 - (read + 3)[None])


@torch.no_grad()
@pytest.mark.parametrize("detector", [True, False])
def test_a_pair_is_told_the_same_alone_and_in_a_batch(detector):
    torch.manual_seed(0)
    spiking = {"n_spike_steps": 2, "n_heads": 2, "enabled": detector}
    config = SpikeMbaConfig(width=16, n_blocks=1, spiking_saliency=spiking, heads={"exists": True})
    model = SpikeMba(config, 8, 5).eval()
    g = torch.Generator().manual_seed(1)
    videos, queries = [torch.randn(n, 8, generator=g) for n in (9, 4)], [torch.randn(n, 5, generator=g) for n in (3, 6)]

    def padded(rows):
        whole = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return whole, torch.arange(whole.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]

    together = model(Batch(*padded(videos), *padded(queries))).exists_logits
    assert together.shape == (2,)
    alone = [model(Batch(*padded([v]), *padded([q]))).exists_logits for v, q in zip(videos, queries, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert not torch.allclose(together[0], together[1])


def test_a_network_without_the_head_tells_nothing():
    config = SpikeMbaConfig(width=16, n_blocks=1, spiking_saliency={"n_spike_steps": 2, "n_heads": 2})
    ones = torch.ones(1, 3, dtype=torch.bool)
    given = Batch(torch.randn(1, 3, 8), ones, torch.randn(1, 3, 5), ones)
    assert SpikeMba(config, 8, 5)(given).exists_logits is None
