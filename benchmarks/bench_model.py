"""The whole network on a CPU: samples per second of a training step and milliseconds of one answer.

    OMP_PROC_BIND=true python benchmarks/bench_model.py
    OMP_PROC_BIND=true python benchmarks/bench_model.py --cases shapes --repeats 2

Each case is run on the compiled kernels and, in the same process, in plain PyTorch. A training step is forward, loss,
backward, clipping and AdamW; with negatives it has a second forward, as with `loss.negative_pair`. Where the time goes
and how much of it the processor could spare: bench_roofline.py.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from record import Record, options

from pipelines.runs.config import config_path
from pipelines.tasks.grounding.config import load_config
from spikemba.batch import Batch, Targets
from spikemba.losses import LossConfig, grounding_loss
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.ops.native.library import ENVIRONMENT


@dataclass(frozen=True)
class Case:
    """A network and a batch."""

    model: dict[str, Any]
    pairs: int
    clips: int
    tokens: int
    n_video: int
    n_query: int


CASES = {
    "shapes": Case(load_config(config_path("shapes")).model.model_dump(), 32, 60, 12, 192, 192),
    "benchmark": Case({}, 32, 75, 32, 2816, 512),
    "long": Case({}, 1, 1800, 32, 2816, 512),
}


def batch_of(case: Case) -> Batch:
    """Random pairs without padding."""
    torch.manual_seed(0)
    foreground = torch.zeros(case.pairs, case.clips, dtype=torch.bool)
    foreground[:, case.clips // 3 : case.clips // 2] = True
    one, pairs = torch.ones(case.pairs, dtype=torch.bool), torch.arange(case.pairs)
    boundaries = torch.rand(case.pairs, case.clips, 2).sort(-1).values
    targets = Targets(foreground, boundaries, foreground.float(), one, pairs, pairs, 1)
    video, query = torch.randn(case.pairs, case.clips, case.n_video), torch.randn(case.pairs, case.tokens, case.n_query)
    masks = torch.ones(case.pairs, case.clips, dtype=torch.bool), torch.ones(case.pairs, case.tokens, dtype=torch.bool)
    return Batch(video, masks[0], query, masks[1], targets)


def under_other_queries(batch: Batch) -> Batch:
    """The same videos, each under the query of the pair before it."""
    return replace(batch, query_tokens=batch.query_tokens.roll(1, 0), query_mask=batch.query_mask.roll(1, 0))


def training_step(model: SpikeMba, batch: Batch, negatives: bool) -> Callable[[], None]:
    """A function that does one step."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    loss_config = LossConfig(negative_pair=float(negatives))

    def step() -> None:
        negative = model(under_other_queries(batch)) if negatives else None
        loss, _ = grounding_loss(model(batch), batch, loss_config, negative)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()

    return step


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median of the wall times after two warm-ups."""
    times = []
    for i in range(repeats + 2):
        start = time.perf_counter()
        run()
        if i >= 2:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Both ways of one case."""
    model, batch = SpikeMba(SpikeMbaConfig.parse(case.model), case.n_video, case.n_query), batch_of(case)
    one = Batch(batch.video[:1], batch.video_mask[:1], batch.query_tokens[:1], batch.query_mask[:1])
    result: dict[str, Any] = {"parameters_m": sum(p.numel() for p in model.parameters()) / 1e6}

    @torch.inference_mode()
    def answer() -> None:
        model(one)

    for name, native in {"kernels": "", "plain PyTorch": "0"}.items():
        os.environ[ENVIRONMENT] = native
        model.train()
        row: dict[str, Any] = {}
        if case.pairs > 1:
            for key, negatives in {"train": False, "train with negatives": True}.items():
                row[key] = case.pairs / seconds(training_step(model, batch, negatives), repeats)
        model.eval()
        row["answer_ms"] = 1e3 * seconds(answer, 3 * repeats)
        result[name] = row
    return result


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record, results = Record(arguments), {}
    for name in arguments.cases:
        found = results[name] = measure(CASES[name], arguments.repeats)
        print(f"\n{name}: {CASES[name].pairs} pairs, {CASES[name].clips} clips, {found['parameters_m']:.1f} M")
        for way in ("kernels", "plain PyTorch"):
            row = found[way]
            rates = [f"{key} {row[key]:.1f}/s" for key in ("train", "train with negatives") if key in row]
            keys = {"train": "train_pairs_per_s", "train with negatives": "train_with_negatives_pairs_per_s"}
            record.speed(f"{name}: {way}", {keys.get(key, key): value for key, value in row.items()})
            print(f"  {way:14}", *rates, f"one answer {row['answer_ms']:.1f} ms", sep="  ")
    print(json.dumps({"torch": torch.__version__, "threads": arguments.threads, "results": results}))
    record.keep()


if __name__ == "__main__":
    main()
