"""The whole network: padding, slots, spikes, gates, ablations."""

import pytest
import torch

from spikemba.batch import Batch
from spikemba.errors import ConfigError, ShapeError
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.model.spikemba.moment_reasoner import sine_position
from spikemba.model.spikemba.packing import MIN_LENGTH, Packing

F_VIDEO, F_QUERY = 20, 12
LENGTHS, WORDS = (30, 17, 3, 1), (9, 4, 12, 1)
CLIP_FIELDS = (
    "foreground_logits", "boundaries", "saliency_logits", "proposal_spikes", "proposal_current", "clip_embeddings",
)  # fmt: skip
TINY = {"width": 32, "n_blocks": 2, "slots": {"n_slots": 4}, "spiking_saliency": {"n_spike_steps": 4, "n_heads": 4}}

VARIANTS = {
    "full": {},
    "attention": {"mixer": {"kind": "attention"}},
    "attention behind the convolution": {"mixer": {"kind": "attention_conv"}},
    "convolution without scan": {"mixer": {"kind": "conv"}},
    "forward only": {"mixer": {"directions": "forward"}},
    "no slots": {"slots": {"n_slots": 0}},
    "slots as the source": {"slots": {"n_slots": 4, "place": "source"}},
    "slots per block, carried": {"slots": {"n_slots": 4, "per_block": True, "carry": True}},
    "no detector": {"spiking_saliency": {"enabled": False}},
    "one detector, layer norm": {
        "spiking_saliency": {"n_spike_steps": 4, "n_heads": 4, "share": "once", "norm": "layer"}
    },
    "unnormalised q k v": {"spiking_saliency": {"n_spike_steps": 4, "n_heads": 4, "norm_qkv": False}},
    "attention neurons": {"spiking_saliency": {"n_spike_steps": 4, "n_heads": 4, "attention_neurons": True}},
    "closed gate": {"relevant_mamba": {"gate_bias": 0.0}},
    "no position, no endpoints": {"moment_reasoner": {"position": "none"}, "endpoints": False},
    "modality embedding": {"modality_embedding": True},
    "query similarity": {"query_similarity": True},
}


def merged(variant):
    return {**TINY, **variant}


def model_of(variant, seed=0):
    """A model whose batch norms have seen a batch, in evaluation mode."""
    torch.manual_seed(seed)
    model = SpikeMba(SpikeMbaConfig.parse(merged(variant)), F_VIDEO, F_QUERY)
    model.train()
    with torch.no_grad():
        model(batch(range(len(LENGTHS))))
    return model.eval()


def pairs():
    g = torch.Generator().manual_seed(3)
    videos = [torch.randn(n, F_VIDEO, generator=g) for n in LENGTHS]
    return videos, [torch.randn(n, F_QUERY, generator=g) for n in WORDS]


