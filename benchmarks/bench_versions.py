"""Two checkouts in one run: a training step and an answer of the network on each, in turns, and their ratio.

    python benchmarks/bench_versions.py BEFORE AFTER              # folders of two checkouts
    python benchmarks/bench_versions.py BEFORE AFTER --rounds 5 --threads 1

A process of each checkout stands ready; the two take turns, so what disturbs the machine disturbs both. Counted is the
time of the processor, which other programs on it hardly touch. Cases: a training step of `configs/shapes.yaml`, the
smallest that is trained, on one pair and on 32; an answer at 75 clips of the benchmarks' network and of `shapes`.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from record import Record, options

WORKER = """
import sys, time
import torch
torch.set_num_threads(int(sys.argv[1]))
sys.path[:0] = [sys.argv[2] + "/benchmarks", sys.argv[2] + "/tests/benchmarks"]  # or where they lay before
import spikemba
assert spikemba.__file__.startswith(sys.argv[2] + "/spikemba"), spikemba.__file__
from dataclasses import replace
import bench_model as bench
from spikemba.batch import Batch
from spikemba.model import SpikeMba, SpikeMbaConfig

def answer(case):
    case = replace(case, pairs=1, clips=75)
    model = SpikeMba(SpikeMbaConfig.parse(case.model), case.n_video, case.n_query).eval()
    batch = bench.batch_of(case)
    batch = Batch(batch.video, batch.video_mask, batch.query_tokens, batch.query_mask)
    @torch.inference_mode()
    def run():
        model(batch)
    return run

def step(pairs):
    case = replace(bench.CASES["shapes"], pairs=pairs)
    model = SpikeMba(SpikeMbaConfig.parse(case.model), case.n_video, case.n_query)
    return bench.training_step(model, bench.batch_of(case), False)

runs = {
    "a training step of shapes, 1 pair": (step(1), 10),
    "a training step of shapes, 32 pairs": (step(32), 2),
    "an answer of shapes, 75 clips": (answer(bench.CASES["shapes"]), 20),
    "an answer of the benchmarks' network, 75 clips": (answer(bench.CASES["benchmark"]), 5),
}
for line in sys.stdin:
    run, count = runs[line.strip()]
    run()
    start = time.process_time()
    for _ in range(count):
        run()
    print(1e3 * (time.process_time() - start) / count, flush=True)
"""
CASES = [line.split('"')[1] for line in WORKER.splitlines() if line.startswith('    "')]


class Version:
    """A process of one checkout that runs what it is told."""

    def __init__(self, checkout: Path, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(threads), str(checkout)],
            env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)},
            cwd=checkout,  # it comes before everything else on the path
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def milliseconds(self, case: str) -> float:
        """Of one run of a case, the mean of a few."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(case, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", nargs="*", default=CASES)
    arguments = parser.parse_args()
    record = Record(arguments)
    versions = [Version(folder.resolve(), arguments.threads) for folder in (arguments.before, arguments.after)]
    results: dict[str, Any] = {}
    for case in arguments.cases:
        times = [[version.milliseconds(case) for version in versions] for _ in range(arguments.rounds)]
        before, after = (statistics.median(column) for column in zip(*times, strict=True))
        speeds = [b / a for b, a in times]
        speed = statistics.median(speeds)
        record.speed(case, {"before_ms": before, "after_ms": after, "times_as_fast": speeds})
        results[case] = {"before_ms": before, "after_ms": after, "speed": speed}
        print(f"{case:50}{before:9.2f} ms before{after:9.2f} ms after   speed {speed:.3f} of before", flush=True)
    print(json.dumps({"threads": arguments.threads, "rounds": arguments.rounds, "results": results}))
    record.keep()


if __name__ == "__main__":
    main()
