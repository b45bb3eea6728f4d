"""Two processes against one: the same gradients, statistics, answers; what happens when one of them dies."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pipelines.runs.run_dir import RunDir
from pipelines.shards import Shard
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from pipelines.training.batch_plan import BatchPlan, shuffled
from pipelines.training.distributed import gather_shards, joined, on_first
from spikemba.errors import SpikeMbaError
from spikemba.ops.batch_norm import masked_moments

SCRIPT = Path(__file__).with_name("shared_batch.py")
ROOT = Path(__file__).parents[3]
# rates are random, and rounding differs between one product and two halves of it; gradients are of order 0.01 to 10
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def settings(tiny):
    """Without dropout, whose noise is another in each process; all losses on; gradients as they are."""
    more = ["model.input_dropout=0", "loss.firing_rate=0.1", "train.clip_norm=1e9", "train.watch_test=true"]
    return [*tiny, "model.n_blocks=2", *more]


@pytest.fixture(scope="module")
def shared_batch():
    spec = importlib.util.spec_from_file_location("shared_batch", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="module")
def both(corpus, settings, tmp_path_factory):
    """Where the two processes wrote what they found, and what each of them printed."""
    out = tmp_path_factory.mktemp("two") / "found.pt"
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    command = [sys.executable, str(SCRIPT), str(corpus / "config.yaml"), str(out), *settings]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env=environment(RANK=str(rank), **group), **pipes) for rank in range(2)]
    with ThreadPoolExecutor() as pool:  # side by side: a full pipe would stop one process, and the other waits for it
        said = list(pool.map(lambda process: process.communicate(timeout=300), started))
    codes = [process.returncode for process in started]
    story = (
        f"process {rank}: exit code {codes[rank]}\n{printed}{complained}"
        for rank, (printed, complained) in enumerate(said)
    )
    assert codes == [0, 0], "\n".join(story)
    return out, [printed for printed, _ in said]


@pytest.fixture(scope="module")
def two(both):
    """What the two processes found."""
    return torch.load(both[0])


@pytest.fixture(scope="module")
def one(corpus, settings, shared_batch):
    return shared_batch.everything(corpus / "config.yaml", settings)


@pytest.mark.parametrize(
    "case",
    [
        *("even", "uneven", "two passes", "one pair", "in pieces", "blocks recomputed", "printed"),
        *("null queries, uneven", "null queries, printed"),
    ],
)
def test_gradients_statistics_and_losses_of_a_step_are_those_of_one_process(one, two, case):
    alone, together = one["steps"][case], two["steps"][case]
    assert alone.keys() == together.keys()
    for name, expected in alone.items():
        torch.testing.assert_close(together[name], expected, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


def test_recomputed_blocks_change_nothing(one, corpus, settings, shared_batch):
    config = load_config(corpus / "config.yaml", [*settings, "train.batch_size=21", "loss.negative_pair=1"])
    kept = shared_batch.last_step(config)
    recomputed = one["steps"]["blocks recomputed"]
    assert all(torch.equal(kept[name], recomputed[name]) for name in kept)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the threads in /proc")
def test_nothing_of_the_group_outlives_it(both):
    """Else its threads meet the end of the interpreter, and may abort the process there."""
    assert [[name for name in threads.split() if "gloo" in name or "store" in name] for threads in both[1]] == [[], []]


def test_two_processes_answer_exactly_what_one_answers(one, two):
    assert two["answers"] == one["answers"]
    assert len(one["answers"]) > 3


def children(pid: int) -> list[int]:
    """Processes that a launcher has started to train."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
def test_a_run_whose_worker_was_killed_is_started_again_and_ends_like_one_process(corpus, settings, tmp_path):
    changed = [*settings, "train.epochs=3", "data.memory_gb=1"]
    run = tmp_path / "run"
    sets = [part for setting in changed for part in ("--set", setting)]
    code = "from spikemba_cli.main import main; main()"
    command = [sys.executable, "-c", code, "train", "--config", str(corpus / "config.yaml"), *sets]
    command += ["--processes", "2", "--out", str(run), "--json"]
    launcher = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (run / "train_state.pt").exists():
        assert launcher.poll() is None, launcher.stderr.read()
        time.sleep(0.05)
    victim = max(children(launcher.pid))
    os.kill(victim, signal.SIGKILL)
    printed, said = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, said
    assert json.loads(printed)["epochs"] == 3  # one document, from one process
    rows = RunDir(run).rows()
    assert [row["epoch"] for row in rows] == [1, 2, 3]

    train(load_config(corpus / "config.yaml", changed), tmp_path / "alone")
    for mine, theirs in zip(rows, RunDir(tmp_path / "alone").rows(), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
        assert mine["val"] == pytest.approx(theirs["val"], abs=3.0)


def test_the_shares_of_micro_batches_are_the_batch_in_its_order():
    for world in (1, 2, 3):
        plans = [BatchPlan(11, 4, accumulate=2, rank=rank, world_size=world, seed=7) for rank in range(world)]
        steps = zip(*(plan.steps(epoch=5) for plan in plans), strict=True)
        order = [i for step in steps for shares in zip(*step, strict=True) for share in shares for i in share.own]
        assert order == shuffled(11, 7 * 100_003 + 5)


def test_an_example_draws_the_same_numbers_in_any_process():
    (a,), (b,) = (next(BatchPlan(5, 8, rank=rank, world_size=2).steps(3)) for rank in (0, 1))
    assert torch.equal(torch.rand(3, generator=a.generator(4)), torch.rand(3, generator=b.generator(4)))
    assert not torch.equal(torch.rand(3, generator=a.generator(4)), torch.rand(3, generator=a.generator(3)))


def test_shards_of_blocks_are_the_whole():
    assert Shard(1, 3, 2).indices(11) == [2, 3, 8, 9]
    assert sorted(i for rank in range(3) for i in Shard(rank, 3, 2).indices(11)) == list(range(11))
    assert Shard(1, 2).indices(5) == [1, 3]


def test_alone_everything_is_as_it_was_given():
    assert gather_shards([1, 2]) == [1, 2]
    assert on_first(lambda: "value") == "value"


def test_a_process_that_is_told_of_others_and_finds_none_says_how_to_train_alone(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SpikeMbaError, match=r"MASTER_ADDR expected.* to train alone, `unset RANK WORLD_SIZE`"):
        joined("cpu").__enter__()


def test_statistics_of_parts_are_those_of_the_whole():
    from spikemba.ops import batch_norm

    x, mask = torch.randn(6, 5, 3), torch.rand(6, 5) > 0.4
    parts = [masked_moments(x[rows], mask[rows]) for rows in (slice(0, 4), slice(4, 6))]
    counts = [mask[rows].sum() for rows in (slice(0, 4), slice(4, 6))]
    each = torch.stack([torch.cat((m, v, n[None].float())) for (m, v, _), n in zip(parts, counts, strict=True)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_norm, "all_gather", lambda _: each)
        found = batch_norm.moments_over_ranks(*parts[0][:2], counts[0])
    for mine, whole in zip(found, masked_moments(x, mask), strict=True):
        torch.testing.assert_close(mine, whole)
