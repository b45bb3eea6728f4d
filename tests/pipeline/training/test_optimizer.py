"""One step of the optimiser: decay, clipping, the learning rate, and what a video is contrasted with."""

import pytest
import torch

from pipelines.runs.config import TrainConfig
from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.tasks.train import train
from pipelines.training import firing_rates as firing
from pipelines.training.batch_plan import BatchPlan, MicroBatch
from pipelines.training.optimizer import decay_groups, learning_rate_factor, make_optimizer
from spikemba.model import SpikeMba, SpikeMbaConfig

NEGATIVES = ["loss.negative_pair=1"]


def test_weight_decay_spares_what_it_should():
    model = SpikeMba(
        SpikeMbaConfig.parse({"width": 16, "n_blocks": 1, "slots": {"n_slots": 2, "step_offset": 8.0}}), 4, 3
    )
    decayed, spared = (group["params"] for group in decay_groups(model, 0.3))
    names = {id(p): name for name, p in model.named_parameters()}
    assert len(decayed) + len(spared) == len(names)
    assert all(names[id(p)].endswith("weight") for p in decayed)
    for ending in ("A_log", ".D", "bias", "_slots", "slot_step", "norm.weight"):
        assert any(names[id(p)].endswith(ending) for p in spared), ending


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_takes_the_decay_for_a_gradient_and_adamw_shrinks_the_weights(optimizer):
    """Where nothing pulls, the first step of Adam is a whole one towards zero, that of AdamW a share of the weight."""
    rate, decay = 0.01, 0.5
    weight = torch.nn.Parameter(torch.tensor([2.0, -0.3]))
    config = TrainConfig(optimizer=optimizer, learning_rate=rate)
    step = make_optimizer([{"params": [weight], "weight_decay": decay}], config)
    weight.grad = torch.zeros(2)
    step.step()
    expected = {"adam": [2.0 - rate, -0.3 + rate], "adamw": [2.0 * (1 - rate * decay), -0.3 * (1 - rate * decay)]}
    torch.testing.assert_close(weight.detach(), torch.tensor(expected[optimizer]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [0.05, 0.1])
def test_a_step_reads_gradients_of_the_norm_that_they_are_clipped_to(corpus, tiny, tmp_path, clip_norm):
    """Adam's first moment after one step is a tenth of the gradient that it was given."""
    settings = ["train.epochs=1", "train.batch_size=1000", f"train.clip_norm={clip_norm}", "data.val=null"]
    settings += ["train.weight_decay=0", "train.optimizer=adam"]
    train(load_config(corpus / "config.yaml", [*tiny, *settings]), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert run.rows()[0]["gradient_norm"] > 2 * clip_norm  # before it was clipped
    moments = [state["exp_avg"].flatten() for state in run.load_state()["optimizer"]["state"].values()]
    assert torch.cat(moments).norm().item() == pytest.approx(0.1 * clip_norm, rel=1e-3)


def test_the_learning_rate_warms_up_and_follows_its_schedule():
    constant = learning_rate_factor(TrainConfig(warmup=0.1), 100)
    assert [constant(s) for s in (0, 4, 9, 10, 99)] == [0.1, 0.5, 1, 1, 1]
    cosine = learning_rate_factor(TrainConfig(warmup=0, schedule="cosine"), 100)
    assert cosine(0) == 1
    assert cosine(50) == pytest.approx(0.5)
    assert cosine(100) == pytest.approx(0)
    floored = TrainConfig(warmup=0.5, schedule="cosine", learning_rate=1e-3, lowest_learning_rate=1e-5)
    factor = learning_rate_factor(floored, 100)
    assert [factor(s) for s in (0, 49, 50, 100)] == pytest.approx([0.01 + 0.99 / 50, 1, 1, 0.01])
    step = learning_rate_factor(TrainConfig(warmup=0, schedule="step", drop_epoch=40, epochs=100), 1000)
    assert (step(399), step(400)) == (1, 0.1)


@pytest.mark.parametrize("rank", [0, 1])
def test_each_video_is_contrasted_with_the_query_of_the_pair_before_it(corpus, tiny, rank):
    task = GroundingTask(load_config(corpus / "config.yaml", [*tiny, *NEGATIVES, "loss.negatives=previous"]))
    (micro_batch,) = next(BatchPlan(task.n_examples, 8, rank=rank, world_size=2).steps(0))
    pairs = task.load(micro_batch)
    assert torch.equal(pairs.negative.video, pairs.batch.video)
    assert torch.equal(pairs.negative.video_mask, pairs.batch.video_mask)
    assert pairs.negative.targets is None
    assert pairs.has_negative is None
    before = micro_batch.indices[micro_batch.start - 1]
    for row, other in enumerate((before, *micro_batch.own[:-1])):
        for batch, index in ((pairs.negative, other), (pairs.batch, micro_batch.own[row])):
            tokens = batch.query_tokens[row, batch.query_mask[row]]
            assert torch.equal(tokens, torch.from_numpy(task.training[index].tokens))


def loaded(task, world_size):
    """Tokens of each pair's negative and whether it has one, by index, as so many processes read an epoch."""
    found = {}
    for rank in range(world_size):
        for step in BatchPlan(task.n_examples, 8, rank=rank, world_size=world_size).steps(0):
            for micro_batch in step:
                pairs = task.load(micro_batch)
                has = [True] * len(micro_batch.own) if pairs.has_negative is None else pairs.has_negative.tolist()
                for row, index in enumerate(micro_batch.own):
                    tokens = pairs.negative.query_tokens[row, pairs.negative.query_mask[row]]
                    found[index] = has[row], tokens.tolist()
    return found


@pytest.mark.parametrize("rule", ["previous", "unrelated"])
def test_several_processes_take_the_negatives_that_one_takes(corpus, tiny, rule):
    task = GroundingTask(load_config(corpus / "config.yaml", [*tiny, *NEGATIVES, f"loss.negatives={rule}"]))
    alone = loaded(task, 1)
    assert sorted(alone) == list(range(task.n_examples))
    for world_size in (2, 3):
        assert loaded(task, world_size) == alone


def test_a_pair_without_an_unrelated_one_has_no_negative_and_without_any_there_is_no_second_pass(corpus, tiny):
    task = GroundingTask(load_config(corpus / "config.yaml", [*tiny, *NEGATIVES, "loss.negatives=unrelated"]))
    task.training.video_groups[:4], task.training.query_groups[:4] = [0, 1, 1, 0], [0, 1, 0, 1]
    pairs = task.load(MicroBatch(0, (0, 1, 2), 0, 3))
    assert pairs.has_negative.tolist() == [True, True, False]
    task.loss(pairs).loss.backward()
    assert all(p.grad.isfinite().all() for p in task.module.parameters() if p.grad is not None)
    assert task.load(MicroBatch(0, (0, 2), 0, 2)).negative is None


@pytest.mark.parametrize(("every", "passes"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4]), (4, [0, 4])])
def test_negatives_come_every_so_many_optimiser_steps_counted_over_epochs(corpus, tiny, every, passes):
    settings = [*tiny, *NEGATIVES, "loss.negatives=previous", f"loss.negatives_every={every}"]
    task = GroundingTask(load_config(corpus / "config.yaml", settings))
    plan = BatchPlan(task.n_examples, 8, accumulate=2)
    steps = [step for epoch in (0, 1) for step in plan.steps(epoch)]
    assert len(steps) == 6
    for i, step in enumerate(steps):
        assert {part.step for part in step} == {i}
        assert {task.load(part).negative is not None for part in step} == {i in passes}


