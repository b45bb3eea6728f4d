"""Answers in half precision: where it is taken, what stays in float32, how near they are."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from spikemba.batch import Batch
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.device import has_bfloat16, resolved_precision, warn_of_slow_precision
from spikemba.errors import UnknownName
from spikemba.grounder.grounder import load
from spikemba.grounding import Question, answer_questions, in_precision
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.ops.precision import Float32Conv1d, Float32Linear, autocast, with_products_in

CPU = torch.device("cpu")
HEADS = {"heads.saliency_clip", "heads.saliency_query", "heads.query_pooling.score"}
HEADS |= {f"heads.{name}.layers.2" for name in ("foreground", "distances")}


@pytest.fixture
def processor(monkeypatch):
    """Makes the processor one that has these instructions; what was warned of before is forgotten."""
    warn_of_slow_precision.cache_clear()
    yield lambda **able: monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    warn_of_slow_precision.cache_clear()


@pytest.fixture
def checkpoint():
    return load_checkpoint("mini")


def network():
    torch.manual_seed(0)
    config = SpikeMbaConfig(width=32, n_blocks=2, spiking_saliency={"n_heads": 4}, mixer={"n_heads": 4})
    return SpikeMba(config, 12, 8).eval()


def a_batch():
    draw = torch.Generator().manual_seed(1)
    masks = torch.ones(2, 20, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)
    clips, tokens = torch.randn(2, 20, 12, generator=draw), torch.randn(2, 5, 8, generator=draw)
    return Batch(clips, masks[0], tokens, masks[1])


def asked(checkpoint, n=6):
    rng, spec = np.random.default_rng(0), checkpoint.features
    widths = spec.n_video_features, spec.text.dim
    videos, tokens = (
        [rng.standard_normal((k, width)).astype(np.float32) for _ in range(n)]
        for k, width in zip((40, 9), widths, strict=True)
    )
    return [Question(video, words, 80.0) for video, words in zip(videos, tokens, strict=True)]


@pytest.mark.parametrize(
    ("able", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True}, "fp32"), ({}, "fp32")],
)
def test_auto_is_bf16_where_the_processor_has_products_in_it(processor, able, expected):
    processor(**able)
    assert has_bfloat16(CPU) == (expected == "bf16")
    assert resolved_precision("auto", CPU) == expected
    assert [resolved_precision(name, CPU) for name in ("fp32", "bf16", "fp16")] == ["fp32", "bf16", "fp16"]


def test_weights_of_products_are_cast_once_and_all_else_is_the_models_own():
    model = network()
    half = with_products_in("bf16", model)
    own = dict(model.named_parameters())
    cast = {name.rpartition(".")[0] for name, one in half.named_parameters() if one.dtype == torch.bfloat16}
    products = {
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv1d) and layer.groups == 1)
    }
    assert cast == products - HEADS
    for name, one in half.named_parameters():
        if one.dtype == torch.float32:
            assert one is own[name]
    assert {one.dtype for one in model.parameters()} == {torch.float32}
    assert with_products_in("bf16", half) is half
    assert with_products_in("fp32", model) is model


def test_weights_that_were_cast_give_what_autocast_gives():
    model, batch = network(), a_batch()
    with torch.inference_mode(), autocast(CPU, "bf16"):
        expected, found = model(batch), with_products_in("bf16", model)(batch)
    for name in ("boundaries", "saliency_logits", "foreground_logits", "clip_embeddings", "proposal_spikes"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    for mine, theirs in zip(found.spikes, expected.spikes, strict=True):
        assert torch.equal(mine.trains, theirs.trains)


def test_what_clips_are_ranked_by_stays_in_float32():
    model = with_products_in("bf16", network())
    with torch.inference_mode(), autocast(CPU, "bf16"):
        found = model(a_batch())
    assert {found.boundaries.dtype, found.saliency_logits.dtype, found.foreground_logits.dtype} == {torch.float32}
    assert {one.trains.dtype for one in found.spikes} == {torch.float32}
    assert found.clip_embeddings.dtype == torch.bfloat16


@pytest.mark.parametrize("layer", [Float32Linear(6, 4), Float32Conv1d(6, 4, 3)])
def test_layers_in_float32_are_so_under_autocast_and_follow_their_weights(layer):
    x = torch.randn(2, 6, 6)
    with autocast(CPU, "bf16"):
        rounded = type(layer).__base__.forward(layer, x)
        assert rounded.dtype == torch.bfloat16
        assert layer(x.bfloat16()).dtype == torch.float32
        found = layer(x)
    assert torch.equal(found, layer(x))
    assert layer.double()(x.double()).dtype == torch.float64
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_answers_in_bf16_are_near_those_in_fp32(checkpoint):
    questions, how = asked(checkpoint), (checkpoint.features.clip_s, checkpoint.grounding)
    full = list(answer_questions(checkpoint.model, questions, *how))
    same = list(answer_questions(checkpoint.model, questions, *how, precision="fp32"))
    half = list(answer_questions(checkpoint.model, questions, *how, precision="bf16"))
    assert full == same
    assert full != half
    for a, b in zip(full, half, strict=True):
        assert np.abs(a.saliency - b.saliency).mean() < 0.02
        assert len(np.unique(b.saliency)) == len(np.unique(a.saliency))  # clips are told apart as well
    assert {one.dtype for one in checkpoint.model.parameters()} == {torch.float32}


def test_bf16_without_products_in_it_answers_and_says_once_that_it_is_slow(processor, checkpoint, caplog):
    processor()
    with caplog.at_level(logging.WARNING, logger="spikemba"):
        for _ in range(2):
            model, precision = in_precision(checkpoint.model, "bf16")
    assert (precision, model is checkpoint.model) == ("bf16", False)
    assert [record.message for record in caplog.records] == [
        "this cpu has no bf16 products, so that bf16 is slower here than fp32"
    ]
    assert in_precision(checkpoint.model, "auto") == (checkpoint.model, "fp32")


def test_another_precision_is_refused_with_those_there_are(checkpoint):
    said = "no precision is called 'half'; there are: auto, fp32, bf16"
    with pytest.raises(UnknownName, match=said):
        load("mini", precision="half")
    with pytest.raises(UnknownName, match=said):
        next(answer_questions(checkpoint.model, [], 2.0, checkpoint.grounding, precision="half"))
