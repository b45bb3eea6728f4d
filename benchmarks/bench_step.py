"""Where the time of one training step goes: loading, scan, neurons, attention over spikes, other products, losses ...

    OMP_PROC_BIND=true python benchmarks/bench_step.py                     # 32 pairs, 75 clips x 2818, 32 tokens
    OMP_PROC_BIND=true python benchmarks/bench_step.py --small
    OMP_PROC_BIND=true python benchmarks/bench_step.py --set train.precision=bf16 --set train.device=cuda

Preset `full` as it trains: one forward pass (two with `loss.negative_pair`), losses, backward pass, clipping and
AdamW. The step's time is the median without a profiler; its shares come from a profile, in which every event's own time
belongs to one stage, so that the stages sum to the step. The backward pass of an operator belongs to the
operator's stage. On a GPU the shares are those of kernel time, and `waiting` is what the kernels leave over.

On a CPU the neurons of queries, keys and values and the attention over their spikes are one kernel; those neurons are
measured alone, in the same shapes, and taken from it.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from bench_loading import write_pairs
from record import Record, options
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from pipelines.tasks.grounding import task as grounding_task
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.training.batch_plan import BatchPlan
from pipelines.training.loop import device_of
from pipelines.training.optimizer import make_optimizer
from spikemba.model import mamba_block
from spikemba.model.spikemba import heads, spiking_saliency
from spikemba.ops import spiking
from spikemba.ops.precision import autocast

REGION = "stage: "
Places = dict[str, list[tuple[Any, str]]]
"""Stage -> modules or classes and the names of their functions that belong to it."""
PATCHED: Places = {
    "scan": [(mamba_block, "scan_block")],
    "convolution and gate": [
        *((mamba_block, name) for name in ("causal_conv_silu_both", "causal_conv_silu", "gated_sum")),
    ],
    "neurons": [(spiking, "lif_spikes"), (heads, "lif_spikes"), (spiking_saliency, "spiking_layer")],
    "attention over spikes": [(spiking_saliency, "spiking_attention")],
    "losses": [(grounding_task, "grounding_loss")],
}
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::linear", "aten::conv", "aten::mkldnn")
OTHER_PRODUCTS, REST, WAITING = "other matrix products", "everything else", "waiting"
STAGES = ("loading", *PATCHED, OTHER_PRODUCTS, "optimiser", REST)
NODE = "autograd::engine::evaluate_function: "


def in_profile(stage: str) -> AbstractContextManager[Any]:
    """Within, a profile notes the stage."""
    return record_function(REGION + stage)


@contextmanager
def marked(
    places: Places = PATCHED, region: Callable[[str], AbstractContextManager[Any]] = in_profile
) -> Iterator[None]:
    """Within, each function of `places` runs in the region of its stage; of regions in regions the innermost counts."""

    def noting(function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with region(stage):
                return function(*args, **kwargs)

        return run

    with ExitStack() as stack:
        for stage, found in places.items():
            for module, name in found:
                stack.enter_context(patch.object(module, name, noting(getattr(module, name), stage)))
        yield


class OptimizerStep:
    """One step of the optimiser on the first batch, as the training loop does it."""

    def __init__(self, config: RunConfig) -> None:
        torch.manual_seed(config.train.seed)
        self.settings, self.device = config.train, device_of(config.train)
        self.task = GroundingTask(config)
        self.task.module.to(self.device).train()
        self.optimizer = make_optimizer(self.task.parameter_groups(self.settings.weight_decay), self.settings)
        self.micro_batch = next(BatchPlan(self.task.n_examples, self.settings.batch_size).steps(0))[0]
        started = time.perf_counter()
        self.task.load(self.micro_batch)
        self.from_disk_s = time.perf_counter() - started

    def __call__(self) -> None:
        precision = self.settings.precision
        with record_function(REGION + "loading"):
            pairs = self.task.load(self.micro_batch).to(self.device)
        with autocast(self.device, precision):
            loss = self.task.loss(pairs).loss
        loss.backward()
        with record_function(REGION + "optimiser"):
            nn.utils.clip_grad_norm_(self.task.module.parameters(), self.settings.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def stages(step: OptimizerStep) -> dict[str, float]:
    """Microseconds of one profiled step by stage."""
    on_gpu = step.device.type == "cuda"
    with marked():
        both, whole = own_times(step, on_gpu=on_gpu)
    own: Counter[str] = Counter()
    for (stage, _), us in both.items():
        own[stage] += us
    if on_gpu:
        own[WAITING] = whole - sum(own.values())
    return dict(own)


def own_times(step: Callable[[], None], *, on_gpu: bool = False) -> tuple[Counter[tuple[str, bool]], float]:
    """Microseconds of one profiled step by stage and whether the backward pass took them, and of all of it."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities, acc_events=True) as recorded, record_function("step"):
        step()
    events = [event for event in recorded.events() if event.device_type == torch.autograd.DeviceType.CPU]
    (whole,) = (event for event in events if event.name == "step")
    inside = [e for e in events if whole.time_range.start <= e.time_range.start <= whole.time_range.end]
    # the operator that made a node of the graph is the last one to see its number
    made = {e.sequence_nr: e for e in inside if e.sequence_nr >= 0 and not _node(e)}
    own: Counter[tuple[str, bool]] = Counter()
    for event in inside:
        us = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        own[_stage(event, made), _node(event) is not None] += us
    return own, whole.cpu_time_total


