"""Selective scans on a CPU in one run: the official reference, what can be installed, and our tiers.

    OMP_PROC_BIND=true python benchmarks/bench_scan.py                 # pip install mambapy for its row
    OMP_PROC_BIND=true python benchmarks/bench_scan.py --shapes 2,64,40,8 --rounds 2

Prints, per shape, milliseconds of forward and of forward + backward (median of rounds in which all take turns), the
memory that both together add at its peak, and ratios; then one JSON line. The floor is the scan's exponentials alone,
by the kernels' own polynomial. Every candidate's output is compared with the float64 recurrence before it is timed.
"""

import ctypes
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from record import Record, options
from torch import Tensor

from pipelines.training.device_memory import rising
from spikemba.ops.native import build, compilers, library
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference

SHAPES = ("32,512,75,16", "8,512,1000,16", "1,512,8192,16", "1,1536,1569,16")
TIERS = ("plain PyTorch", "compiled kernels")
INDEXING = ("official reference loop", "transformers slow path")
LOOP_BACKWARD_MAX = 100
"""Positions up to which loops that index are also differentiated; its cost grows with the square of them."""

TURN_S = 1.0
"""How long a candidate may repeat itself in its turn: short ones should not pay for what others did to memory."""

FLOOR = """
#include "vector.h"
EXPORT float exponentials(const float *x, int64_t n, int threads) {
    float total = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total)
    for (int64_t i = 0; i < n / (4 * LANES); i++) {
        vec z[4];
        for (int j = 0; j < 4; j++) z[j] = load(x + (4 * i * LANES) % 4096 + j * LANES);
        exp2_group(z, 4);
        total += (z[0] + z[1] + z[2] + z[3])[0];
    }
    return total;
}
"""

Key = TypeVar("Key")
Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
Steps = Callable[[Tensor, Tensor, Tensor], Iterable[tuple[Tensor, Tensor, Tensor]]]


