"""`train --dry-run`: what it says is so, and nothing is written."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from pipelines.studies import dry_run as module
from pipelines.studies.dry_run import Memory, dry_run
from pipelines.tasks.grounding.config import load_config
from pipelines.training.device_memory import available, rising
from spikemba.datasets.annotations import read_annotations
from spikemba.errors import FeaturesMismatch
from spikemba.model import SpikeMba
from spikemba_cli.main import app

MB = 2**20


@pytest.fixture(scope="module")
def config(corpus, tiny):
    return load_config(corpus / "config.yaml", tiny)


@pytest.fixture(scope="module")
def found(config):
    return dry_run(config)


def test_shapes_are_those_of_the_first_batch_and_of_the_parts(found, config):
    assert found.shapes["batch.video"].startswith("(8, ")
    assert found.shapes["batch.video"].endswith(", 192) float32")
    length = int(found.shapes["batch.video"].split(", ")[1])
    assert found.shapes["video_projection"] == f"(8, {length}, 16) float32"
    assert found.shapes["blocks.0.relevant_mamba"].endswith(", 16) float32")
    assert (found.of_batch, found.timed) == (8, 8)
    assert found.n_steps == -(-found.n_examples // config.train.batch_size)


def test_parameters_are_counted_by_part(found, config):
    widths = [int(found.shapes[f"batch.{name}"].split(")")[0].split(", ")[2]) for name in ("video", "query_tokens")]
    model = SpikeMba(config.model, *widths)
    n = sum(p.numel() for p in model.parameters())
    assert found.parameters["all"] == (n, n)
    assert sum(of_part for name, (of_part, _) in found.parameters.items() if name != "all") == n
    heads = sum(p.numel() for p in model.heads.parameters())
    assert found.parameters["heads"] == (heads, heads)


def test_blocks_are_taken_together(config):
    larger = config.model_copy(update={"model": config.model.model_copy(update={"n_blocks": 2})})
    parameters = module._parameters(SpikeMba(larger.model, 4, 3))
    one = module._parameters(SpikeMba(config.model, 4, 3))
    assert set(parameters) == set(one)
    assert parameters["blocks.*.video_reasoner"][0] == 2 * one["blocks.*.video_reasoner"][0]


def test_memory_of_weights_and_optimiser_is_counted(found, config):
    n = found.parameters["all"][0]
    assert found.memory.gradients == 4 * n
    assert found.memory.optimizer == 8 * n
    assert found.memory.weights >= 4 * n
    averaged = config.model_copy(update={"train": config.train.model_copy(update={"ema": 0.9})})
    assert dry_run(averaged).memory.weights == found.memory.weights + 4 * n


class _Squares:
    """A task whose memory is known: sin(w x) keeps x, which is the batch, and w x for its gradient."""

    def __init__(self, width: int) -> None:
        self.module = torch.nn.Linear(1, 1, bias=False)
        self.width = width

    def load(self, part):
        from types import SimpleNamespace

        x = torch.ones(len(part.own), self.width)
        return SimpleNamespace(to=lambda device: x)

    def loss(self, x):
        from pipelines.training.task import LossOutput

        return LossOutput((self.module.weight.squeeze() * x).sin().sum())


def test_what_autograd_keeps_is_counted_to_the_byte(config):
    task, micro_batch = _Squares(1000), module._micro_batch((0, 1, 2))
    kept = module._kept_for_backward(task, micro_batch, config.train, torch.device("cpu"))
    assert kept == 3 * 1000 * 4


def test_a_batch_that_does_not_fit_is_timed_in_part():
    memory = Memory(10 * MB, 10 * MB, 20 * MB, 10 * MB, 950 * MB, available=500 * MB)
    assert memory.total == 1000 * MB
    assert module._fitting(memory, 64) == 24  # 40 + 15 n <= 400
    assert module._fitting(Memory(0, 0, 0, 1, 1, None), 64) == 64
    assert module._fitting(Memory(0, 0, 0, MB, 10 * MB, 2 * MB), 1) == 1


def test_the_rise_of_memory_is_measured_where_the_system_says():
    device = torch.device("cpu")
    with rising(device) as rise:
        torch.ones(32 * MB // 4)
    if rise.bytes is None:
        pytest.skip("this system does not say")
    assert rise.bytes == pytest.approx(32 * MB, rel=0.2)
    free = available(device)
    assert free is None or free > 0


def test_of_several_processes_one_is_shown(config, found):
    half = dry_run(config, processes=2)
    assert (half.of_batch, found.of_batch) == (4, 8)
    assert half.memory.kept_for_backward < found.memory.kept_for_backward


def test_the_command_prints_everything_and_writes_nothing(corpus, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [part for setting in tiny for part in ("--set", setting)]
    wanted = ["train", "--config", str(corpus / "config.yaml"), *given, "--out", "run", "--dry-run"]
    result = CliRunner().invoke(app, wanted)
    assert result.exit_code == 0, result.output
    settings, *tables = result.stdout.split("\n\n")
    assert yaml.safe_load(settings)["train"]["batch_size"] == 8
    assert [block.splitlines()[0].split("\t")[0] for block in tables] == [
        *("tensor", "part", "memory of one process", "one step"),
    ]
    document = json.loads(CliRunner().invoke(app, [*wanted, "--json"]).stdout)
    assert document["settings"]["model"]["width"] == 16
    assert document["timed_examples"] == 8
    assert document["memory_bytes"]["total"] > document["memory_bytes"]["kept_for_backward"] > 0
    assert document["step_s"] > 0
    assert list(tmp_path.iterdir()) == []


def test_of_a_study_the_first_domain_is_shown(config):
    data = config.data.model_copy(update={"domains": ("A", "B")})
    assert module._first_of_study(config.model_copy(update={"data": data})).data.domain == "A"
    assert module._first_of_study(config) is config


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_feature_that_is_no_number_is_named_before_anything_is_trained(corpus, config, tmp_path, split):
    annotations = read_annotations(corpus / f"{split}.jsonl")
    stream = tmp_path / "mini"
    shutil.copytree(corpus / "features" / "mini", stream)
    path = stream / f"{annotations[-1].video_id}.npz"
    with np.load(path) as arrays:
        x = arrays["features"].copy()
    x[3, 2] = np.nan
    np.savez(path, features=x)
    spoilt = config.model_copy(update={"data": config.data.model_copy(update={"video_features": (stream,)})})
    with pytest.raises(FeaturesMismatch, match=rf"{path.name} holds nan in row 3"):
        dry_run(spoilt)