@pytest.mark.parametrize(("read", "times"), [("once", 1), ("again", 2)])
def test_a_video_is_read_once_for_its_query_and_its_negative(corpus, tiny, read, times):
    task = GroundingTask(load_config(corpus / "config.yaml", [*tiny, *NEGATIVES, f"loss.negatives_read={read}"]))
    projected = []
    task.module.video_projection.register_forward_hook(lambda *_: projected.append(1))
    task.loss(task.load(next(BatchPlan(task.n_examples, 8).steps(0))[0])).loss.backward()
    assert len(projected) == times


@pytest.mark.parametrize("recompute", ["false", "true"])
@pytest.mark.parametrize(("norm", "updates"), [("kept", 1), ("batch", 2)])
def test_norms_learn_of_negatives_only_where_it_is_asked_for(corpus, tiny, norm, updates, recompute):
    settings = [*NEGATIVES, f"loss.negatives_norm={norm}", f"train.checkpoint_blocks={recompute}"]
    found = []
    for given in (settings, []):
        torch.manual_seed(0)
        task = GroundingTask(load_config(corpus / "config.yaml", [*tiny, "model.input_dropout=0", *given]))
        (micro_batch,) = next(BatchPlan(task.n_examples, 8).steps(0))
        pairs = task.load(micro_batch)
        task.module.train()
        task.loss(pairs).loss.backward()
        found.append(dict(task.module.named_buffers()))
    counts = {int(value) for name, value in found[0].items() if name.endswith("n_updates")}
    assert counts == {updates}
    statistics = [name for name in found[0] if name.endswith("running_mean")]
    assert statistics
    same = all(torch.allclose(found[0][name], found[1][name], atol=1e-6) for name in statistics)
    assert same is (norm == "kept")


@pytest.mark.parametrize(
    ("rate", "advice"),
    [
        (0.0, "try a lower model.spiking_saliency.neuron.threshold, or loss.firing_rate=0.1"),
        (0.009, "try a lower model.spiking_saliency.neuron.threshold, or loss.firing_rate=0.1"),
        (0.011, None),
        (0.59, None),
        (0.61, "try a higher neuron.threshold"),
        (1.0, "try a higher neuron.threshold"),
    ],
)
def test_layers_that_hardly_fire_or_nearly_always_are_warned_of(rate, advice):
    found = firing.warnings({"block0.key": {"rate": 0.2, "dead": 0.0}, "block1.value": {"rate": rate, "dead": 0.0}})
    assert found == ([] if advice is None else [f"block1.value fires at {rate:.1%} of the steps: {advice}"])


def test_the_rate_of_a_layer_is_its_channels_mean_and_dead_are_those_that_never_fired():
    found = firing.summary({"block0.key": torch.tensor([0.0, 0.25, 0.5, 0.0])})
    assert found == {"block0.key": {"rate": 0.1875, "dead": 0.5}}
