"""The selective state-space scan: the plain recurrence, and the one function that picks the fastest way to run it.

    h[t] = exp(delta[t] a) h[t-1] + delta[t] b[t] x[t],     y[t] = c[t] h[t]

A position whose delta is 0 copies the state and adds nothing, so padding is exact: mask x and delta, not the scan.
"""

# Shapes: B pairs, L positions, E inner width, N state size.

import os
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from spikemba.errors import PackageMissing, ShapeError, UnknownName
from spikemba.libraries import is_installed, library
from spikemba.ops.chunked_scan import selective_scan_chunked
from spikemba.ops.cuda_kernels import official_scan, selective_scan_cuda
from spikemba.ops.native.build import BuildError
from spikemba.ops.native.library import load, on_native, usable
from spikemba.ops.native.scan import MAX_STATES, scan_native, scan_native_with_state
from spikemba.ops.precision import at_least_float32, in_full_precision
from spikemba.ops.shapes import check_device, check_floating, fitted, fitted_mask


def selective_scan_reference(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The recurrence as it is written, one position after another; every faster way is tested against it.

    x, delta: (B, L, E), delta >= 0.  a: (E, N), negative.  b, c: (B, L, N).
    Returns y: (B, L, E) in x's dtype; the state is kept in float32, in float64 if x is.
    Raises ShapeError when the shapes do not fit each other.
    Source: Gu and Dao 2023, arXiv 2312.00752, algorithm 2; b is first order (Euler), as in their code.
    """
    check_shapes(x, delta, a, b, c)
    y, _ = _recurrence(x, delta, a, b, c, None)
    return y


def _recurrence(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """y and the last state, (B, E, N)."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    x_, delta, a, b, c = (tensor.to(dtype) for tensor in (x, delta, a, b, c))
    state = x_.new_zeros(len(x_), *a.shape) if state is None else state.to(dtype)
    ys = []
    # unbind, not x[:, t]: indexing makes autograd allocate a full-size gradient for each position
    for x_t, delta_t, b_t, c_t in zip(*(tensor.unbind(1) for tensor in (x_, delta, b, c)), strict=True):
        drive = (delta_t * x_t)[..., None] * b_t[:, None]  # (B, E, N)
        state = torch.exp(delta_t[..., None] * a) * state + drive
        ys.append((state * c_t[:, None]).sum(-1))
    return torch.stack(ys, dim=1).to(x.dtype), state


def selective_scan_native(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Same arguments and result as `selective_scan_reference`, by the compiled kernels; float64 runs chunked.

    Raises BuildError when there are no kernels on this machine, ShapeError for tensors that are not on a CPU.
    """
    if x.dtype == torch.float64:
        return selective_scan_chunked(x, delta, a, b, c)
    if not x.is_cpu:
        raise ShapeError(f"x is on {x.device}; the compiled kernels take tensors on a CPU")
    if not usable():
        raise BuildError(f"the scan's compiled kernels cannot be used: {load().detail}")
    return scan_native(*(tensor.float() for tensor in (x, delta, a, b, c))).to(x.dtype)


Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def selective_scan_triton(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Same arguments and result as `selective_scan_reference`, by Triton.

    Raises PackageMissing without Triton, ShapeError for tensors that are not on a GPU, where nothing interprets them.
    """
    if not is_installed("triton"):
        raise PackageMissing("triton", "the Triton scan", "cuda")
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise ShapeError(f"x is on {x.device}; the Triton scan takes tensors on a GPU")
    with library("triton"):
        from spikemba.ops.triton_scan import selective_scan_triton as scan
    return scan(x, delta, a, b, c)


BACKENDS: dict[str, Scan] = {
    "native": selective_scan_native,
    "mamba_ssm": selective_scan_cuda,
    "triton": selective_scan_triton,
    "chunked": selective_scan_chunked,
    "reference": selective_scan_reference,
}
"""Name -> implementation. All have one signature and one result; `selective_scan` picks among them."""


def selective_scan(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, *, reverse: bool = False, backend: str | None = None
) -> Tensor:
    """Scan along the positions with the fastest backend for these tensors.

    x, delta: (B, L, E), any floating dtype, delta >= 0.  a: (E, N), negative.  b, c: (B, L, N).
    reverse: scan from the last position to the first.  backend: a name of BACKENDS; by default it is chosen.
    Returns y: (B, L, E) in x's dtype, computed in float32 (float64 for float64 inputs).
    Raises ShapeError when the shapes do not fit, UnknownName for an unknown backend.
    """
    check_shapes(x, delta, a, b, c)
    if backend is not None and backend not in BACKENDS:
        raise UnknownName("scan backend", backend, sorted(BACKENDS))
    run = BACKENDS[backend or best_backend(x, a.shape[1])]
    with in_full_precision(x):
        if not reverse:
            return run(x, delta, a, b, c)
        return run(x.flip(1), delta.flip(1), a, b.flip(1), c.flip(1)).flip(1)


def best_backend(x: Tensor, n_states: int) -> str:
    """The name of the fastest backend for a tensor like x."""
    if x.device.type == "cuda" and x.dtype != torch.float64 and x.numel():  # no GPU kernel starts for an empty batch
        if official_scan() is not None and n_states <= MAX_STATES:
            return "mamba_ssm"
        if os.environ.get("SPIKEMBA_TRITON") == "1":
            return "triton"
    return "native" if fits_native(x, n_states) else "chunked"


def fits_native(x: Tensor, n_states: int) -> bool:
    """Whether the compiled kernels can scan x: on a CPU, not in float64, and there are kernels."""
    return 1 <= n_states <= MAX_STATES and on_native(x)


def scan_block(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, mask: Tensor | None, *, reverse: bool
) -> Tensor:
    """Mamba's scan with what stands around it: delta = softplus(step), 0 where the mask is; y = scan + skip x.

    x, step: (B, L, E).  a: (E, N), negative.  b, c: (B, L, N).  skip: (E,).  mask: (B, L) bool, True = real.
    One kernel where the compiled ones fit. Returns (B, L, E) in x's dtype.
    Raises ShapeError when the shapes do not fit; skip and mask are broadcast.
    """
    check_shapes(x, step, a, b, c)
    skip, mask = fitted("skip", skip, (x.shape[2],), x), fitted_mask(mask, x)
    if fits_native(x, a.shape[1]):
        x_, step, a, b, c, skip = (tensor.float() for tensor in (x, step, a, b, c, skip))
        return scan_native(x_, step, a, b, c, skip, mask, softplus=True, reverse=reverse).to(x.dtype)
    with in_full_precision(x):
        delta = F.softplus(at_least_float32(step))
        if mask is not None:
            delta = delta * mask[..., None]  # softplus(bias) > 0: padding would move the state
        x_, b, c = (at_least_float32(tensor) for tensor in (x, b, c))
        return (selective_scan(x_, delta, a, b, c, reverse=reverse) + skip * x_).to(x.dtype)


@torch.no_grad()
def scan_from(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """The scan of positions that follow others: y, and the state to hand to the next call, (B, E, N).

    state: what the call before returned, None at the start. Without a gradient; for streaming.
    """
    check_shapes(x, delta, a, b, c)
    if state is not None:
        state = fitted("state", state, (len(x), *a.shape), x)
    if fits_native(x, a.shape[1]):
        x_, delta, a, b, c = (tensor.float() for tensor in (x, delta, a, b, c))
        y, state = scan_native_with_state(x_, delta, a, b, c, None if state is None else state.float())
        return y.to(x.dtype), state
    return _recurrence(x, delta, a, b, c, state)


def check_shapes(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> None:
    """Raises ShapeError, naming the argument, when the scan's inputs do not fit each other."""
    if x.dim() != 3 or x.shape[1] == 0:
        raise ShapeError(f"x is {tuple(x.shape)}; expected (B, L, E) with L >= 1")
    check_floating("x", x)
    if a.dim() != 2 or a.shape[0] != x.shape[2]:
        raise ShapeError(f"a is {tuple(a.shape)}; expected ({x.shape[2]}, N)")
    if delta.shape != x.shape:
        raise ShapeError(f"delta is {tuple(delta.shape)}; expected {tuple(x.shape)}")
    expected = (*x.shape[:2], a.shape[1])
    for name, tensor in {"b": b, "c": c}.items():
        if tensor.shape != expected:
            raise ShapeError(f"{name} is {tuple(tensor.shape)}; expected {expected}")
    for name, tensor in {"delta": delta, "a": a, "b": b, "c": c}.items():
        check_floating(name, tensor)
        check_device(name, tensor, x)