def batch(indices, before=0, after=0):
    """The pairs, with rubbish as padding before and after."""
    videos, queries = pairs()
    out = []
    for rows in ([videos[i] for i in indices], [queries[i] for i in indices]):
        length = max(map(len, rows)) + before + after
        x = 100 * torch.randn(len(rows), length, rows[0].shape[1])
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for k, row in enumerate(rows):
            x[k, before : before + len(row)] = row
            mask[k, before : before + len(row)] = True
        out += [x, mask]
    return Batch(*out)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_a_pair_is_answered_the_same_alone_and_in_any_batch_under_any_padding(variant):
    model = model_of(variant)
    together = [model(batch(range(4), before, after)) for before, after in ((0, 0), (0, 7), (5, 0), (3, 11))]
    masks = [batch(range(4), *padding).video_mask for padding in ((0, 0), (0, 7), (5, 0), (3, 11))]
    for i in range(4):
        alone = model(batch([i]))
        for prediction, mask in zip(together, masks, strict=True):
            for name in CLIP_FIELDS:
                found = getattr(prediction, name)[i][mask[i]]
                torch.testing.assert_close(found, getattr(alone, name)[0], rtol=0, atol=1e-5, msg=name)
            torch.testing.assert_close(prediction.query_embedding[i], alone.query_embedding[0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_default_network_is_invariant_too():
    model = model_of({"width": 256, "n_blocks": 6, "slots": {}, "spiking_saliency": {}})
    together, alone = model(batch(range(4), 2, 3)), model(batch([1]))
    mask = batch(range(4), 2, 3).video_mask
    for name in CLIP_FIELDS:
        found = getattr(together, name)[1][mask[1]]
        torch.testing.assert_close(found, getattr(alone, name)[0], rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_learns(variant):
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse(merged({**variant, "input_dropout": 0.0})), F_VIDEO, F_QUERY)
    prediction = model(batch(range(4)))
    total = sum(getattr(prediction, name).square().sum() for name in CLIP_FIELDS if name != "proposal_spikes")
    (total + prediction.query_embedding.square().sum() + prediction.proposal_spikes.sum()).backward()
    silent = {n for n, p in model.named_parameters() if p.numel() and (p.grad is None or not p.grad.abs().sum() > 0)}
    # slots behind the query are out of reach of a forward scan, see below
    assert silent == ({"query_slots"} if variant.get("mixer") == {"directions": "forward"} else set())


def test_what_the_first_detector_fires_teaches_everything_before_it():
    model = model_of({}).train()
    rates = model(batch(range(4))).spikes[0].rates
    (rates * torch.randn(rates.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    before = ("video_projection", "query_projection", "video_slots", "query_slots", "detectors.0", "blocks.0.")
    for name, parameter in model.named_parameters():
        if name.startswith(before) and "relevant_mamba" not in name:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


@torch.no_grad()
@pytest.mark.parametrize("which", ["video_slots", "query_slots"])
def test_changing_a_slot_changes_the_output(which):
    model = model_of({})
    before = model(batch(range(4))).saliency_logits.clone()
    getattr(model, which)[0, 1] = torch.randn(32)
    assert (model(batch(range(4))).saliency_logits - before).abs().max() > 1e-4


@torch.no_grad()
def test_trailing_slots_do_nothing_under_a_forward_scan_alone():
    model = model_of({"mixer": {"directions": "forward"}, "slots": {"n_slots": 4, "place": "source"}})
    before = model(batch(range(4))).saliency_logits.clone()
    model.video_slots.normal_()
    model.query_slots.normal_()
    assert torch.equal(model(batch(range(4))).saliency_logits, before)


def silenced(gate_bias):
    """A model whose neurons cannot fire."""
    neuron = {"threshold": 1e6}
    variant = {"spiking_saliency": {"n_spike_steps": 4, "n_heads": 4, "neuron": neuron}}
    return model_of({**variant, "relevant_mamba": {"gate_bias": gate_bias}})


@torch.no_grad()
def test_dead_spikes_do_not_silence_a_block_of_preset_full():
    from spikemba.model.mamba_block import OPEN_GATE_BIAS

    torch.testing.assert_close(torch.nn.functional.silu(torch.tensor(OPEN_GATE_BIAS)), torch.tensor(1.0))
    x, mask = torch.randn(2, 10, 32), torch.ones(2, 10, dtype=torch.bool)
    none = torch.zeros(2, 10, 32)
    full, paper = (silenced(bias).blocks[0].relevant_mamba for bias in (OPEN_GATE_BIAS, 0.0))
    assert (full(x, mask, none) - x).abs().mean() > 1e-3
    torch.testing.assert_close(paper(x, mask, none), x, rtol=0, atol=0)  # the source's gate: the identity, exactly


@torch.no_grad()
def test_proposals_are_spikes_and_padding_never_fires():
    prediction = model_of({})(batch(range(4), 2, 2))
    assert set(prediction.proposal_spikes.unique().tolist()) <= {0.0, 1.0}
    assert prediction.proposal_spikes.shape[-1] == 4
    assert (prediction.proposal_spikes[~batch(range(4), 2, 2).video_mask] == 0).all()
    assert (prediction.proposal_rates <= 1).all()
    for spikes in prediction.spikes:
        assert set(spikes.trains.unique().tolist()) <= {0.0, 1.0}
        assert set(spikes.layer_rates) == {"query", "key", "value", "saliency"}


@torch.no_grad()
def test_boundaries_surround_their_clip():
    prediction, mask = model_of({})(batch(range(4))), batch(range(4)).video_mask
    begin, end = prediction.boundaries.unbind(-1)
    centre = (torch.arange(mask.shape[1]) + 0.5) / torch.tensor(LENGTHS)[:, None]
    assert ((begin >= 0) & (begin <= centre) & (centre <= end) & (end <= 1))[mask].all()


def test_equal_seeds_give_equal_models_and_gradients():
    def run():
        model = model_of({}, seed=5).train()
        torch.manual_seed(1)
        model(batch([0, 1])).saliency_logits.sum().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    torch.manual_seed(9)
    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_the_default_network_has_the_expected_size():
    model = SpikeMba(SpikeMbaConfig(), 2816, 512)
    n = sum(p.numel() for p in model.parameters())
    assert 11.0e6 < n < 13.0e6
    per_block = sum(p.numel() for p in model.blocks[0].parameters()) + sum(
        p.numel() for p in model.detectors[0].parameters()
    )
    assert per_block == pytest.approx(1.718e6, rel=0.01)


def test_features_of_another_width_are_refused():
    model = SpikeMba(SpikeMbaConfig.parse(TINY), F_VIDEO + 1, F_QUERY)
    with pytest.raises(ShapeError, match=rf"video is .* expects {F_VIDEO + 1} features"):
        model(batch([0]))


@torch.no_grad()
def test_query_similarity_tells_each_clip_how_much_it_resembles_the_last_token():
    model = model_of({"query_similarity": True})
    one = batch([0])
    seen = []
    model.similarity_projection.register_forward_hook(lambda _, inputs, out: seen.append(inputs[0]))
    model(one)
    expected = one.video[0, :, :F_QUERY] @ one.query_tokens[0, -1]
    torch.testing.assert_close(seen[0][0, : LENGTHS[0], 0], expected)


def test_query_similarity_needs_clips_as_wide_as_tokens():
    with pytest.raises(ShapeError, match="30 features with the first features of clips, which have 20"):
        SpikeMba(SpikeMbaConfig.parse(merged({"query_similarity": True})), F_VIDEO, 30)


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match=r"width 30 is not a multiple of spiking_saliency.n_heads 8"):
        SpikeMbaConfig.parse({"width": 30})


def test_packing_brings_real_positions_together_and_puts_them_back():
    mask = torch.tensor([[0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]).bool()
    x = torch.arange(15.0).view(3, 5, 1)
    for side in ("left", "right"):
        packing = Packing(mask, side)
        assert packing.mask.shape == (3, MIN_LENGTH)
        assert packing.mask.sum(1).tolist() == [3, 5, 1]
        edge = packing.mask[:, 0] if side == "left" else packing.mask[:, -1]
        assert edge.all()
        packed = packing.pack(x)
        assert packed[0][packing.mask[0]].flatten().tolist() == [1, 3, 4]
        assert (packed[~packing.mask] == 0).all()
        assert torch.equal(packing.unpack(packed)[mask], x[mask])


def test_sine_position_counts_real_clips_only():
    gap = torch.tensor([[True, False, True, True]])
    position = sine_position(gap, 8)
    torch.testing.assert_close(position[0, gap[0]], sine_position(torch.ones(1, 3, dtype=torch.bool), 8)[0])
    torch.testing.assert_close(position[0, 2, 0], torch.sin(torch.tensor(1.0)))
    torch.testing.assert_close(position[0, 2, 1], torch.cos(torch.tensor(1.0)))
