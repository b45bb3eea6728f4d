"""Where the work of a training step goes: operations, bytes and time of each part, and what the processor could do.

    OMP_NUM_THREADS=1 python benchmarks/bench_roofline.py                      # both configurations, float32
    OMP_NUM_THREADS=1 python benchmarks/bench_roofline.py --precision bf16 --set model.n_blocks=6
    OMP_NUM_THREADS=1 python benchmarks/bench_roofline.py --configs shapes --set train.batch_size=8

Steps of configs/qvhighlights.yaml (75 clips x 2818, 32 tokens x 512) and configs/shapes.yaml (60 clips x 194, 12 tokens
x 192) on random pairs without padding: forward pass, losses, backward pass, clipping, optimiser. Per pair:

- Mflop and MB: counted in one step, operator by operator, as operator_work.py says.
- ms: the step's processor time, its median without a profiler, shared out as the operators' own times are in profiles
  of the same step, of which each part's least counts: a processor that is taken away for a while is no part's time.
- bound: what those operations and bytes take at least, the longer of operations / peak and bytes / bandwidth. Peak is
  that of a product of two square matrices of 2,048, in float32 and in bfloat16 for products in it (of 256 where the
  processor has none of those, and takes a minute for one), bandwidth that of a copy of 256 MB (bytes read and
  written); each the best of ten before the steps and ten after.
- reached: bound / ms. Above 100 % where tensors stay in the cache, whose bandwidth is more than the memory's.

A derivative counts to the part that it is of. `attention over spikes` has the neurons of query, key and value, which
are in the same kernel, and the moments of their norm are counted to `neurons`; `everything else` is norms, packing,
joining, residuals, the position, gradients that are added up, and Python between operators, which moves nothing.
"""

import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from bench_model import CASES, Case, batch_of
from bench_step import OTHER_PRODUCTS, PATCHED, REST, Places, in_profile, marked, own_times
from operator_work import Work, WorkCounter
from record import Record, options
from torch import nn

from pipelines.runs.config import config_path
from pipelines.tasks.grounding.config import load_config
from pipelines.training.loop import autocast
from pipelines.training.optimizer import decay_groups, make_optimizer
from spikemba.device import has_bfloat16
from spikemba.losses import grounding_loss
from spikemba.model import SpikeMba, mamba_block
from spikemba.model.masked_norm import MaskedBatchNorm
from spikemba.model.spikemba import network, spiking_saliency

CONFIGS = {"qvhighlights": "benchmark", "shapes": "shapes"}
"""Configuration -> the sizes of its pairs, in bench_model.CASES."""
PARTS: Places = {
    "input projections": [(network.InputProjection, "forward")],
    "in/out projections": [(mamba_block.MambaMixer, "forward")],
    "x/dt projections": [(mamba_block.DirectionalScan, "parameters_for")],
    "detector projections": [(spiking_saliency.SpikingSaliencyDetector, "forward")],
    **{name: PATCHED[name] for name in ("scan", "convolution and gate")},
    "neurons": [*PATCHED["neurons"], (MaskedBatchNorm, "prepare")],
    "attention over spikes": PATCHED["attention over spikes"],
    "heads": [(network.GroundingHeads, "forward")],
    "dropout": [(nn.Dropout, "forward")],
}
"""What is left of a function's time and work without those within it belongs to its part."""
LOSSES, OPTIMISER = "losses", "optimiser"
ORDER = (*PARTS, LOSSES, OPTIMISER, REST)


class Step:
    """A step of the optimiser, on a batch that is there."""

    def __init__(self, config: Any, case: Case) -> None:
        self.config, self.batch = config, batch_of(case)
        self.model = SpikeMba(config.model, case.n_video, case.n_query).train()
        self.optimizer = make_optimizer(decay_groups(self.model, config.train.weight_decay), config.train)
        self.region: Callable[[str], Any] = in_profile

    def __call__(self) -> None:
        with autocast(torch.device("cpu"), self.config.train.precision):
            predicted = self.model(self.batch)
            with self.region(LOSSES):
                loss, _ = grounding_loss(predicted, self.batch, self.config.loss)
        loss.backward()
        with self.region(OPTIMISER):
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def processor_seconds(run: Callable[[], object], threads: int) -> float:
    """Of one run, for each thread: what other work on the machine takes from it does not count."""
    started = time.process_time()
    run()
    return (time.process_time() - started) / threads


@dataclass
class Peaks:
    """What the processor makes, in units of 1e9 a second."""

    float32_gflops: float = 0.0
    bfloat16_gflops: float = 0.0
    copy_gbs: float = 0.0

    def measure(self, threads: int, size: int = 2048, n_bytes: int = 2**28) -> None:
        """Keep the best of ten more."""

        def best(run: Callable[[], object]) -> float:
            return min(processor_seconds(run, threads) for _ in range(10))

        for name in ("float32", "bfloat16"):
            side = size if name == "float32" or has_bfloat16(torch.device("cpu")) else size // 8
            a, b = torch.randn(2, side, side, dtype=getattr(torch, name))
            found = 2 * side**3 / best(lambda a=a, b=b: a @ b) / 1e9
            setattr(self, f"{name}_gflops", max(found, getattr(self, f"{name}_gflops")))
        source = torch.ones(n_bytes, dtype=torch.uint8)
        target = source.clone()
        self.copy_gbs = max(self.copy_gbs, 2 * n_bytes / best(lambda: target.copy_(source)) / 1e9)

    def bound_s(self, work: Work) -> float:
        """The least that it takes."""
        computing = work.flops / self.float32_gflops + work.half_flops / self.bfloat16_gflops
        return max(computing, work.bytes / self.copy_gbs) / 1e9


