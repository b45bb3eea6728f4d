"""Ways to adapt a video encoder, in one harness: accuracy, trained parameters, seconds and memory, over three seeds.

    python benchmarks/bench_adaptation.py --backbone build/bench_motions/run_moves_spatio_temporal
                                                                              # `--small` for a check in two minutes

The backbone has learned the twelve single moves on dark stages. It is adapted to the eight orders of two moves on light
stages, from few videos. All methods train as many epochs with the same batches; each has its own learning rate, the
best of those given on the validation videos of seed 0. `scratch` trains the same network from random weights. Each
training runs in a process of its own, so that its peak memory is its own. One JSON line per training, then a table.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from record import Record, options

METHODS = ("scratch", "full", "linear", "prompts", "adapter", "ssp")
RATES = {
    "scratch": (1e-3, 3e-3),
    "full": (1e-3, 3e-4),
    "linear": (1e-2, 3e-3),
    "prompts": (1e-2, 3e-3),
    "adapter": (3e-3, 1e-3),
    "ssp": (3e-3, 1e-3),
}
# In the proportion to the network that the published sizes have to theirs.
NARROW = {"ssp": {"gathering_width": 64, "attention_width": 32, "n_heads": 4}, "adapter": {"inner_width": 16}}


def train_case(out: Path, backbone: Path, method: str, rate: float, seed: int, epochs: int) -> dict[str, object]:
    """Train one method from one seed, unless it is there; test its best epoch."""
    import torch

    from pipelines.runs.config import config_path
    from pipelines.runs.run_dir import RunDir
    from pipelines.tasks.recognition.config import RunConfig as RecognitionConfig
    from pipelines.tasks.recognition.evaluate import evaluate_run
    from pipelines.tasks.train import train
    from spikemba.config import load_yaml, merge
    from spikemba.model.video_mamba.checkpoint import load_video_checkpoint

    torch.set_num_threads(1)
    tree = merge(load_yaml(config_path("motions")), {"data": load_yaml(out / "orders" / "config.yaml")["data"]})
    sizes = load_video_checkpoint(backbone).config.model_dump(mode="json")
    adapted = {"weights": str(backbone), "adapt": {"method": method, **NARROW}}
    settings = {"epochs": epochs, "learning_rate": rate, "seed": seed}
    tree = merge(tree, {"model": sizes, "train": settings}, {} if method == "scratch" else adapted)
    run = out / f"{method}_{rate:g}_{seed}"
    train(RecognitionConfig.parse(tree), run, resume=True)
    rows = RunDir(run).rows()
    count = rows[0]["parameters"].removeprefix("all ").split()[0]
    return {
        **{"method": method, "rate": rate, "seed": seed, "trained": int(count.replace(",", ""))},
        "val": max(row["val"]["top1"] for row in rows),
        "test": evaluate_run(run, "test").brief["top1"],
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "peak_mb": max(row["peak_memory_mb"] for row in rows),
        "stored_kb": round((run / "best" / "model.safetensors").stat().st_size / 1024),
    }


def in_own_process(
    arguments: argparse.Namespace, method: str, rate: float, seed: int, epochs: int
) -> dict[str, object]:
    """One training; its line is printed."""
    case = ["--out", str(arguments.out), "--backbone", str(arguments.backbone), "--epochs", str(epochs)]
    command = [sys.executable, __file__, *case, "--case", method, str(rate), str(seed)]
    line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    print(line, flush=True)
    found: dict[str, object] = json.loads(line)
    return found


def show(rows: dict[str, list[dict[str, object]]], record: Record, n_train: int) -> None:
    """The table: mean and spread over the seeds."""
    print("\t".join(["method", "rate", "top1", "±", "trained", "seconds", "peak MB", "stored KB"]))
    for method, of_method in rows.items():
        tests = [float(row["test"]) for row in of_method]
        spread = statistics.stdev(tests) if len(tests) > 1 else 0.0
        seconds = statistics.mean(float(row["seconds"]) for row in of_method)
        peak = max(int(row["peak_mb"]) for row in of_method)
        first = of_method[0]
        cells = [
            method,
            f"{first['rate']:g}",
            f"{statistics.mean(tests):.1f}",
            f"{spread:.1f}",
            f"{first['trained']:,}",
        ]
        print("\t".join([*cells, f"{seconds:.0f}", str(peak), str(first["stored_kb"])]))
        case, mean = f"moves to orders, {n_train} videos a class: {method}", statistics.mean(tests)
        record.quality(case, {"top1": (mean, min(tests), max(tests)), "top1_sd": spread})
        record.speed(case, {"train_s": seconds, "peak_mb": peak, "trained_parameters": int(str(first["trained"]))})
        record.speed(case, {"stored_kb": int(str(first["stored_kb"]))})


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--backbone", type=Path, required=True, help="run or checkpoint trained on moves")
    parser.add_argument("--out", type=Path, default=Path("build/bench_adaptation"))
    parser.add_argument("--train", type=int, default=40, help="videos per class to adapt with")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rates", type=int, default=2, help="learning rates to try of each method's")
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--small", action="store_true", help="only check that everything runs")
    parser.add_argument("--case", nargs=3, metavar=("METHOD", "RATE", "SEED"), help="one training in this process")
    arguments = parser.parse_args()
    if arguments.case:
        method, rate, seed = arguments.case[0], float(arguments.case[1]), int(arguments.case[2])
        print(json.dumps(train_case(arguments.out, arguments.backbone, method, rate, seed, arguments.epochs)))
        return
    record = Record(arguments)
    from pipelines.preparation.motions_corpus import MotionsConfig
    from pipelines.preparation.prepare_videos import prepare_motions

    epochs, n_train, n_test = (1, 4, 4) if arguments.small else (arguments.epochs, arguments.train, 50)
    corpus = MotionsConfig(which="orders", look="light", train=n_train, val=10 if n_test == 50 else 2, test=n_test)
    prepare_motions(arguments.out / "orders", corpus)
    seeds: Sequence[int] = arguments.seeds[:1] if arguments.small else arguments.seeds
    rows: dict[str, list[dict[str, object]]] = {}
    for method in arguments.methods:
        first = [in_own_process(arguments, method, rate, seeds[0], epochs) for rate in RATES[method][: arguments.rates]]
        best = max(first, key=lambda row: float(row["val"]))
        others = [in_own_process(arguments, method, float(best["rate"]), seed, epochs) for seed in seeds[1:]]
        rows[method] = [best, *others]
    show(rows, record, n_train)
    record.keep()


if __name__ == "__main__":
    main()
