"""What stands around the scan, on a CPU in one run: neurons, attention over their spikes, causal convolution.

    OMP_PROC_BIND=true python benchmarks/bench_blocks.py
    OMP_PROC_BIND=true python benchmarks/bench_blocks.py --sizes 2,40,32,4,2 --rounds 2

Prints, per part, milliseconds of forward and of forward + backward (median of rounds in which all take turns), the
memory that both together add at its peak, and how many times faster the compiled kernels are; then one JSON line. The
alternatives are what people have: spikingjelly's multi-step neurons behind torch's BatchNorm, and a depthwise Conv1d.
"""

import json
import os
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from bench_scan import in_turns, peak_mb, ratios
from record import Record, options
from torch import Tensor

from spikemba.ops.batch_norm import BatchNorm, masked_moments
from spikemba.ops.causal_conv import causal_conv_silu_both
from spikemba.ops.native.library import ENVIRONMENT
from spikemba.ops.spiking import NeuronConfig, lif_spikes, spiking_attention, spiking_layer

NEURON = NeuronConfig()
TAPS = 4
KERNELS = "compiled kernels"

Run = Callable[[], Tensor]


def normed(x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor) -> BatchNorm:
    """The detector's norm, with x's own statistics."""
    mean, var, count = masked_moments(x.detach(), mask)
    return BatchNorm(weight, bias, mean, var, 1e-5, count)


def torch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """BatchNorm1d over everything but the channels."""
    return F.batch_norm(x.flatten(0, -2), None, None, weight, bias, training=True).view_as(x)


def native(allowed: bool, run: Run) -> Run:
    """The same with or without the compiled kernels."""

    def chosen() -> Tensor:
        os.environ[ENVIRONMENT] = "" if allowed else "0"
        return run()

    return chosen


def parts(
    pairs: int, positions: int, width: int, steps: int, heads: int
) -> dict[str, tuple[list[Tensor], dict[str, Run]]]:
    """Part -> its inputs, and way -> what gives its output."""
    g = torch.Generator().manual_seed(0)
    mask = torch.ones(pairs, positions, dtype=torch.bool)

    def leaves(*shapes: Sequence[int]) -> list[Tensor]:
        return [torch.randn(shape, generator=g).requires_grad_() for shape in shapes]

    layer = leaves((steps, pairs, positions, width), (width,), (width,))
    attention = leaves((pairs, positions, 3 * width), (3 * width,), (3 * width,))
    inner = 2 * width
    conv = leaves((pairs, positions, inner), *2 * [(inner, 1, TAPS), (inner,)])
    factor = torch.full((pairs,), 0.1)

    def our_layer() -> Tensor:
        return spiking_layer(layer[0], mask, NEURON, normed(*layer, mask)).trains

    def their_layer() -> Tensor:
        return lif_spikes(torch_norm(*layer), NEURON, backend="spikingjelly")

    def our_attention() -> Tensor:
        return spiking_attention(attention[0], mask, NEURON, normed(*attention, mask), steps, heads, factor)[0]

    def their_attention() -> Tensor:
        spikes = lif_spikes(torch_norm(*attention), NEURON, steps, backend="spikingjelly")
        q, k, v = (z.unflatten(-1, (heads, -1)).transpose(2, 3) for z in spikes.chunk(3, dim=-1))
        return (q @ (k.mT @ v)).transpose(2, 3).flatten(3) * factor[:, None, None]

    def our_conv() -> Tensor:
        return torch.stack(causal_conv_silu_both(conv[0], (conv[1], conv[2]), (conv[3], conv[4]), mask))

    def their_conv() -> Tensor:
        x = conv[0].mT
        ahead = F.conv1d(F.pad(x, (TAPS - 1, 0)), conv[1], conv[2], groups=inner)
        behind = F.conv1d(F.pad(x, (0, TAPS - 1)), conv[3].flip(2), conv[4], groups=inner)
        return torch.stack((F.silu(ahead).mT, F.silu(behind).mT))

    return {
        "neurons": (layer, ways(our_layer, {"spikingjelly": their_layer})),
        "attention over spikes": (attention, ways(our_attention, {"spikingjelly": their_attention})),
        "convolution, both directions": (conv, ways(our_conv, {"depthwise Conv1d": their_conv})),
    }


def ways(ours: Run, theirs: dict[str, Run]) -> dict[str, Run]:
    """Ours twice, and what people have."""
    return {KERNELS: native(True, ours), "ours in plain PyTorch": native(False, ours), **theirs}


def measure(inputs: list[Tensor], runs: dict[str, Run], rounds: int) -> dict[str, dict[str, float | None]]:
    """Way -> milliseconds and MB. The ways take turns, so what disturbs the machine disturbs them all."""

    def forward(run: Run) -> None:
        with torch.no_grad():
            run()

    def both(run: Run) -> None:
        out = run()
        torch.autograd.grad(out, inputs, torch.ones_like(out))

    expected = runs[KERNELS]().detach()
    for name, run in runs.items():
        different = ~torch.isclose(run().detach(), expected, rtol=1e-4, atol=1e-4)
        # a current at the threshold falls either way, and then its whole head differs
        assert different.float().mean() < 1e-3, f"{name} gives something else"
    peaks = {name: peak_mb(partial(both, run)) for name, run in runs.items()}
    calls = {(name, "forward_ms"): partial(forward, run) for name, run in runs.items()}
    calls |= {(name, "both_ms"): partial(both, run) for name, run in runs.items()}
    times = in_turns(calls, rounds)
    return {
        name: {"peak_mb": peaks[name], **{key: times[name, key] for key in ("forward_ms", "both_ms")}} for name in runs
    }


def show(part: str, rows: dict[str, dict[str, float | None]]) -> None:
    """One table, ratios as forward / forward + backward."""
    print(f"\n{part:30}{'forward':>10}{'+ backward':>12}{'peak MB':>9}{'compiled, times faster':>26}")
    best = rows[KERNELS]
    for name, row in rows.items():
        peak = "–" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        print(f"{name:30}{row['forward_ms']:>10.1f}{row['both_ms']:>12.1f}{peak:>9}{ratios(row, best):>26}", flush=True)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--sizes", default="32,107,256,8,8", help="pairs,positions,width,steps,heads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record, results = Record(arguments), {}
    for part, (inputs, runs) in parts(*map(int, arguments.sizes.split(","))).items():
        results[part] = measure(inputs, runs, arguments.rounds)
        show(part, results[part])
        for way, row in results[part].items():
            record.speed(f"{arguments.sizes} {part}: {way}", row)
    print(json.dumps({"torch": torch.__version__, "threads": arguments.threads, "results": results}))
    record.keep()


if __name__ == "__main__":
    main()
