"""The scans for GPUs, as far as a CPU can show: Triton's interpreter, and the official kernels' arguments."""

import os
import subprocess
import sys

import pytest
import torch

from spikemba.errors import LibraryBroken, PackageMissing
from spikemba.ops import cuda_kernels, selective_scan_fn
from spikemba.ops.causal_conv import causal_conv_silu
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference

IN_THE_INTERPRETER = """
import torch
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference
for shape in [(1, 1, 1, 1), (2, 37, 40, 5), (1, 16, 3, 16)]:
    batch, length, width, n = shape
    g = torch.Generator().manual_seed(0)
    x, delta = torch.randn(batch, length, width, generator=g), torch.rand(batch, length, width, generator=g)
    a, (b, c) = -4 * torch.rand(width, n, generator=g), torch.randn(2, batch, length, n, generator=g)
    ours, theirs = ([t.clone().requires_grad_() for t in (x, delta, a, b, c)] for _ in range(2))
    y, expected = selective_scan(*ours, backend="triton"), selective_scan_reference(*theirs)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    y.sin().sum().backward()
    expected.sin().sum().backward()
    for mine, right in zip(ours, theirs):
        torch.testing.assert_close(mine.grad, right.grad, rtol=1e-4, atol=1e-4)
print("equal")
"""


BEYOND_32_BITS = """
import torch
from spikemba.ops import triton_scan
from spikemba.ops.selective_scan import selective_scan_reference
LENGTH, WIDTH, USED, BLOCK, CHUNK = 9, 2**28, 32, triton_scan.BLOCK, triton_scan.CHUNK  # row 8 begins at number 2^31
g = torch.Generator().manual_seed(0)
x, delta = torch.randn(1, LENGTH, USED, generator=g), torch.rand(1, LENGTH, USED, generator=g)
a, (b, c) = -torch.rand(USED, 1, generator=g), torch.randn(2, 1, LENGTH, 1, generator=g)
inputs = [tensor.requires_grad_() for tensor in (x, delta, a, b, c)]
expected = selective_scan_reference(*inputs)
expected.sum().backward()
try:
    wide = [torch.empty(1, LENGTH, WIDTH) for _ in range(6)]  # pages that nobody writes take no memory
except RuntimeError:
    print("no room")
    raise SystemExit
with torch.no_grad():
    far_x, far_delta, y, grad_y, grad_x, grad_delta = wide
    for far, near in ((far_x, x), (far_delta, delta), (grad_y, torch.ones_like(x))):
        far[..., :USED] = near
    rate, starts, scratch = torch.empty(WIDTH, 1), torch.empty(1, 1, WIDTH, 1), torch.empty(CHUNK + 1, BLOCK, 1)
    rate[:USED] = a * triton_scan.LOG2_E
    grad_rate, (grad_b, grad_c) = torch.empty(1, WIDTH, 1), torch.empty(2, 1, LENGTH, 1)
    ends = BLOCK, 1, CHUNK
    triton_scan._forward[(1, 1)](far_x, far_delta, rate, b, c, y, starts, LENGTH, WIDTH, 1, 1, *ends)
    inside = far_x, far_delta, rate, b, c, grad_y, starts, scratch, grad_x, grad_delta, grad_rate, grad_b, grad_c
    triton_scan._backward[(1, 1)](*inside, 1, LENGTH, WIDTH, 1, 1, 1, *ends)
torch.testing.assert_close(y[..., :USED], expected.detach(), rtol=1e-5, atol=1e-5)
torch.testing.assert_close(grad_x[..., :USED], x.grad, rtol=1e-4, atol=1e-4)
torch.testing.assert_close(grad_delta[..., :USED], delta.grad, rtol=1e-4, atol=1e-4)
torch.testing.assert_close(grad_rate[0, :USED], a.grad, rtol=1e-4, atol=1e-4)
print("equal")
"""


def in_the_interpreter(program):
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_the_triton_kernels_equal_the_reference_in_the_interpreter():
    done = in_the_interpreter(IN_THE_INTERPRETER)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


def test_the_triton_kernels_reach_numbers_that_32_bits_do_not():
    done = in_the_interpreter(BEYOND_32_BITS)
    if done.stdout.strip() == "no room":
        pytest.skip("this machine does not promise 60 GB of addresses")
    assert done.stdout.strip() == "equal", f"ended with {done.returncode}: {done.stderr[-2000:]}"


