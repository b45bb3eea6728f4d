"""The graphs that are exported say what the networks say, at any length."""

import pytest
import torch

from spikemba.batch import Batch
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.encoders import mini
from spikemba.errors import CheckpointError
from spikemba.exporting.forms import Graph, write_onnx
from spikemba.exporting.network import GrounderGraph
from spikemba.exporting.scan import CHUNK, chunked_scan
from spikemba.exporting.towers import TextGraph
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.ops.selective_scan import selective_scan_reference

VARIANTS = [
    {},
    {"query_similarity": True, "joint_from": 2, "heads": {"exists": True, "quality": True, "edges": True}},
    {
        "token_similarity": True,
        "slots": {"n_slots": 3, "place": "both", "step_offset": 8.0},
        "modality_embedding": True,
    },
    {"mixer": {"directions": "forward"}, "slots": {"n_slots": 2, "carry": True}, "proposals": {"read": "rates"}},
    {"spiking_saliency": {"norm": "layer", "attention_neurons": True, "share": "once", "neuron": {"reset": "soft"}}},
    {"spiking_saliency": {"enabled": False}, "moment_reasoner": {"position": "once"}},
]


def predicted(model, video, tokens):
    masks = [torch.ones(z.shape[:2], dtype=torch.bool) for z in (video, tokens)]
    return model(Batch(video, masks[0], tokens, masks[1]))


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3])
def test_the_chunked_scan_is_the_recurrence(length):
    torch.manual_seed(length)
    x, delta, a = torch.randn(2, length, 6), 3 * torch.rand(2, length, 6), -5 * torch.rand(6, 4)
    b, c = torch.randn(2, length, 4), torch.randn(2, length, 4)
    found = chunked_scan(x, delta, a.t().expand(2, -1, -1), b, c)
    torch.testing.assert_close(found, selective_scan_reference(x, delta, a, b, c), atol=1e-5, rtol=1e-5)


def test_steps_that_forget_everything_and_steps_that_forget_nothing_do_not_overflow():
    x, a = torch.ones(1, 2000, 2), torch.tensor([[-100.0, -1e-7]])
    y = chunked_scan(x, 10 * x, a[..., None].expand(1, 2, 2), torch.ones(1, 2000, 2), torch.ones(1, 2000, 2))
    assert y.isfinite().all()
    torch.testing.assert_close(y[0, -1], torch.full((2,), 10 + 20_000.0), rtol=1e-2, atol=0)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: "+".join(one) or "default")
@torch.inference_mode()
def test_the_graph_says_what_the_network_says(variant):
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse({"width": 16, **variant}), 12, 10).eval()
    graph = GrounderGraph(model)
    for n_clips, n_tokens in ((1, 1), (7, 3), (40, 9)):
        video, tokens = torch.randn(1, n_clips, 12), torch.randn(1, n_tokens, 10)
        expected = predicted(model, video, tokens)
        for name, found in zip(graph.outputs, graph(video, tokens), strict=True):
            torch.testing.assert_close(found, getattr(expected, name), atol=1e-4, rtol=0, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: "+".join(one) or "default")
@torch.inference_mode()
def test_onnxruntime_says_what_the_network_says(variant, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse({"width": 16, **variant}), 12, 10).eval()
    graph = GrounderGraph(model)
    inputs = {"video": torch.zeros(1, 75, 12), "query_tokens": torch.zeros(1, 40, 10)}
    lengths = {"video": {1: "clips"}, "query_tokens": {1: "tokens"}}
    write_onnx(Graph("grounder", graph, inputs, graph.outputs, lengths), tmp_path / "grounder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "grounder.onnx", providers=["CPUExecutionProvider"])
    for n_clips, n_tokens in ((1, 1), (7, 3), (40, 9)):
        video, tokens = torch.randn(1, n_clips, 12), torch.randn(1, n_tokens, 10)
        expected = predicted(model, video, tokens)
        found = session.run(None, {"video": video.numpy(), "query_tokens": tokens.numpy()})
        for name, array in zip(graph.outputs, found, strict=True):
            torch.testing.assert_close(torch.from_numpy(array), getattr(expected, name), atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize("kind", ["mamba2", "hydra", "conv", "attention"])
def test_a_network_of_another_mixer_is_refused(kind):
    model = SpikeMba(SpikeMbaConfig.parse({"width": 16, "mixer": {"kind": kind}}), 12, 10)
    with pytest.raises(CheckpointError, match=f"model.mixer.kind is '{kind}'; expected 'scan'"):
        GrounderGraph(model)


@torch.inference_mode()
def test_mini_reads_a_sentence_as_its_graph_does():
    encoder = mini.load()
    (expected,) = encoder.encode_texts(["a red circle enters"])
    tokens, pooled = TextGraph(encoder)(encoder.model.words(["a red circle enters"])[0])
    torch.testing.assert_close(tokens[0], torch.from_numpy(expected.tokens), atol=1e-5, rtol=0)
    torch.testing.assert_close(pooled[0], torch.from_numpy(expected.pooled), atol=1e-5, rtol=0)


def test_what_is_exported_leaves_the_network_as_it_was():
    model = load_checkpoint("mini").model
    before = [type(one) for one in model.modules()]
    GrounderGraph(model)
    assert [type(one) for one in model.modules()] == before
