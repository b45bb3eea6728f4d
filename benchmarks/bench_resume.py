"""What a training survives: kill -9 at random moments, resumed each time, against the same training left alone.

    python benchmarks/bench_resume.py data/shapes/config.yaml --kills 5 --set train.epochs=3

CONFIG is a configuration with its data, such as the one that `spikemba prepare shapes` writes. Prints one JSON line:
where each kill struck, whether the final weights are equal bit for bit, and what the broken training took longer.
"""

import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from record import Record, options
from safetensors.torch import load_file

from pipelines.runs.run_dir import RunDir
from pipelines.tasks.grounding.config import load_config

CODE = "from spikemba_cli.main import main; main()"


def command(config: Path, settings: list[str], out: Path) -> list[str]:
    """The command that trains, or goes on training, into `out`."""
    sets = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, "-c", CODE, "train", "--config", str(config), *sets, "--out", str(out), "--resume"]


def seconds(run: list[str]) -> float:
    """How long a command takes that must end well."""
    started = time.perf_counter()
    subprocess.run(run, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def kill_after(run: list[str], out: Path, delay_s: float) -> bool:
    """Start a command and kill it so long after its first state; False when it had ended before."""
    before = written(out)
    process = subprocess.Popen(run, stderr=subprocess.DEVNULL)
    try:
        while written(out) == before and process.poll() is None:
            time.sleep(0.01)
        process.wait(timeout=delay_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def written(out: Path) -> int:
    """When the state of a run was written, 0 for never."""
    path = out / "train_state.pt"
    return path.stat().st_mtime_ns if path.exists() else 0


def place(out: Path) -> str:
    """Epoch and step of the state that a run would go on from."""
    if not (out / "config.yaml").is_file():
        return "before the start"
    state = RunDir(out).load_state()
    return (
        f"epoch {state['progress']['epoch']}, step {state['progress']['step']}" if state else "before the first state"
    )


def same_weights(a: Path, b: Path) -> bool:
    """Whether two checkpoints are equal bit for bit."""
    x, y = (load_file(folder / "model.safetensors") for folder in (a, b))
    return x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)


def main() -> None:
    """Print one JSON line."""
    parser = options(__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    settings = ["train.save_every_min=0.05", *arguments.settings]  # a state every three seconds
    load_config(arguments.config, settings)  # its faults are better read here
    record = Record(arguments)
    draw, struck, alive = random.Random(arguments.seed), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        alone = seconds(command(arguments.config, settings, whole))
        for _ in range(arguments.kills):
            started = time.perf_counter()
            delay = draw.uniform(0, alone / (arguments.kills + 1))
            if not kill_after(command(arguments.config, settings, broken), broken, delay):
                break
            struck.append(place(broken))
            alive += time.perf_counter() - started
        alive += seconds(command(arguments.config, settings, broken))
        parts = ("best", "last")
        equal = all(same_weights(whole / part, broken / part) for part in parts)
        seen = [[row["loss"] for row in RunDir(run).rows()] for run in (whole, broken)]
    row = {
        "case": f"{len(struck)} kills at random moments, {arguments.config.parent.name}",
        "states": struck,
        "weights_equal": equal,
        "losses_equal": seen[0] == seen[1],
        "seconds_alone": round(alone, 1),
        "seconds_broken": round(alive, 1),
        "threads": os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads())),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps(row))
    record.quality(
        "kills at random moments", {"kills": len(struck), "weights_equal": equal, "losses_equal": row["losses_equal"]}
    )
    record.speed("kills at random moments", {"seconds_alone": alone, "seconds_broken": alive})
    record.keep()
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