def official_loop(steps: Steps, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """As the official selective_scan_ref computes: all of size (B, E, L, N) first, then a loop over positions."""
    x, delta, b, c = (tensor.transpose(1, 2) for tensor in (x, delta, b, c))
    decay = torch.exp(torch.einsum("bel,en->beln", delta, a))
    drive = torch.einsum("bel,bnl,bel->beln", delta, b, x)
    state, ys = x.new_zeros(*decay.shape[:2], a.shape[1]), []
    for decay_t, drive_t, c_t in steps(decay, drive, c):
        state = decay_t * state + drive_t
        ys.append(torch.einsum("ben,bn->be", state, c_t))
    return torch.stack(ys, dim=2).transpose(1, 2)


def indexing(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Its own way to the positions; the backward pass writes a full gradient for every one of them."""
    return (tuple(tensor[:, :, t] for tensor in tensors) for t in range(tensors[0].shape[2]))


def unbinding(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """All positions at once."""
    return zip(*(tensor.unbind(2) for tensor in tensors), strict=True)


def mambapy_scan() -> Scan | None:
    """mambapy's parallel scan, if it is installed."""
    try:
        from mambapy.pscan import pscan
    except ImportError:
        return None

    def scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        states = pscan(torch.exp(delta[..., None] * a), (delta * x)[..., None] * b[:, :, None])
        return (states @ c[..., None]).squeeze(3)

    return scan


def transformers_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """What transformers' Mamba runs without a GPU."""
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    return mamba_selective_scan(*(t.transpose(1, 2) for t in (x, delta)), a, b.transpose(1, 2), c.transpose(1, 2)).mT


def candidates() -> dict[str, Scan | None]:
    """Name -> scan, slowest kind first; None for what is not installed."""
    return {
        "official reference loop": partial(official_loop, indexing),
        "the same with unbind": partial(official_loop, unbinding),
        "our reference": selective_scan_reference,
        "mambapy pscan": mambapy_scan(),
        "transformers slow path": transformers_scan,
        "plain PyTorch": lambda *tensors: selective_scan(*tensors, backend="chunked"),
        "compiled kernels": (lambda *tensors: selective_scan(*tensors, backend="native")) if library.native() else None,
    }


def inputs(batch: int, width: int, length: int, n: int) -> list[Tensor]:
    """x, delta, a, b, c as a Mamba block gives them."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, length, width, generator=g)
    delta = torch.rand(batch, length, width, generator=g) * 0.1
    a = -torch.arange(1, n + 1, dtype=torch.float32).repeat(width, 1)
    b, c = torch.randn(2, batch, length, n, generator=g)
    return [tensor.requires_grad_() for tensor in (x, delta, a, b, c)]


def milliseconds(run: Callable[[], object]) -> float:
    """Wall time of a call: the median of as many as TURN_S has room for, at least one."""
    times: list[float] = []
    while sum(times) < 1e3 * TURN_S:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def peak_mb(run: Callable[[], object]) -> float | None:
    """How far the process's memory rises above where it stands, in MB; None where the system does not say."""
    with rising(torch.device("cpu")) as rise:
        run()
    return None if rise.bytes is None else rise.bytes / 2**20


def exponentials() -> Callable[[int], None] | None:
    """A function that takes that many exponentials from the first-level cache; None without a compiler."""
    if library.native() is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "floor.c", Path(folder) / "floor.so"
        source.write_text(FLOOR)
        compiler = build._compiler()
        best = compilers.plans(sys.platform, compiler, build.openmp_runtime())[0]
        more = [f"-I{build.SOURCES}"]
        subprocess.run(compilers.command(sys.platform, compiler, best, str(source), str(out), more), check=True)
        function = ctypes.CDLL(str(out)).exponentials
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int], ctypes.c_float
    x = -torch.rand(8192)
    return lambda count: function(x.data_ptr(), count, torch.get_num_threads())


def measure(shape: tuple[int, int, int, int], rounds: int) -> dict[str, Any]:
    """The table of one shape. The candidates take turns, so what disturbs the machine disturbs them all."""
    tensors = inputs(*shape)
    exact = selective_scan_reference(*(tensor.detach().double() for tensor in tensors))
    scans = {name: scan for name, scan in candidates().items() if scan is not None}
    differentiated = [name for name in scans if name not in INDEXING or shape[2] <= LOOP_BACKWARD_MAX]
    floor = exponentials()

    def forward(name: str) -> Tensor:
        with torch.no_grad():
            return scans[name](*tensors)

    def both(name: str) -> None:
        for tensor in tensors:
            tensor.grad = None
        scans[name](*tensors).sum().backward()

    rows: dict[str, Any] = {}
    for name in scans:  # and this warms them up
        error = ((forward(name) - exact).abs().max() / exact.abs().max()).item()
        peak = peak_mb(partial(both, name)) if name in differentiated else None
        rows[name] = {"error": error, "peak_mb": peak}
    runs: dict[tuple[str, str], Callable[[], object]] = {}
    if floor:
        runs["floor", "forward_ms"] = partial(floor, math.prod(shape))
    for name in scans:
        runs[name, "forward_ms"] = partial(forward, name)
        if name in differentiated:
            runs[name, "both_ms"] = partial(both, name)
    times = in_turns(runs, rounds, once={(name, "both_ms") for name in INDEXING})
    for name, row in rows.items():
        row.update({key: times.get((name, key)) for key in ("forward_ms", "both_ms")})
    return {"shape": shape, "floor_ms": times.get(("floor", "forward_ms")), "rows": rows}


def in_turns(runs: Mapping[Key, Callable[[], object]], rounds: int, once: Collection[Key] = ()) -> dict[Key, float]:
    """Milliseconds of each, the median of rounds in which all take turns. once: what the first round has alone."""
    times: dict[Key, list[float]] = {key: [] for key in runs}
    for turn in range(rounds):
        for key, run in runs.items():
            if turn == 0 or key not in once:
                times[key].append(milliseconds(run))
    return {key: statistics.median(taken) for key, taken in times.items()}


def show(result: dict[str, Any]) -> None:
    """One table: times, memory, errors, and how many times faster each tier is, forward / forward + backward."""
    rows, floor = result["rows"], result["floor_ms"]
    tiers = [name for name in TIERS if name in rows]
    print(f"\n(B, E, L, N) = {result['shape']}; exponentials alone {floor or float('nan'):.1f} ms")
    columns = [f"{'x ' + tier:>18}" for tier in tiers]
    print(f"{'':26}{'forward':>10}{'+ backward':>12}{'peak MB':>9}{'error':>10}", *columns)
    for name, row in rows.items():
        both, peak = (f"{row[key]:.1f}" if row[key] is not None else "–" for key in ("both_ms", "peak_mb"))
        times = [f"{'' if name in tiers else ratios(row, rows[tier]):>18}" for tier in tiers]
        print(f"{name:26}{row['forward_ms']:>10.1f}{both:>12}{peak:>9}{row['error']:>10.1e}", *times)
    for name in candidates().keys() - rows.keys():
        print(f"{name}: not installed")
    for tier in tiers if floor else ():
        print(f"{tier}: {rows[tier]['forward_ms'] / floor:.1f} times the exponentials alone", flush=True)


def ratios(row: dict[str, Any], tier: dict[str, Any]) -> str:
    """How many times faster a tier is, forward / forward + backward."""
    both = f"{row['both_ms'] / tier['both_ms']:.1f}" if row["both_ms"] else "–"
    return f"{row['forward_ms'] / tier['forward_ms']:.1f} / {both}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--shapes", nargs="*", default=SHAPES, help="B,E,L,N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record, results = Record(arguments), []
    for text in arguments.shapes:
        batch, width, length, n = map(int, text.split(","))
        results.append(measure((batch, width, length, n), arguments.rounds))
        show(results[-1])
        record.speed(f"({text}) exponentials alone", {"forward_ms": results[-1]["floor_ms"]})
        for name, row in results[-1]["rows"].items():
            record.speed(f"({text}) {name}", {key: row[key] for key in ("forward_ms", "both_ms", "peak_mb")})
            record.quality(f"({text}) {name}", {"largest_error": row["error"]})
    machine = {"torch": torch.__version__, "threads": arguments.threads, "processors": os.cpu_count()}
    print(json.dumps({"machine": {**machine, "cpu": platform.processor() or platform.machine()}, "results": results}))
    record.keep()


if __name__ == "__main__":
    main()