POINTERS = {
    "_forward": "x delta rate b c y starts",
    "_backward": "x delta rate b c grad_y starts scratch grad_x grad_delta grad_rate grad_b grad_c",
}


@pytest.mark.slow
@pytest.mark.parametrize("capability", [75, 80, 90, 100])
@pytest.mark.parametrize("states", [1, 16, 64])
def test_the_triton_kernels_are_compiled_for_gpus_that_are_not_here(capability, states, tmp_path, monkeypatch):
    triton = pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from spikemba.ops import triton_scan

    fixed = {"BLOCK": triton_scan.BLOCK, "N": states, "CHUNK": triton_scan.CHUNK}
    for name, pointers in POINTERS.items():
        kernel = getattr(triton_scan, name)
        kinds = dict.fromkeys(kernel.arg_names, "i32") | dict.fromkeys(pointers.split(), "*fp32")
        source = ASTSource(kernel, kinds | dict.fromkeys(fixed, "constexpr"), fixed)
        compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
        assert f".target sm_{capability}" in compiled.asm["ptx"]
        assert compiled.asm["cubin"].startswith(b"\x7fELF")


@pytest.fixture
def official(monkeypatch):
    """Stands in for mamba-ssm and causal-conv1d: their arguments and shapes, on a CPU."""

    def conv(x, weight, bias, activation):
        assert activation == "silu"
        padded = torch.nn.functional.pad(x, (weight.shape[1] - 1, 0))
        return torch.nn.functional.silu(torch.nn.functional.conv1d(padded, weight[:, None], bias, groups=len(weight)))

    def scan(u, delta, a, b, c):
        assert u.dtype == delta.dtype == b.dtype == c.dtype
        assert a.dtype == torch.float32
        return selective_scan_fn(u, delta, a, b, c)

    monkeypatch.setattr(cuda_kernels, "official_scan", lambda: scan)
    monkeypatch.setattr(cuda_kernels, "official_conv", lambda: conv)


def test_the_official_scan_gets_what_it_expects(official):
    g = torch.Generator().manual_seed(0)
    x, delta = torch.randn(2, 9, 6, generator=g), torch.rand(2, 9, 6, generator=g)
    a, (b, c) = -torch.rand(6, 4, generator=g), torch.randn(2, 2, 9, 4, generator=g)
    expected = selective_scan_reference(x, delta, a, b, c)
    torch.testing.assert_close(selective_scan(x, delta, a, b, c, backend="mamba_ssm"), expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_official_convolution_gets_what_it_expects(official, reverse):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 9, 6), torch.randn(6, 1, 4), torch.randn(6)
    mask = torch.arange(9) < torch.tensor([[9], [6]])
    found = cuda_kernels.causal_conv_cuda(x, weight, bias, mask, reverse=reverse)
    torch.testing.assert_close(found, causal_conv_silu(x, weight, bias, mask, reverse=reverse))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("installed", "expected"),
    [(False, r"needs mamba-ssm, .* `pip install 'spikemba\[kernels\]'`"), (True, "cannot run: torch sees no GPU")],
)
def test_without_a_gpu_the_official_scan_says_what_it_needs(installed, expected, monkeypatch):
    monkeypatch.setattr(cuda_kernels, "is_installed", lambda name: installed)
    ones = torch.ones(1, 1, 1)
    with pytest.raises((PackageMissing, LibraryBroken), match=expected):
        selective_scan(ones, ones, -ones[0], ones, ones, backend="mamba_ssm")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("backend", ["triton", "mamba_ssm", "chunked"])
def test_on_a_gpu_every_scan_equals_the_reference(backend):
    if backend == "mamba_ssm" and cuda_kernels.official_scan() is None:
        pytest.skip("mamba-ssm is not installed")
    g = torch.Generator().manual_seed(0)
    x, delta = torch.randn(2, 70, 48, generator=g), torch.rand(2, 70, 48, generator=g)
    a, (b, c) = -torch.rand(48, 16, generator=g), torch.randn(2, 2, 70, 16, generator=g)
    expected = selective_scan_reference(x, delta, a, b, c)
    found = selective_scan(*(tensor.cuda() for tensor in (x, delta, a, b, c)), backend=backend)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)
