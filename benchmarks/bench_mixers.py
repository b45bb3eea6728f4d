"""Whole mixers on a CPU in one run: the selective scan's beside Mamba-2's and Hydra's, forward and backward.

    OMP_PROC_BIND=true python benchmarks/bench_mixers.py
    OMP_PROC_BIND=true python benchmarks/bench_mixers.py --sizes 2,20,32 --rounds 2

Prints, per mixer, parameters, milliseconds of forward and of forward + backward (median of rounds in which all take
turns), times the scan's of the same directions, the memory that both add at its peak, and how far output and gradients
are from the same mixer in float64, as a share of the largest number; then one JSON line.
"""

import argparse
import copy
import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from bench_scan import in_turns, peak_mb
from record import Record, options
from torch import Tensor, nn

from spikemba.model.mamba_block import MixerConfig
from spikemba.model.mixers import make_mixer

MIXERS = {
    "scan, both": {},
    "mamba2, both": {"kind": "mamba2"},
    "hydra": {"kind": "hydra"},
    "scan, forward": {"directions": "forward"},
    "mamba2, forward": {"kind": "mamba2", "directions": "forward"},
}
BESIDE = {"mamba2, both": "scan, both", "hydra": "scan, both", "mamba2, forward": "scan, forward"}


def mixer_of(width: int, settings: dict[str, Any], states: int | None) -> nn.Module:
    """A new one. states: N of those that are not the scan's; None: as they are published."""
    sizes = {"state_size": states} if states and "kind" in settings else {}
    torch.manual_seed(0)
    return make_mixer(width, MixerConfig.parse({**settings, **sizes}))


def gradients(mixer: nn.Module, x: Tensor, mask: Tensor, weight: Tensor) -> list[Tensor]:
    """The output, then the gradients of x and of every parameter."""
    x = x.detach().requires_grad_()
    out = mixer(x, mask)
    return [out, *torch.autograd.grad((out * weight).sum(), (x, *mixer.parameters()))]


def error(mixer: nn.Module, x: Tensor, mask: Tensor, weight: Tensor) -> float:
    """The largest share by which output or a gradient misses that in float64."""
    exact = gradients(copy.deepcopy(mixer).double(), x.double(), mask, weight.double())
    found = gradients(mixer, x, mask, weight)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, exact, strict=True))


def forward(mixer: nn.Module, x: Tensor, mask: Tensor) -> None:
    """Without gradients."""
    with torch.no_grad():
        mixer(x, mask)


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Mixer -> its numbers."""
    pairs, clips, width = map(int, arguments.sizes.split(","))
    g = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, pairs, clips, width, generator=g)
    mask = torch.arange(clips) < torch.linspace(clips, 1 + clips // 2, pairs)[:, None]  # videos of several lengths
    mixers = {name: mixer_of(width, settings, arguments.states) for name, settings in MIXERS.items()}
    rows: dict[str, dict[str, Any]] = {}
    runs: dict[tuple[str, str], Callable[[], object]] = {}
    for name, mixer in mixers.items():
        both = partial(gradients, mixer, x, mask, weight)
        rows[name] = {
            "parameters": sum(parameter.numel() for parameter in mixer.parameters()),
            "largest_error": error(mixer, x, mask, weight),
            "peak_mb": peak_mb(both),
        }
        runs[name, "forward_ms"], runs[name, "both_ms"] = partial(forward, mixer, x, mask), both
    for (name, key), took in in_turns(runs, arguments.rounds).items():
        rows[name][key] = took
    for name, other in BESIDE.items():
        rows[name]["times_the_scan"] = rows[name]["both_ms"] / rows[other]["both_ms"]
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--sizes", default="32,75,256", help="pairs, clips, width")
    parser.add_argument("--states", type=int, help="N of Mamba-2 and Hydra, 64 by default; the scan has 16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record, rows = Record(arguments), measure(arguments)
    titles = ("parameters", "forward ms", "+ backward", "x the scan", "peak MB", "error")
    print(f"{'':18}", *(f"{title:>11}" for title in titles))
    for name, row in rows.items():
        ratio, peak = (f"{row[key]:.2f}" if row.get(key) else "–" for key in ("times_the_scan", "peak_mb"))
        times = (f"{row[key]:>11.1f}" for key in ("forward_ms", "both_ms"))
        print(f"{name:18} {row['parameters']:>11,}", *times, f"{ratio:>11} {peak:>11} {row['largest_error']:>11.1e}")
        case = f"({arguments.sizes}) {name}"
        record.speed(case, {key: row.get(key) for key in ("forward_ms", "both_ms", "times_the_scan", "peak_mb")})
        record.quality(case, {key: row[key] for key in ("parameters", "largest_error")})
    machine = {"torch": torch.__version__, "threads": arguments.threads, "processors": os.cpu_count()}
    print(json.dumps({"machine": machine, "sizes": arguments.sizes, "results": rows}))
    record.keep()


if __name__ == "__main__":
    main()
