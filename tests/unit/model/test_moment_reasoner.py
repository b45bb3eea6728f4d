"""The moment reasoner: which slots enter which block, and that only the video learns its order from a position."""

from itertools import pairwise

import pytest
import torch

from spikemba.batch import Batch
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.model.mamba_block import MixerConfig
from spikemba.model.spikemba.moment_reasoner import MomentReasoner, MomentReasonerConfig, SlotsConfig, sine_position

WIDTH, B = 16, 2


def reasoner_of(slots, *, side="right", width=WIDTH, **settings):
    torch.manual_seed(0)
    return MomentReasoner(
        width,
        MomentReasonerConfig(**{"position": "sine", **settings}),
        MixerConfig(),
        SlotsConfig(**slots),
        padding_side=side,
    ).eval()


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
    reasoner = reasoner_of({"n_slots": 2})
    x, slots, position = torch.randn(B, 10, WIDTH), torch.randn(B, 2, WIDTH), torch.randn(B, 10, WIDTH)
    mask = torch.arange(10) < torch.tensor([[10], [6]])
    (bare, bare_slots), (placed, placed_slots) = (reasoner(x, mask, slots, given) for given in (None, position))
    torch.testing.assert_close(placed - bare, position * mask[..., None])
    assert torch.equal(placed_slots, bare_slots)


@torch.no_grad()
def test_a_position_that_is_read_reaches_the_mixer_at_clips_alone_and_never_the_stream():
    reasoner = reasoner_of({"n_slots": 2}, position="read")
    x, slots, position = torch.randn(B, 10, WIDTH), torch.randn(B, 2, WIDTH), torch.randn(B, 10, WIDTH)
    mask, read = torch.ones(B, 10, dtype=torch.bool), []

    class Nothing(torch.nn.Module):
        def forward(self, x, *_, **__):
            read.append(x)
            return torch.zeros_like(x)

    reasoner.mixer = Nothing()
    for given in (None, position):
        out, left = reasoner(x, mask, slots, given)
        torch.testing.assert_close(out, x)
        torch.testing.assert_close(left, slots)
    torch.testing.assert_close(read[1] - read[0], torch.cat((torch.zeros_like(slots), position), dim=1))


@torch.no_grad()
def test_a_position_that_enters_once_is_added_to_the_first_blocks_clips():
    model = model_of(moment_reasoner={"position": "once", "position_scale": 0.5})
    met = []
    for block in model.blocks:
        block.video_reasoner.register_forward_hook(lambda _, args, out: met.append(args))
    projected = []
    model.video_projection.register_forward_hook(lambda _, args, out: projected.append(out))
    model(batch())
    position = sine_position(torch.ones(B, 12, dtype=torch.bool), WIDTH)
    torch.testing.assert_close(met[0][0], projected[0] + 0.5 * position)
    assert [given for *_, given in met] == [None] * 3


@torch.no_grad()
@pytest.mark.parametrize("side", ["right", "left"])
def test_slots_on_both_sides_stand_half_in_front_and_half_behind_without_padding_between(side):
    reasoner = reasoner_of({"n_slots": 3, "place": "both", "step_offset": 8.0}, side=side)
    x, slots = torch.randn(1, 10, WIDTH), torch.randn(1, 3, WIDTH)
    mask = torch.arange(10)[None] < 6 if side == "right" else torch.arange(10)[None] >= 4
    reasoner.slot_step.copy_(torch.tensor([8.0, 7.0, 6.0]))
    seen = []
    reasoner.mixer.register_forward_hook(lambda _, args, kwargs, out: seen.append((*args, kwargs)), with_kwargs=True)
    _, left = reasoner(x, mask, slots, None)
    ((read, real, kwargs),) = seen
    expected = reasoner.norm(torch.cat((slots[:, :2], x[mask][None], slots[:, 2:]), dim=1))
    assert real.tolist() == [[True] * 9 + [False] * 4]
    torch.testing.assert_close(read[:, :9], expected)
    assert kwargs["step_offset"][0, :9].tolist() == [8, 7, *[0] * 6, 6]
    mixed = reasoner.mixer(read, real, **kwargs)
    torch.testing.assert_close(left, slots + torch.cat((mixed[:, :2], mixed[:, 8:9]), dim=1))


@torch.no_grad()
@pytest.mark.parametrize(("offset", "low", "high"), [(None, 0, 5e-3), (8.0, 2e-2, 1)])
def test_a_slot_reaches_the_fortieth_clip_through_its_step_alone(offset, low, high):
    """How much of the branch's output there is due to the slots."""
    reasoner, bare = (
        reasoner_of(slots, width=64) for slots in ({"n_slots": 16, "step_offset": offset}, {"n_slots": 0})
    )
    bare.mixer.load_state_dict(reasoner.mixer.state_dict())
    g = torch.Generator().manual_seed(1)
    x, slots = torch.randn(8, 60, 64, generator=g), 0.02 * torch.randn(1, 16, 64, generator=g).expand(8, -1, -1)
    mask = torch.ones(8, 60, dtype=torch.bool)
    branch, without = (one(x, mask, given, None)[0] - x for one, given in ((reasoner, slots), (bare, slots[:, :0])))
    change = (branch - without)[:, 40].norm() / without[:, 40].norm()
    assert low <= change < high
    assert (branch - without)[:, 0].norm() / without[:, 0].norm() > 0.1  # through the convolution either way


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