def _stage(event: Any, made: dict[int, Any]) -> str:
    """The stage that an event's own time belongs to."""
    node = _node(event)
    forward = made.get(node.sequence_nr) if node is not None else None
    region = _region(forward if forward is not None else event)
    if region is not None:
        return region
    return OTHER_PRODUCTS if any(e.name.startswith(PRODUCTS) for e in _upwards(event)) else REST


def _region(event: Any) -> str | None:
    return next((e.name.removeprefix(REGION) for e in _upwards(event) if e.name.startswith(REGION)), None)


def _node(event: Any) -> Any:
    """The node of the graph in whose derivative the event happens."""
    return next((e for e in _upwards(event) if e.name.startswith(NODE)), None)


def _upwards(event: Any) -> Iterator[Any]:
    while event is not None:
        yield event
        event = event.cpu_parent


def neurons_alone_us(step: OptimizerStep, repeats: int) -> float:
    """Microseconds of the neurons within the attention's kernel, both passes and all calls of one step; 0 on a GPU."""
    if step.device.type != "cpu":
        return 0.0
    calls: list[tuple[int, ...]] = []
    real = spiking_saliency.spiking_attention

    def noting(x: Any, *args: Any) -> Any:
        calls.append(tuple(x.shape))
        return real(x, *args)

    with patch.object(spiking_saliency, "spiking_attention", noting):
        step.task.loss(step.task.load(step.micro_batch))
    config = step.task.config.model.spiking_saliency
    x = torch.randn(calls[0], requires_grad=True)

    def both() -> None:
        x.grad = None
        spiking.lif_spikes(x, config.neuron, config.n_spike_steps).sum().backward()

    return 1e6 * seconds(both, repeats) * len(calls)


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median of the wall times after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def measure(config: RunConfig, repeats: int) -> dict[str, Any]:
    """Milliseconds of the step and of its stages."""
    step = OptimizerStep(config)
    median = 1e3 * seconds(step, repeats)
    found = stages(step)
    total = sum(found.values())
    fused = found.get("attention over spikes", 0.0)
    moved = min(neurons_alone_us(step, repeats), 0.95 * fused) if step.device.type == "cpu" else 0.0
    found["attention over spikes"] = fused - moved
    found["neurons"] = found.get("neurons", 0.0) + moved
    names = [*STAGES, *([WAITING] if WAITING in found else [])]
    return {
        "step_ms": round(median, 2),
        "profiled_step_ms": round(total / 1e3, 2),
        "stages_ms": {name: round(median * found.get(name, 0.0) / total, 2) for name in names},
        "loading_from_disk_ms": round(1e3 * step.from_disk_s, 2),
        "pairs_per_s": round(1e3 * config.train.batch_size / median, 2),
        "parameters_m": round(sum(p.numel() for p in step.task.module.parameters()) / 1e6, 2),
    }


def main() -> None:
    """Print a table and one JSON line."""
    parser = options(__doc__)
    parser.add_argument("--small", action="store_true", help="A small network and batch, to see that it runs.")
    parser.add_argument("--repeats", type=int, default=3, help="Steps that are timed.")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, over the configuration.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record = Record(arguments)
    sizes = {"n_clips": 20, "n_tokens": 8, "dims": {"a": 24, "b": 8}} if arguments.small else {"n_tokens": 32}
    settings = ["train.batch_size=32", "train.device=cpu"]
    if arguments.small:
        settings = ["train.batch_size=4", "train.device=cpu", "model.width=32", "model.n_blocks=2"]
    with tempfile.TemporaryDirectory() as folder:
        data = write_pairs(Path(folder), 8 if arguments.small else 64, **sizes)
        config = load_config(None, [*settings, *arguments.set])
        config = config.model_copy(update={"data": data})
        result = measure(config, arguments.repeats)
        shape = (sizes.get("n_clips", 75), 2 + sum(GroundingTask(config).training.spec.video[i].dim for i in (0, 1)))
    result["case"] = (
        f"{config.train.batch_size} pairs, {shape[0]} clips x {shape[1]}, {sizes['n_tokens']} tokens, "
        f"width {config.model.width}, {config.model.n_blocks} blocks, {config.train.precision}"
    )
    record.speed(result["case"], {key: result[key] for key in ("step_ms", "pairs_per_s", "loading_from_disk_ms")})
    record.speed(
        result["case"],
        {f"{name}, share_of_step": 100 * ms / result["step_ms"] for name, ms in result["stages_ms"].items()},
    )
    print(f"{result['case']}: {result['step_ms']:.1f} ms a step, {result['pairs_per_s']:.1f} pairs/s")
    for name, ms in result["stages_ms"].items():
        print(f"  {name:26}{ms:10.1f} ms{100 * ms / result['step_ms']:7.1f} %")
    print(f"  {'sum':26}{sum(result['stages_ms'].values()):10.1f} ms")
    print(f"  loading from disk, the first time: {result['loading_from_disk_ms']:.1f} ms")
    gpu = torch.cuda.get_device_name() if config.train.device != "cpu" and torch.cuda.is_available() else None
    machine = {"torch": torch.__version__, "threads": arguments.threads, "processors": os.cpu_count(), "gpu": gpu}
    print(json.dumps({**result, **machine, "cpu": platform.processor() or platform.machine()}))
    record.keep()


if __name__ == "__main__":
    main()
