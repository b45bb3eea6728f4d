"""Arrays of more than 2^31 numbers, whose places 32 bits do not count."""

import torch

from gpu.checking import RTOL, Check, Checks, Figures, Skipped, error, held, need
from gpu.kernels import scan_inputs
from spikemba.ops.official_kernels import SCAN
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference

PAIRS, POSITIONS, CHANNELS, STATES = 2**16, 513, 64, 16
NEEDED_GB = 80


def checks(device: torch.device) -> Checks:
    """The scans that run on a GPU alone."""
    for backend in ("mamba_ssm", "triton"):
        yield Check(f"scan beyond 2^31 numbers: {backend}", lambda b=backend: scan(b, device))


def scan(backend: str, device: torch.device) -> Figures:
    """The first and the last pair of an array that large are right, forward and backward."""
    if device.type != "cuda":
        raise Skipped("it takes a GPU; tests/unit/ops/test_gpu_scans.py has such an array in Triton's interpreter")
    if backend == "mamba_ssm":
        need(SCAN)
    free = torch.cuda.mem_get_info(device)[0] / 1e9
    if free < NEEDED_GB:
        raise Skipped(f"{free:.0f} GB of the GPU are free; it takes {NEEDED_GB}")
    given = scan_inputs(2, POSITIONS, CHANNELS, STATES)
    ends = torch.tensor([0, PAIRS - 1], device=device)
    large = [make(one, device, ends) for one in given]
    y = selective_scan(*large, backend=backend)
    y.backward(torch.ones(1, device=device).expand_as(y))
    right = [one.double().requires_grad_() for one in given]
    expected = selective_scan_reference(*right)
    expected.sum().backward()
    errors = {"y": error(y[ends], expected)}
    for name, i in {"x": 0, "delta": 1, "b": 3, "c": 4}.items():
        errors[f"gradient of {name}"] = error(large[i].grad[ends], right[i].grad)
    torch.cuda.empty_cache()
    return held(errors, RTOL[torch.float32])


def make(small: torch.Tensor, device: torch.device, ends: torch.Tensor) -> torch.Tensor:
    """Zeros of PAIRS pairs with two pairs at the ends; what has no pairs as it is."""
    if small.dim() == 2:
        return small.to(device).requires_grad_()
    large = torch.zeros(PAIRS, *small.shape[1:], device=device)
    large[ends] = small.to(device)
    return large.requires_grad_()