def counted(step: Step) -> dict[tuple[str, bool], Work]:
    """What one step does in each part, forward and backward."""
    counter = WorkCounter(REST)
    step.region = counter.part
    with counter, marked(PARTS, counter.part):
        step()
    step.region = in_profile
    return counter.work


def shares(step: Step, repeats: int) -> dict[tuple[str, bool], float]:
    """Share of the step's time of each part, forward and backward, summing to 1."""
    least: dict[tuple[str, bool], float] = {}
    with marked(PARTS):
        for _ in range(repeats):
            own = Counter[tuple[str, bool]]()
            for (part, backward), us in own_times(step)[0].items():
                own[REST if part == OTHER_PRODUCTS else part, backward] += us
            least = {key: min(us, least.get(key, us)) for key, us in own.items()}
    return {key: us / sum(least.values()) for key, us in least.items()}


def measure(config: Any, case: Case, repeats: int, threads: int) -> dict[str, Any]:
    """The rows of one configuration, and what they are seen against."""
    step, peaks = Step(config, case), Peaks()
    step()
    peaks.measure(threads)
    step_s = statistics.median(processor_seconds(step, threads) for _ in range(repeats))
    share, work = shares(step, repeats), counted(step)
    peaks.measure(threads)
    rows = []
    for part in ORDER:
        for backward in (False, True):
            done, ms = work.get((part, backward), Work()), 1e3 * step_s * share.get((part, backward), 0.0)
            if done.bytes or ms:
                bound = 1e3 * peaks.bound_s(done)
                numbers = {"mflop": (done.flops + done.half_flops) / 1e6, "mb": done.bytes / 1e6, "ms": ms}
                per_pair = {name: value / case.pairs for name, value in {**numbers, "bound_ms": bound}.items()}
                rows.append({"part": part, "pass": "backward" if backward else "forward", **per_pair})
    return {"pairs_per_s": case.pairs / step_s, **asdict(peaks), "rows": rows}


def show(title: str, found: dict[str, Any]) -> None:
    """The table of one configuration."""
    print(f"\n{title}: {found['pairs_per_s']:.1f} pairs/s")
    print(
        f"products {found['float32_gflops']:.0f} GFLOP/s in float32, {found['bfloat16_gflops']:.0f} in bfloat16; "
        f"copy {found['copy_gbs']:.1f} GB/s"
    )
    print(f"{'per pair':34}{'Mflop':>10}{'MB':>9}{'ms':>9}{'of all':>8}{'bound':>9}{'reached':>9}")
    keys = "mflop", "mb", "ms", "bound_ms"
    total = {key: sum(row[key] for row in found["rows"]) for key in keys}
    for row in [*found["rows"], {"part": "all", "pass": "", **total}]:
        mflop, mb, ms, bound = (row[key] for key in keys)
        reached = f"{100 * bound / ms:7.0f} %" if ms else f"{'':9}"
        print(
            f"{row['part']:24}{row['pass']:10}{mflop:10.2f}{mb:9.2f}{ms:9.3f}{100 * ms / total['ms']:6.1f} %"
            f"{bound:9.3f}{reached}"
        )


def note(record: Record, case: str, found: dict[str, Any]) -> None:
    """Note what the step and each part of it takes, per pair."""
    record.speed(case, {key: value for key, value in found.items() if key.endswith(("_per_s", "_gflops", "_gbs"))})
    for row in found["rows"]:
        figures = {key: row[key] for key in ("mflop", "mb", "ms", "bound_ms")}
        figures |= {"reached_percent": 100 * row["bound_ms"] / row["ms"]} if row["ms"] else {}
        record.speed(f"{case}: {row['part']}, {row['pass']}", figures)


def main() -> None:
    """Print a table per configuration and one JSON line."""
    parser = options(__doc__)
    parser.add_argument("--configs", nargs="*", default=list(CONFIGS), choices=list(CONFIGS))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--repeats", type=int, default=5, help="Steps that are timed, and steps that are profiled.")
    parser.add_argument("--set", action="append", default=[], help="section.key=value, over the configuration.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record, results = Record(arguments), {}
    for name in arguments.configs:
        data = ["data.train=none", "data.video_features=[none]", "data.text_features=none", "train.device=cpu"]
        settings = [*data, f"train.precision={arguments.precision}", *arguments.set]
        config = load_config(config_path(name), settings)
        case = replace(CASES[CONFIGS[name]], pairs=config.train.batch_size)
        results[name] = measure(config, case, arguments.repeats, arguments.threads)
        model = f"width {config.model.width}, {config.model.n_blocks} blocks, {config.train.precision}"
        title = f"{name}: {case.pairs} pairs, {case.clips} clips x {case.n_video}, {case.tokens} tokens, {model}"
        show(title, results[name])
        results[name]["case"] = title
        note(record, f"{name}, {config.train.precision}", results[name])
    machine = {"torch": torch.__version__, "threads": arguments.threads, "cpu": platform.machine()}
    print(json.dumps({**machine, "set": arguments.set, "results": results}))
    record.keep()


if __name__ == "__main__":
    main()
