"""Half precision, averaged weights, recomputed blocks, compiled parts: what they may change and what not."""

import re

import pytest
import torch

from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.evaluate import evaluate_run
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.tasks.train import train
from pipelines.training.batch_plan import BatchPlan
from pipelines.training.ema import EMA
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.losses import grounding_loss
from spikemba.model.masked_norm import MaskedBatchNorm
from spikemba.ops.native.library import ENVIRONMENT, usable
from spikemba.ops.selective_scan import scan_block
from spikemba.ops.spiking import NeuronConfig, spiking_attention, spiking_layer

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture(params=["compiled kernels", "plain PyTorch"])
def kernels(request, monkeypatch):
    """Both ways to run the operators."""
    if request.param == "plain PyTorch":
        monkeypatch.setenv(ENVIRONMENT, "0")


@pytest.mark.parametrize("half", HALVES.values())
def test_scan_neurons_and_norms_compute_in_float32_under_autocast(kernels, half):
    torch.manual_seed(0)
    mask = torch.ones(2, 70, dtype=torch.bool)
    x, step = torch.randn(2, 70, 8).to(half), torch.randn(2, 70, 8).to(half)
    b, c, a, skip = (torch.randn(2, 70, 4).to(half), torch.randn(2, 70, 4).to(half), -torch.ones(8, 4), torch.ones(8))
    current = torch.randn(2, 70, 24).to(half)  # 70 positions and 8 steps: counts that bfloat16 cannot hold
    factor = torch.full((2,), 1 / 64)

    def outputs(wide):
        x_, step_, b_, c_, current_ = (t.float() if wide else t for t in (x, step, b, c, current))
        norm = MaskedBatchNorm(24)
        attended, counts = spiking_attention(current_, mask, NeuronConfig(), norm.prepare(current_, mask), 8, 2, factor)
        layer = spiking_layer(attended, mask, NeuronConfig(), None)
        y = scan_block(x_, step_, a, b_, c_, skip, mask, reverse=False)
        return [y.to(half), attended, counts, layer.trains, norm.running_mean, norm.running_var]

    expected = outputs(wide=True)
    with torch.autocast("cpu", half):
        found = outputs(wide=False)
    for mine, full in zip(found, expected, strict=True):
        assert mine.dtype == full.dtype
        assert torch.equal(mine, full)


def a_step(corpus, settings):
    """A task and a batch of its data."""
    torch.manual_seed(0)
    task = GroundingTask(load_config(corpus / "config.yaml", settings))
    (micro_batch,) = next(BatchPlan(task.n_examples, 8).steps(0))
    return task, task.load(micro_batch)


def test_the_loss_is_float32_under_autocast(corpus, tiny):
    task, pairs = a_step(corpus, tiny)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = task.module(pairs.batch)
        assert prediction.clip_embeddings.dtype == torch.bfloat16
        loss, terms = grounding_loss(prediction, pairs.batch, task.config.loss)
    alone, _ = grounding_loss(prediction, pairs.batch, task.config.loss)
    assert {loss.dtype, *(term.dtype for term in terms.values())} == {torch.float32}
    assert torch.equal(loss, alone)


@pytest.mark.parametrize("precision", HALVES)
def test_half_precision_trains_as_well(corpus, tiny, trained, tmp_path, precision):
    train(load_config(corpus / "config.yaml", [*tiny, f"train.precision={precision}"]), tmp_path / "run")
    half, full = RunDir(tmp_path / "run").rows(), RunDir(trained).rows()
    # fp16 begins with steps that are left out, until its scale is low enough
    assert half[-1]["loss"] == pytest.approx(full[-1]["loss"], rel=0.2 if precision == "fp16" else 0.05)
    assert {tensor.dtype for tensor in load_checkpoint(tmp_path / "run").model.parameters()} == {torch.float32}


def test_the_averaged_weights_are_what_is_validated_and_saved(corpus, tiny, tmp_path):
    train(load_config(corpus / "config.yaml", [*tiny, "train.ema=0.5"]), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    state = run.load_state()
    saved = load_checkpoint(run.last).model.state_dict()
    assert all(torch.equal(saved[name], state["ema"]["tensors"][name]) for name in saved)
    assert any(not torch.equal(saved[name], state["module"][name]) for name in saved)
    assert evaluate_run(run.last, "val").brief == run.rows()[-1]["val"]


def test_an_average_forgets_its_beginning():
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 100.0)
    average = EMA(module, 0.9)
    expected = 100.0
    for n, value in enumerate((4.0, 5.0, 6.0), start=1):
        torch.nn.init.constant_(module.weight, value)
        average.update()
        decay = (1 + n) / (10 + n)  # under 0.9 for so few steps
        expected = decay * expected + (1 - decay) * value
    with average.applied():
        assert module.weight.item() == pytest.approx(expected)
    assert module.weight.item() == 6.0


def gradients(task, pairs):
    task.module.train()
    torch.manual_seed(1)  # of dropout
    task.loss(pairs).loss.backward()
    return {name: p.grad.clone() for name, p in task.module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("more", [[], ["loss.negative_pair=1"]], ids=["pairs", "negatives too"])
def test_recomputed_blocks_draw_the_same_dropout_and_count_a_batch_once(corpus, tiny, more):
    found = []
    for recomputed in ("false", "true"):
        settings = [*tiny, *more, "model.n_blocks=2", "model.dropout=0.3", f"train.checkpoint_blocks={recomputed}"]
        task, pairs = a_step(corpus, settings)
        found.append({**gradients(task, pairs), **task.module.state_dict()})
    kept, again = found
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_a_process_without_pairs_goes_through_the_network_too(kernels, corpus, tiny):
    task, pairs = a_step(corpus, [*tiny, "loss.negative_pair=1"])
    nothing = type(pairs)(pairs.batch.first(0), pairs.negative.first(0))
    found = gradients(task, nothing)
    assert len(found) > 50
    assert not any(gradient.any() for gradient in found.values())


def test_compiled_parts_change_neither_names_nor_gradients(corpus, tiny):
    settings = ["model.input_dropout=0", "model.heads.quality=true", "model.heads.edges=true", "model.slots.place=both"]
    settings += ["model.slots.step_offset=8.0"]
    task, pairs = a_step(corpus, [*tiny, *settings, "loss.negative_pair=1"])
    names, expected = list(task.module.state_dict()), gradients(task, pairs)
    task.module.zero_grad()
    graphs = []

    def backend(graph, inputs):  # the default one needs minutes of a C++ compiler
        graphs.append(str(graph.graph))
        return graph

    for part in task.dense:
        part.compile(dynamic=True, backend=backend)
    found = gradients(task, pairs)
    assert list(task.module.state_dict()) == names
    for name, expected_gradient in expected.items():
        torch.testing.assert_close(found[name], expected_gradient)
    if usable():
        assert {f"spikemba.{name}" for name in ("scan_train", "conv_both", "gate")} <= kernels_of(graphs)
    task.module.zero_grad()
    nothing = type(pairs)(pairs.batch.first(0), pairs.negative.first(0))  # what a process without pairs is given
    assert not any(gradient.any() for gradient in gradients(task, nothing).values())


def kernels_of(graphs):
    return set(re.findall(r"spikemba\.[a-z_]*", " ".join(graphs)))
