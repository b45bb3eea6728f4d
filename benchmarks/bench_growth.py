"""How time and memory of one inference grow with the length of the video, beside attention in place of the scan.

    OMP_NUM_THREADS=1 python benchmarks/bench_growth.py
    OMP_NUM_THREADS=1 python benchmarks/bench_growth.py --mixers scan --set n_blocks=6

The default network at the widths of the benchmarks: clips of 2816 features and two, 32 tokens of 512. Each length runs
in a process of its own. Memory is what its peak in one inference stands above the loaded model and its input, by the
kernel's account of resident memory; an inference of eight clips before it has loaded what is loaded once, and what the
allocator held free is given back. `ms` is the median of the inferences after that one, `cpu_ms` their processor time,
which does not count what other work takes. A line of JSON per case, then the ratios from each length to the next and
from 75 to 4,800 clips.
"""

import contextlib
import ctypes
import json
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from record import Record, options

LENGTHS = {"scan": (75, 300, 1200, 4800, 18_000), "attention": (75, 300, 1200, 4800)}
MIXERS = {"scan": {}, "attention": {"kind": "attention", "n_heads": 8}}
FIRST, LAST = 75, 4800


def resident_mib(row: str) -> float:
    """VmRSS or VmHWM of this process. Not getrusage, whose maximum begins with that of the parent."""
    return int(Path("/proc/self/status").read_text().split(f"{row}:")[1].split()[0]) / 1024


def begin_peak() -> None:
    """Let the peak begin anew, without memory that is free already, where the system can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def measure(mixer: str, n_clips: int, repeats: int, settings: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of an inference, by the clock and of a processor, and MiB of its peak above the loaded model."""
    import torch

    from spikemba.batch import Batch, pad
    from spikemba.model import SpikeMba, SpikeMbaConfig

    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse({"mixer": MIXERS[mixer], **settings}), 2816, 512).eval()
    batch = Batch(*pad([torch.randn(n_clips, 2816).numpy()]), *pad([torch.randn(32, 512).numpy()]))
    with torch.inference_mode():
        model(Batch(*pad([torch.randn(8, 2816).numpy()]), *pad([torch.randn(32, 512).numpy()])))
        begin_peak()
        loaded = resident_mib("VmRSS")
        model(batch)
        peak = resident_mib("VmHWM")
        seconds, processor = [], []
        for _ in range(repeats):
            started, processor_started = time.perf_counter(), time.process_time()
            model(batch)
            seconds.append(time.perf_counter() - started)
            processor.append(time.process_time() - processor_started)
    ms, cpu_ms = (round(1e3 * statistics.median(one), 1) for one in (seconds, processor))
    return {"ms": ms, "cpu_ms": cpu_ms, "mib": round(peak - loaded, 1)}


def growth(rows: list[dict[str, Any]]) -> None:
    """Print how many times longer, slower and larger each case is than the one before it."""
    one, other = ([row for row in rows if row["clips"] == n] for n in (FIRST, LAST))
    for before, after in [*pairwise(rows), *zip(one, other, strict=False)]:
        length, ms, mib = (after[key] / before[key] for key in ("clips", "cpu_ms", "mib"))
        steps = f"{after['mixer']:10}{before['clips']:6} -> {after['clips']:6} clips"
        print(f"{steps}: {length:5.1f} x as long, {ms:5.1f} x the processor time, {mib:5.1f} x the memory")


def main() -> None:
    """Print a line of JSON per case, and the ratios."""
    parser = options(__doc__)
    parser.add_argument("--case", nargs=2, metavar=("MIXER", "CLIPS"), help="measure one case in this process")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mixers", nargs="*", default=list(MIXERS), choices=list(MIXERS))
    parser.add_argument("--set", action="append", default=[], help="key=value of the network, a JSON value")
    arguments = parser.parse_args()
    if arguments.case:
        mixer, n_clips = arguments.case[0], int(arguments.case[1])
        settings = {key: json.loads(value) for key, value in (one.split("=", 1) for one in arguments.set)}
        found = measure(mixer, n_clips, arguments.repeats, settings)
        print(json.dumps({"mixer": mixer, "clips": n_clips, **found}))
        return
    record = Record(arguments)
    same = ["--repeats", str(arguments.repeats), *(f"--set={one}" for one in arguments.set)]
    for mixer in arguments.mixers:
        rows = []
        for n_clips in LENGTHS[mixer]:
            case = [sys.executable, __file__, "--case", mixer, str(n_clips), *same]
            line = subprocess.run(case, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            print(line, flush=True)
            rows.append(json.loads(line))
            changed = "".join(f", {one}" for one in arguments.set)
            record.speed(f"{mixer}, {n_clips} clips{changed}", {key: rows[-1][key] for key in ("ms", "cpu_ms", "mib")})
        growth(rows)
    record.keep()


if __name__ == "__main__":
    main()
