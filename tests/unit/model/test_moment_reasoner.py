"""The moment reasoner: which slots enter which block, and that only the video learns its order from a position."""

from itertools import pairwise

import pytest
import torch

from spikemba.batch import Batch
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.model.mamba_block import MixerConfig
from spikemba.model.spikemba.moment_reasoner import MomentReasoner, MomentReasonerConfig

WIDTH, B = 16, 2


def model_of(**settings):
    """A network in evaluation mode, in double precision, so that the order of sums decides no spike."""
    torch.manual_seed(0)
    tiny = {"width": WIDTH, "n_blocks": 3, "spiking_saliency": {"n_spike_steps": 4, "n_heads": 4}}
    model = SpikeMba(SpikeMbaConfig.parse({"slots": {"n_slots": 2}, **tiny, **settings}), 6, 5).double()
    with torch.no_grad():
        model(batch())  # the batch norms learn
    return model.eval()


def batch():
    g = torch.Generator().manual_seed(1)
    video, tokens = (torch.randn(B, n, width, generator=g).double() for n, width in ((12, 6), (9, 5)))
    return Batch(video, torch.ones(B, 12, dtype=torch.bool), tokens, torch.ones(B, 9, dtype=torch.bool))


def slots_of_each_block(model):
    """What enters and what leaves each block's reasoner of the video, and of the query."""
    seen = {"video": [], "query": []}
    for block in model.blocks:
        for name, met in seen.items():
            reasoner = getattr(block, f"{name}_reasoner")
            reasoner.register_forward_hook(lambda _, args, out, met=met: met.append((args[2], out[1])))
    model(batch())
    return seen


@torch.no_grad()
@pytest.mark.parametrize("which", ["video", "query"])
def test_every_block_starts_from_the_learned_slots(which):
    model = model_of()
    learned = getattr(model, f"{which}_slots")
    assert learned.shape == (1, 2, WIDTH)
    for entered, _ in slots_of_each_block(model)[which]:
        assert torch.equal(entered, learned.expand(B, -1, -1))


@torch.no_grad()
@pytest.mark.parametrize("which", ["video", "query"])
def test_with_slots_per_block_every_block_starts_from_its_own(which):
    model = model_of(slots={"n_slots": 2, "per_block": True})
    learned = getattr(model, f"{which}_slots")
    assert learned.shape == (3, 2, WIDTH)
    for (entered, _), own in zip(slots_of_each_block(model)[which], learned, strict=True):
        assert torch.equal(entered, own.expand(B, -1, -1))


@torch.no_grad()
@pytest.mark.parametrize("which", ["video", "query"])
def test_carried_slots_enter_the_next_block_as_they_left_the_last(which):
    model = model_of(slots={"n_slots": 2, "carry": True})
    met = slots_of_each_block(model)[which]
    assert torch.equal(met[0][0], getattr(model, f"{which}_slots").expand(B, -1, -1))
    for (_, left), (entered, _) in pairwise(met):
        assert torch.equal(entered, left)
        assert not torch.equal(entered[0], entered[1])  # they have seen their pair


@torch.no_grad()
def test_the_position_is_added_to_real_places_alone():
    torch.manual_seed(0)
    reasoner = MomentReasoner(
        WIDTH, MomentReasonerConfig(), MixerConfig(), slots_side="left", padding_side="right"
    ).eval()
    x, slots, position = torch.randn(B, 10, WIDTH), torch.randn(B, 2, WIDTH), torch.randn(B, 10, WIDTH)
    mask = torch.arange(10) < torch.tensor([[10], [6]])
    (bare, bare_slots), (placed, placed_slots) = (reasoner(x, mask, slots, given) for given in (None, position))
    torch.testing.assert_close(placed - bare, position * mask[..., None])
    assert torch.equal(placed_slots, bare_slots)


def saliency_under(model, clips=None, tokens=None):
    """Saliency of the clips and tokens taken in another order."""
    given = batch()
    video = given.video if clips is None else given.video[:, clips]
    query = given.query_tokens if tokens is None else given.query_tokens[:, tokens]
    return model(Batch(video, given.video_mask, query, given.query_mask)).saliency_logits


@torch.no_grad()
@pytest.mark.parametrize("position", ["none", "sine"])
def test_attention_knows_the_order_of_clips_from_the_position_alone_and_never_that_of_tokens(position):
    """Softmax attention, the neurons and the saliency head see a set: only what is added to it gives an order."""
    settings = {"mixer": {"kind": "attention"}, "endpoints": False, "moment_reasoner": {"position": position}}
    model, order = model_of(**settings), torch.randperm(12, generator=torch.Generator().manual_seed(2))
    expected = saliency_under(model)
    difference = (saliency_under(model, clips=order) - expected[:, order]).abs().max()
    assert difference < 1e-9 if position == "none" else difference > 1e-3
    torch.testing.assert_close(saliency_under(model, tokens=order[order < 9]), expected)
