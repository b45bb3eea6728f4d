"""Every backend of scan, convolution and neurons, forward and backward, held to the definition in float64."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import get_args

import torch
from torch import Tensor

from gpu.checking import HALVES, RTOL, Check, Checks, Figures, Wrong, error, held, need
from spikemba.ops.causal_conv import _shifted_sums, gated_sum
from spikemba.ops.cuda_kernels import causal_conv_cuda
from spikemba.ops.dual_scan import dual_scan, dual_scan_reference
from spikemba.ops.official_kernels import CONVOLUTION, SCAN
from spikemba.ops.selective_scan import BACKENDS, scan_block, selective_scan, selective_scan_reference
from spikemba.ops.spiking import NeuronConfig, SurrogateName, lif_spikes

SHAPES = ((1, 1, 1, 1), (3, 129, 65, 5), (2, 300, 96, 16), (2, 40, 32, 64))
"""Pairs, positions, channels, states: of one, odd, as here, and as Mamba-2 has."""
IN_AN_INTERPRETER = ((2, 37, 40, 5),)
NEURONS = [
    {"reset": reset, "detach_reset": detach, "decay_input": decay}
    for reset, detach, decay in product(("hard", "soft"), (False, True), (False, True))
]


def checks(device: torch.device) -> Checks:
    """All of them for a device; on a CPU Triton runs in its interpreter, and the GPU's own packages are skipped."""
    for backend, (name, dtype) in product(BACKENDS, HALVES.items()):
        if backend != "native" or device.type == "cpu":
            yield Check(f"scan: {backend}, {name}", lambda b=backend, t=dtype: scan(b, t, device))
    for name, dtype in HALVES.items():
        yield Check(f"scan with what stands around it, {name}", lambda t=dtype: block(t, device))
        yield Check(f"convolution: causal-conv1d, {name}", lambda t=dtype: convolution("official", t, device))
        yield Check(f"convolution: plain, {name}", lambda t=dtype: convolution("plain", t, device))
        yield Check(f"gate, {name}", lambda t=dtype: gate(t, device))
        yield Check(f"Mamba-2's scan, {name}", lambda t=dtype: dual(t, device))
    for backend, (name, dtype) in product(("spikingjelly", "fused"), HALVES.items()):
        yield Check(f"neurons: {backend}, {name}", lambda b=backend, t=dtype: neurons(b, t, device))


def scan(backend: str, dtype: torch.dtype, device: torch.device) -> Figures:
    """One backend, in both directions, on all shapes."""
    if backend == "mamba_ssm":
        need(SCAN)
    interpreted = backend == "triton" and device.type == "cpu"
    errors: dict[str, float] = {}
    for shape, reverse in product(IN_AN_INTERPRETER if interpreted else SHAPES, (False, True)):

        def right(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, reverse: bool = reverse) -> Tensor:
            if not reverse:
                return selective_scan_reference(x, delta, a, b, c)
            return selective_scan_reference(x.flip(1), delta.flip(1), a, b.flip(1), c.flip(1)).flip(1)

        def ours(*given: Tensor, reverse: bool = reverse) -> Tensor:
            return selective_scan(*given, reverse=reverse, backend=backend)

        names = "x", "delta", "a", "b", "c"
        keep_worst(errors, compared(ours, right, scan_inputs(*shape), dtype, device, names))
    return held(errors, RTOL[dtype])


def block(dtype: torch.dtype, device: torch.device) -> Figures:
    """`scan_block` with the backend that is chosen: softplus, mask and skip."""
    x, step, a, b, c = scan_inputs(3, 70, 65, 16)
    mask = torch.arange(70) < torch.tensor([[70], [33], [1]])
    given = [x, step - 1, a, b, c, torch.linspace(-1, 1, 65)]

    def run(*tensors: Tensor) -> Tensor:
        return scan_block(*tensors, mask.to(tensors[0].device), reverse=True)

    return held(compared(run, run, given, dtype, device, ("x", "step", "a", "b", "c", "skip")), RTOL[dtype])


