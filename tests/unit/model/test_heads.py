"""The heads: windows around clips, saliency, and whose spikes propose."""

# Shapes: B pairs, L clips, W query tokens, S spike steps, D width.

import pytest
import torch
import torch.nn.functional as F

from spikemba.batch import Spikes
from spikemba.model.spikemba.heads import GroundingHeads, HeadsConfig, ProposalConfig, ProposalRates, clip_centres
from spikemba.ops.spiking import NeuronConfig

B, L, W, S = 2, 4, 3, 5
VIDEO_MASK, QUERY_MASK = torch.ones(B, L, dtype=torch.bool), torch.ones(B, W, dtype=torch.bool)


def heads(width=16, proposals="neuron", **settings):
    torch.manual_seed(0)
    config = HeadsConfig(**{"reads": "states", "quality": False, **settings})
    return GroundingHeads(width, NeuronConfig(), config, ProposalConfig(read=proposals))


def states(width=16):
    """Random video and query states."""
    g = torch.Generator().manual_seed(1)
    return torch.randn(B, L, width, generator=g), torch.randn(B, W, width, generator=g)


def fired(seed, width=16):
    """Random spikes of a detector over text and video."""
    g = torch.Generator().manual_seed(seed)
    trains = (torch.rand(S, B, W + L, width, generator=g) < 0.5).float()
    return Spikes(trains, trains.mean(0), {})


def test_a_clips_centre_is_half_a_clip_after_its_begin():
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    assert clip_centres(mask)[0].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert clip_centres(mask)[1, :2].tolist() == [0.25, 0.75]


@torch.no_grad()
@pytest.mark.parametrize("first", [0.1, 0.5])
def test_windows_begin_as_far_from_their_clips_as_they_are_told(first):
    model = heads(first_distance=first, clamp=False)
    video, query = states()
    model.distances.layers[-1].weight.zero_()
    boundaries = model(video, VIDEO_MASK, query, QUERY_MASK, (fired(2),)).boundaries
    centres = clip_centres(VIDEO_MASK)
    torch.testing.assert_close(boundaries, torch.stack((centres - first, centres + first), dim=-1))


@torch.no_grad()
@pytest.mark.parametrize("clamp", [False, True])
def test_a_window_reaches_to_the_left_and_to_the_right_of_its_clips_centre(clamp):
    """Half a clip to the left and one and a half to the right: from each clip's begin to the end of the next."""
    model = heads(clamp=clamp)
    last = model.distances.layers[-1]
    last.weight.zero_()
    last.bias.copy_(torch.logit(torch.tensor([0.5, 1.5]) / L))
    video, query = states()
    boundaries = model(video, VIDEO_MASK, query, QUERY_MASK, ()).boundaries
    begins = torch.arange(L) / L
    torch.testing.assert_close(boundaries[0, :, 0], begins)
    torch.testing.assert_close(boundaries[0, :, 1], (begins + 2 / L).clamp(max=1 if clamp else 2))


@pytest.mark.parametrize("clamp", [False, True])
def test_a_begin_before_the_video_has_a_gradient_unless_it_is_cut(clamp):
    video, query = states()
    video.requires_grad_()
    begin = heads(clamp=clamp, first_distance=0.5)(video, VIDEO_MASK, query, QUERY_MASK, ()).boundaries[0, 0, 0]
    assert begin == 0 if clamp else begin < 0
    begin.backward()
    assert bool(video.grad.any()) is not clamp


@torch.no_grad()
@pytest.mark.parametrize("reads", ["states", "spikes", "both"])
def test_heads_see_states_or_the_last_blocks_rates_at_the_clips_or_both(reads):
    model, (video, query), last = heads(reads=reads, quality=True, edges=True), states(), fired(2)
    seen = []
    for head in (model.foreground, model.distances, model.quality, model.edges, model.saliency_clip):
        head.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    model(video, VIDEO_MASK, query, QUERY_MASK, (fired(1), last))
    expected = torch.zeros(B, L, 16)
    if reads != "spikes":
        expected += F.layer_norm(video, (16,))
    if reads != "states":
        expected += last.rates[:, W:] @ model.rates.weight.t() + model.rates.bias
    assert len(seen) == 5
    for clips in seen:
        torch.testing.assert_close(clips, expected)


@torch.no_grad()
def test_a_clip_proposes_where_more_of_its_channels_fire_than_of_the_videos_clips_in_the_mean():
    trains = torch.zeros(1, 1, 6, 16)
    for clip, n_firing in enumerate((3, 5, 4, 4, 16, 16)):
        trains[0, 0, clip, :n_firing] = 1
    mask = torch.tensor([[True, True, True, True, False, False]])  # mean 4: padding that fires does not count
    spikes, current = ProposalRates()(trains, mask)
    assert spikes[0, :4, 0].tolist() == [0, 1, 0, 0]
    assert current is None


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clips_that_fire_alike_never_propose_however_many_and_however_wide(dtype):
    for n_clips in range(1, 40):
        trains = (torch.arange(300) < 257).to(dtype).expand(2, 1, n_clips, 300)
        spikes, _ = ProposalRates()(trains, torch.ones(1, n_clips, dtype=torch.bool))
        assert spikes.shape == (1, n_clips, 2)
        assert not spikes.any()
        if n_clips > 1:
            more = trains.clone()
            more[1, 0, 0, 257] = 1
            assert ProposalRates()(more, torch.ones(1, n_clips, dtype=torch.bool))[0].nonzero().tolist() == [[0, 0, 1]]


@torch.no_grad()
@pytest.mark.parametrize("width", [16, 64, 256])
def test_a_clip_that_equals_the_query_scores_the_root_of_the_width(width):
    """Both are rows of unit variance, whose product is the width: without the root, logits would grow with it."""
    model = heads(width)
    for projection in (model.saliency_clip, model.saliency_query):
        projection.weight.copy_(torch.eye(width))
    video, _ = states(width)
    token = F.layer_norm(video[:, :1], (width,))
    saliency = model(video, VIDEO_MASK, token, QUERY_MASK[:, :1], ()).saliency_logits
    torch.testing.assert_close(saliency[:, 0], torch.full((B,), width**0.5), rtol=1e-4, atol=0)


@torch.no_grad()
def test_proposals_come_from_the_last_blocks_spikes_at_the_clips():
    model, (video, query) = heads(), states()

    def proposed(*blocks):
        found = model(video, VIDEO_MASK, query, QUERY_MASK, blocks)
        return found.proposal_current, found.clip_embeddings

    last = fired(2)
    expected = proposed(fired(1), last)
    assert all(map(torch.equal, proposed(fired(3), last), expected))
    last.trains[:, :, :W] = 1 - last.trains[:, :, :W]  # of the text
    assert all(map(torch.equal, proposed(fired(1), last), expected))
    last.trains[:, :, W + 1] = 1 - last.trains[:, :, W + 1]  # of the second clip
    for found, before in zip(proposed(fired(1), last), expected, strict=True):
        changed = (found != before).view(B, L, -1).any(-1)
        assert changed.tolist() == B * [[False, True, False, False]]
