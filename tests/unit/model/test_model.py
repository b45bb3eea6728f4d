"""The whole network: padding, slots, spikes, gates, ablations."""

from dataclasses import replace

import pytest
import torch

from spikemba.batch import Batch
from spikemba.errors import ConfigError, ShapeError
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.model.spikemba.heads import HeadsConfig
from spikemba.model.spikemba.moment_reasoner import sine_position
from spikemba.model.spikemba.packing import MIN_LENGTH, Packing
from spikemba.ops.recompute import statistics_kept

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
    "mamba2": {"mixer": {"kind": "mamba2", "state_size": 8}},
    "mamba2, long slots on both sides": {
        "slots": {"n_slots": 5, "place": "both", "step_offset": 8.0},
        "mixer": {"kind": "mamba2", "head_width": 16, "n_groups": 2},
    },
    "hydra": {"mixer": {"kind": "hydra", "state_size": 8}},
    "hydra, long slots as the source": {
        "slots": {"n_slots": 4, "place": "source", "step_offset": 8.0},
        "mixer": {"kind": "hydra", "head_width": 16, "n_groups": 4},
    },
    "no slots": {"slots": {"n_slots": 0}},
    "slots as the source": {"slots": {"n_slots": 4, "place": "source"}},
    "slots per block": {"slots": {"n_slots": 4, "per_block": True}},
    "slots carried": {"slots": {"n_slots": 4, "carry": True}},
    "long slots on both sides": {"slots": {"n_slots": 5, "place": "both", "step_offset": 8.0}},
    "long slots as the source": {"slots": {"n_slots": 4, "place": "source", "step_offset": 8.0}},
    "long slots, attention": {
        "slots": {"n_slots": 3, "place": "both", "step_offset": 8.0},
        "mixer": {"kind": "attention"},
    },
    "no detector": {"spiking_saliency": {"enabled": False}},
    "one detector, layer norm": {
        "spiking_saliency": {"n_spike_steps": 4, "n_heads": 4, "share": "once", "norm": "layer"}
    },
    "unnormalised q k v": {"spiking_saliency": {"n_spike_steps": 4, "n_heads": 4, "norm_qkv": False}},
    "attention neurons": {"spiking_saliency": {"n_spike_steps": 4, "n_heads": 4, "attention_neurons": True}},
    "closed gate": {"relevant_mamba": {"gate_bias": 0.0}},
    "no position, no endpoints": {"moment_reasoner": {"position": "none"}, "endpoints": False},
    "position once": {"moment_reasoner": {"position": "once", "position_scale": 0.5}},
    "position read": {"moment_reasoner": {"position": "read"}},
    "position in the stream": {"moment_reasoner": {"position": "sine"}},
    "modality embedding": {"modality_embedding": True},
    "query similarity": {"query_similarity": True},
    "token similarity": {"token_similarity": True},
    "heads of spikes": {"heads": {"reads": "spikes", "quality": True, "edges": True}},
    "heads of both, cut": {"heads": {"reads": "both", "clamp": True}},
    "heads of states": {"heads": {"reads": "states", "quality": False}},
    "heads of spikes, no detector": {"heads": {"reads": "spikes"}, "spiking_saliency": {"enabled": False}},
    "silent detector": {"spiking_saliency": {"silent": True}, "heads": {"reads": "both"}},
    "amounts of spikes": {"relevant_mamba": {"spike_norm": "none"}},
    "met late": {"n_blocks": 3, "joint_from": 3, "spiking_saliency": {"n_spike_steps": 4, "n_heads": 4}},
    "met late, alike": {"n_blocks": 2, "joint_from": 2, "query_similarity": True, "token_similarity": True},
    "shares propose": {"proposals": {"read": "rates"}},
    "shares propose, no detector": {"proposals": {"read": "rates"}, "spiking_saliency": {"enabled": False}},
}

SILENT = {
    "forward only": {"query_slots"},  # behind the query they are out of reach of a forward scan, see below
    "silent detector": {  # these read spikes alone, of which there are none
        *(
            f"blocks.{i}.relevant_mamba.{name}"
            for i in (0, 1)
            for name in ("spike_norm.weight", "mixer.gate_proj.weight")
        ),
        *("heads.rates.weight", "heads.proposal_neuron.read.weight", "heads.contrast_clip.weight"),
    },
}
"""Variant -> parameters that never learn in it."""


def merged(variant):
    return {**TINY, **variant}