def convolution(kind: str, dtype: torch.dtype, device: torch.device) -> Figures:
    """The official kernel or the plain one, with a mask, in both directions."""
    if kind == "official":
        need(CONVOLUTION)
    draw = torch.Generator().manual_seed(0)
    mask = torch.arange(70) < torch.tensor([[70], [33], [1]])
    errors: dict[str, float] = {}
    for taps, reverse in product((2, 4) if kind == "official" else (1, 4, 7), (False, True)):
        given = [torch.randn(shape, generator=draw) for shape in ((3, 70, 65), (65, 1, taps), (65,))]

        def plain(x: Tensor, weight: Tensor, bias: Tensor, reverse: bool = reverse) -> Tensor:
            return _shifted_sums(x, weight, bias, mask.to(x.device), reverse)

        def official(x: Tensor, weight: Tensor, bias: Tensor, reverse: bool = reverse) -> Tensor:
            return causal_conv_cuda(x, weight, bias, mask.to(x.device), reverse=reverse)

        ours = official if kind == "official" else plain
        keep_worst(errors, compared(ours, plain, given, dtype, device, ("x", "weight", "bias")))
    return held(errors, RTOL[dtype])


def gate(dtype: torch.dtype, device: torch.device) -> Figures:
    """What stands behind the scans."""
    draw = torch.Generator().manual_seed(0)
    given = [torch.randn(3, 70, 65, generator=draw) for _ in range(3)]
    return held(compared(gated_sum, gated_sum, given, dtype, device, ("first", "second", "gate")), RTOL[dtype])


def dual(dtype: torch.dtype, device: torch.device) -> Figures:
    """Chunked matrix products, held to the recurrence."""
    draw = torch.Generator().manual_seed(0)
    x, (b, c) = torch.randn(2, 75, 4, 8, generator=draw), torch.randn(2, 2, 75, 2, 16, generator=draw)
    delta, a = torch.rand(2, 75, 4, generator=draw), -2 * torch.rand(4, generator=draw)
    names = "x", "delta", "a", "b", "c"

    def right(*given: Tensor) -> Tensor:
        return dual_scan_reference(*given)[0]

    return held(compared(dual_scan, right, [x, delta, a, b, c], dtype, device, names), RTOL[dtype])


def neurons(backend: str, dtype: torch.dtype, device: torch.device) -> Figures:
    """Spikes and gradients of every neuron and surrogate; the currents are such that float32 rounds nothing."""
    draw = torch.Generator().manual_seed(0)
    current = torch.randint(-64, 128, (4, 3, 50), generator=draw) / 64
    errors: dict[str, float] = {}
    for settings, surrogate in product(NEURONS, get_args(SurrogateName)):
        neuron = NeuronConfig(surrogate=surrogate, **settings)

        def run(x: Tensor, neuron: NeuronConfig = neuron) -> Tensor:
            return lif_spikes(x, neuron, backend=backend if x.dtype != torch.float64 else "fused")

        found = compared(run, run, [current], dtype, device, ("current",))
        if found["y"]:
            raise Wrong(f"neurons with {settings} fire otherwise")
        keep_worst(errors, found)
    return held(errors, RTOL[dtype])


def scan_inputs(batch: int, length: int, width: int, states: int) -> list[Tensor]:
    """x, delta, a, b, c, drawn on the CPU."""
    draw = torch.Generator().manual_seed(0)
    x, delta = (make(batch, length, width, generator=draw) for make in (torch.randn, torch.rand))
    a, (b, c) = -4 * torch.rand(width, states, generator=draw), torch.randn(2, batch, length, states, generator=draw)
    return [x, delta, a, b, c]


def compared(
    ours: Callable[..., Tensor],
    right: Callable[..., Tensor],
    given: Sequence[Tensor],
    dtype: torch.dtype,
    device: torch.device,
    names: Sequence[str],
) -> dict[str, float]:
    """Errors of y and of every gradient: `ours` on the device, `right` on the CPU in float64, of what dtype holds."""
    rounded = [one.to(dtype) for one in given]
    mine = [one.detach().clone().to(device).requires_grad_() for one in rounded]
    theirs = [one.detach().double().requires_grad_() for one in rounded]
    y, expected = ours(*mine), right(*theirs)
    weights = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).reshape(expected.shape).to(dtype)
    y.backward(weights.to(device))
    expected.backward(weights.double())
    errors = {"y": error(y, expected)}
    for name, found, wanted in zip(names, mine, theirs, strict=True):
        errors[f"gradient of {name}"] = error(found.grad, wanted.grad)
    return errors


def keep_worst(errors: dict[str, float], more: dict[str, float]) -> None:
    """Into `errors` whatever is larger in `more`."""
    for name, value in more.items():
        errors[name] = max(errors.get(name, 0.0), value)
