"""The official CUDA kernels of mamba-ssm and causal-conv1d behind our arguments, where they are there and run."""

# Shapes: B pairs, L positions, E inner width, N state size, K taps.

from torch import Tensor

from spikemba.errors import LibraryBroken, PackageMissing
from spikemba.libraries import is_installed
from spikemba.ops.official_kernels import CONVOLUTION, SCAN, Function, find


def official_scan() -> Function | None:
    """mamba_ssm's selective_scan_fn, or None where there is no GPU, nobody has it, or it does not run."""
    return find(SCAN).function


def official_conv() -> Function | None:
    """causal_conv1d's causal_conv1d_fn, or None."""
    return find(CONVOLUTION).function


def selective_scan_cuda(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Same arguments and result as `selective_scan_reference`, by mamba-ssm's kernel.

    Raises PackageMissing; LibraryBroken when it is installed and does not run, as without a GPU.
    """
    scan = official_scan()
    if scan is None:
        raise _unusable("mamba_ssm", "the CUDA scan", find(SCAN).problem)
    # delta is ready: their bias and softplus would undo its zeros at padding
    channels = (tensor.transpose(1, 2).contiguous() for tensor in (x, delta.to(x.dtype)))
    states = (tensor.to(x.dtype).transpose(1, 2).contiguous() for tensor in (b, c))
    return scan(*channels, a.float().contiguous(), *states).transpose(1, 2)


def causal_conv_cuda(x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, *, reverse: bool) -> Tensor:
    """Same arguments and result as `causal_conv_silu`, by causal-conv1d's kernel.

    Raises PackageMissing; LibraryBroken when it is installed and does not run, as without a GPU.
    """
    conv = official_conv()
    if conv is None:
        raise _unusable("causal_conv1d", "the CUDA convolution", find(CONVOLUTION).problem)
    real = None if mask is None else mask[..., None]
    x = x if real is None else x * real
    x = x.flip(1) if reverse else x
    out = conv(x.transpose(1, 2).contiguous(), weight[:, 0].to(x.dtype), bias.to(x.dtype), activation="silu")
    out = out.transpose(1, 2)
    out = out.flip(1) if reverse else out
    return out if real is None else out * real


def _unusable(package: str, purpose: str, problem: str) -> PackageMissing | LibraryBroken:
    """The error of whoever asks for a kernel that is not there."""
    if not is_installed(package) and not is_installed("kernels"):
        return PackageMissing(package.replace("_", "-"), purpose, "kernels")  # which brings it without a compiler
    return LibraryBroken(f"{purpose} cannot run: {problem}")