def of_clips(prediction):
    """Every tensor with a clip axis, by its name."""
    named = {name: getattr(prediction, name) for name in (*CLIP_FIELDS, "quality_logits", "edge_logits")}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


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
            assert of_clips(prediction).keys() == of_clips(alone).keys()
            for name, found in of_clips(prediction).items():
                torch.testing.assert_close(found[i][mask[i]], of_clips(alone)[name][0], rtol=0, atol=1e-5, msg=name)
            torch.testing.assert_close(prediction.query_embedding[i], alone.query_embedding[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_sentences_about_one_video_are_answered_the_same_with_and_without_a_row_for_each(variant):
    model, given = model_of(variant), batch(range(4), 2, 3)
    video_of = torch.tensor([2, 0, 0, 2])
    apart = replace(given, video=given.video[video_of], video_mask=given.video_mask[video_of])
    expected = model(apart)
    found = model(replace(given, video=given.video[:3], video_mask=given.video_mask[:3], video_of=video_of))
    assert all(torch.equal(one, of_clips(expected)[name]) for name, one in of_clips(found).items())
    again = model(apart, model.read(apart.video, apart.video_mask))
    assert all(torch.equal(one, of_clips(expected)[name]) for name, one in of_clips(again).items())


@pytest.mark.parametrize(
    ("variant", "reasoned"),
    [
        ({}, [2, 4]),
        ({"query_similarity": True}, [4, 4]),
        ({"joint_from": 2}, [2, 2]),
        ({"joint_from": 2, "query_similarity": True}, [2, 4]),
    ],
)
@torch.no_grad()
def test_what_depends_on_no_sentence_is_computed_once_for_a_video(variant, reasoned):
    model, given, seen = model_of(variant), batch(range(4)), []
    for part in (model.video_projection, *(block.video_reasoner for block in model.blocks)):
        part.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    model(replace(given, video=given.video[:2], video_mask=given.video_mask[:2], video_of=torch.tensor([0, 1, 1, 0])))
    assert seen == [2, *reasoned]


def test_modalities_that_never_meet_are_refused():
    with pytest.raises(ConfigError, match=r"joint_from is 3, and there are 2 blocks"):
        SpikeMbaConfig.parse({"n_blocks": 2, "joint_from": 3})


@torch.no_grad()
def test_the_default_network_is_invariant_too():
    model = model_of({"width": 256, "n_blocks": 6, "slots": {}, "spiking_saliency": {}})
    together, alone = model(batch(range(4), 2, 3)), model(batch([1]))
    mask = batch(range(4), 2, 3).video_mask
    for name in CLIP_FIELDS:
        found = getattr(together, name)[1][mask[1]]
        torch.testing.assert_close(found, getattr(alone, name)[0], rtol=0, atol=1e-5, msg=name)


def without_gradient(model):
    return {n for n, p in model.named_parameters() if p.numel() and (p.grad is None or not p.grad.abs().sum() > 0)}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse(merged({**VARIANTS[name], "input_dropout": 0.0})), F_VIDEO, F_QUERY)
    prediction = model(batch(range(4)))
    total = sum(tensor.square().sum() for name, tensor in of_clips(prediction).items() if name != "proposal_spikes")
    (total + prediction.query_embedding.square().sum() + prediction.proposal_spikes.sum()).backward()
    assert without_gradient(model) == SILENT.get(name, set())


def test_what_is_told_of_clips_all_has_a_clip_axis():
    """So that `map_clips` puts all of it back where the clips were given."""
    prediction = model_of({"heads": {"quality": True, "edges": True}})(batch(range(4)))
    changed = prediction.map_clips(lambda x: x[:, :2])
    assert all(tensor.shape[1] == 2 for tensor in of_clips(changed).values())
    assert len(of_clips(changed)) == len(CLIP_FIELDS) + 2


@pytest.mark.parametrize(
    "name", ["position read", "long slots on both sides", "token similarity", "heads of both, cut"]
)
@pytest.mark.parametrize("kept", [False, True], ids=["learning", "kept"])
def test_recomputed_blocks_give_the_same_outputs_gradients_and_statistics(name, kept):
    found = []
    for recompute in (False, True):
        model = model_of(merged({**VARIANTS[name], "dropout": 0.3})).train()
        model.recompute_blocks = recompute
        before = {k: v.clone() for k, v in model.named_buffers()}
        torch.manual_seed(1)  # of dropout
        with statistics_kept(kept):
            prediction = model(batch(range(4)))
        prediction.saliency_logits.square().sum().backward()
        assert all(torch.equal(v, before[k]) for k, v in model.named_buffers()) is kept
        gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
        found.append({"saliency": prediction.saliency_logits, **gradients, **dict(model.named_buffers())})
    once, again = found
    assert once.keys() == again.keys()
    assert all(torch.equal(once[key], again[key]) for key in once)


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
@pytest.mark.parametrize("clamp", [False, True])
def test_boundaries_surround_their_clip(clamp):
    prediction, mask = model_of({"heads": {"clamp": clamp}})(batch(range(4))), batch(range(4)).video_mask
    begin, end = prediction.boundaries.unbind(-1)
    centre = (torch.arange(mask.shape[1]) + 0.5) / torch.tensor(LENGTHS)[:, None]
    assert ((begin <= centre) & (centre <= end))[mask].all()
    assert ((begin >= 0) & (end <= 1))[mask].all() == clamp


def test_equal_seeds_give_equal_models_and_gradients():
    def run():
        model = model_of({}, seed=5).train()
        torch.manual_seed(1)
        model(batch([0, 1])).saliency_logits.sum().backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    torch.manual_seed(9)
    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_the_network_of_the_source_has_the_expected_size():
    source = {"n_blocks": 6, "heads": {"reads": "states", "quality": False}}
    model = SpikeMba(SpikeMbaConfig.parse(source), 2816, 512)
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


@torch.no_grad()
def test_token_similarity_lets_each_clip_read_the_tokens_that_it_resembles():
    model = model_of({"token_similarity": True})
    one, met = batch([0]), {}
    block = model.blocks[0]
    for name in ("video_reasoner", "query_reasoner"):
        getattr(block, name).register_forward_hook(lambda _, args, out, name=name: met.update({name: out[0]}))
    block.relevant_mamba.register_forward_hook(lambda _, args, out: met.update(joint=args[0]))
    model(one)
    likeness = one.video[0, :, :F_QUERY] @ one.query_tokens[0].t()
    tokens = met["query_reasoner"][0] @ block.token_reading.weight.t()
    n_clips, n_tokens = LENGTHS[0], WORDS[0]
    expected = met["video_reasoner"][0] + likeness @ tokens
    assert likeness.shape == (n_clips, n_tokens)
    torch.testing.assert_close(met["joint"][0, n_tokens:], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("similarity", ["query_similarity", "token_similarity"])
def test_similarities_need_clips_as_wide_as_tokens(similarity):
    with pytest.raises(
        ShapeError, match=f"{similarity} .* 30 features with the first features of clips, which have 20"
    ):
        SpikeMba(SpikeMbaConfig.parse(merged({similarity: True})), F_VIDEO, 30)


@torch.no_grad()
def test_a_silent_detector_is_one_that_never_fires_and_leaves_the_gates_their_bias():
    model = model_of({"spiking_saliency": {"silent": True}})
    dead = silenced(model.config.relevant_mamba.gate_bias)
    assert len(model.detectors) == 2
    assert not list(model.detectors.parameters())
    dead.load_state_dict({**dead.state_dict(), **model.state_dict()})
    found, expected = model(batch(range(4))), dead(batch(range(4)))
    assert not any(spikes.trains.any() or spikes.rates.any() for spikes in found.spikes)
    torch.testing.assert_close(found.saliency_logits, expected.saliency_logits)
    torch.testing.assert_close(found.foreground_logits, expected.foreground_logits)


@torch.no_grad()
def test_without_the_spikes_norm_the_gate_sees_how_much_fires():
    """LayerNorm makes the same of a pattern and of its double."""
    x, mask, rates = torch.randn(2, 10, 32), torch.ones(2, 10, dtype=torch.bool), torch.rand(2, 10, 32)
    for norm, most in (("layer", 1e-2), ("none", None)):
        mamba = model_of({"relevant_mamba": {"spike_norm": norm}}).blocks[0].relevant_mamba
        change = (mamba(x, mask, 0.5 * rates) - mamba(x, mask, rates)).abs().max()
        assert change < most if most else change > 5e-2


def test_slots_of_a_block_that_are_never_used_are_refused_but_for_what_was_trained_so():
    both = {"n_slots": 4, "per_block": True, "carry": True}
    with pytest.raises(ConfigError, match=r"slots.carry hands .* slots.per_block would never be used"):
        SpikeMbaConfig.parse({"n_blocks": 2, "slots": both})
    assert SpikeMbaConfig.parse({"n_blocks": 1, "slots": both}).slots.carry
    stored = {**SpikeMbaConfig.parse(TINY).model_dump(), "slots": {**TINY["slots"], **both}}
    del stored["heads"], stored["token_similarity"]  # as 0.1.0 wrote it
    loaded = SpikeMbaConfig.parse(stored)
    assert SpikeMbaConfig.parse(loaded.model_dump()) == loaded  # also when it is written again
    assert SpikeMba(loaded, F_VIDEO, F_QUERY).video_slots.shape == (2, 4, 32)


def test_a_file_of_an_earlier_version_keeps_its_network_and_a_person_gets_todays():
    new = {"heads": {"clamp"}, "slots": {"step_offset"}, "relevant_mamba": {"spike_norm"}, "proposals": {"read"},
           "moment_reasoner": {"position", "position_scale"}, "spiking_saliency": {"silent"}}  # fmt: skip
    whole = SpikeMbaConfig.parse(TINY).model_dump()
    old = {key: {k: v for k, v in value.items() if k not in new.get(key, ())} if isinstance(value, dict) else value
           for key, value in whole.items() if key not in ("heads", "token_similarity")}  # fmt: skip
    old["moment_reasoner"]["position"] = "none"  # what the file says stands
    loaded = SpikeMbaConfig.parse(old)
    assert loaded.heads.clamp
    assert loaded.moment_reasoner.position == "none"
    assert (loaded.proposals.read, loaded.relevant_mamba.spike_norm, loaded.slots.step_offset) == (
        "neuron",
        "layer",
        None,
    )
    assert SpikeMbaConfig.parse({**old, "heads": {"quality": True}}).heads == HeadsConfig(
        reads="states", quality=True, clamp=True, first_distance=0.5
    )
    del old["dropout"]  # a person's, who writes nearly everything
    assert not SpikeMbaConfig.parse(old).heads.clamp
    assert SpikeMbaConfig.parse(TINY).heads == HeadsConfig()


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
