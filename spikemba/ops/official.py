"""The scan behind the arguments and shapes of `mamba_ssm`'s `selective_scan_fn`: a drop-in that needs no GPU."""

# Shapes, as theirs: B batch, E channels, L positions, N state size, G groups. The door is (B, E, L), inside (B, L, E).

import torch
import torch.nn.functional as F
from torch import Tensor

from spikemba.errors import ShapeError
from spikemba.ops.causal_conv import gated_sum
from spikemba.ops.precision import at_least_float32
from spikemba.ops.selective_scan import scan_block, scan_from, selective_scan
from spikemba.ops.shapes import fitted


def selective_scan_fn(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """y = (scan(u, softplus(delta + delta_bias), A, B, C) + D u) * silu(z).

    u, delta, z: (B, E, L).  A: (E, N), negative.  B, C: (B, N, L), or (B, G, N, L) for G groups of E / G channels, or
    (E, N), the same at every position.  D, delta_bias: (E,).
    Returns y: (B, E, L) in u's dtype, computed in float32; with return_last_state also the state, (B, E, N), which
    carries no gradient. Raises ShapeError when the shapes do not fit, and for a complex A.
    Source of the arguments: mamba_ssm.ops.selective_scan_interface (Gu and Dao).
    """
    if A.is_complex() or B.is_complex() or C.is_complex():
        raise ShapeError("A, B or C is complex; this scan takes real ones")
    if u.dim() != 3:
        raise ShapeError(f"u is {tuple(u.shape)}; expected (B, E, L)")
    if A.dim() != 2 or A.shape[0] != u.shape[1]:
        raise ShapeError(f"A is {tuple(A.shape)}; expected ({u.shape[1]}, N)")
    if delta.shape != u.shape or delta.device != u.device:
        found, expected = (f"{tuple(tensor.shape)} on {tensor.device}" for tensor in (delta, u))
        raise ShapeError(f"delta is {found}; expected {expected}")
    for name, tensor in {"B": B, "C": C}.items():
        _check_states(name, tensor, u, A.shape[1])
    if z is not None and z.dim() != 3:
        raise ShapeError(f"z is {tuple(z.shape)}; expected {tuple(u.shape)}")
    channels = (u.shape[1],)
    D = None if D is None else fitted("D", D, channels, u)
    x, step = u.transpose(1, 2), delta.transpose(1, 2)  # (B, L, E)
    if delta_bias is not None:
        bias = fitted("delta_bias", delta_bias, channels, u)
        step = at_least_float32(step) + at_least_float32(bias)  # as the official kernel does, also for half precision
    parts = [
        _scan(*part, softplus=delta_softplus, with_state=return_last_state)
        for part in _groups(x, step, A, B, C, torch.zeros_like(A[:, 0]) if D is None else D)
    ]
    y = torch.cat([part[0] for part in parts], dim=2)
    y = y if z is None else gated_sum(y, None, z.transpose(1, 2).to(y.dtype))
    out = y.transpose(1, 2).to(u.dtype)
    if not return_last_state:
        return out
    return out, torch.cat([state for _, state in parts if state is not None], dim=1)


def _check_states(name: str, tensor: Tensor, u: Tensor, n: int) -> None:
    """Raises ShapeError when B or C has none of the three forms."""
    (batch, width, length), shape = u.shape, tuple(tensor.shape)
    whole = {2: (width, n), 3: (batch, n, length), 4: (batch, *shape[1:2], n, length)}.get(len(shape))
    if shape != whole or 0 in shape[1:2]:
        expected = f"({width}, {n}), ({batch}, {n}, {length}) or ({batch}, G, {n}, {length})"
        raise ShapeError(f"{name} is {shape}; expected {expected}")


_Group = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def _groups(x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> list[_Group]:
    """The channels that share b and c, as arguments of `scan_block`."""
    width = x.shape[2]
    n_groups = {tensor.shape[1] if tensor.dim() == 4 else 1 for tensor in (b, c)} - {1} or {1}
    if len(n_groups) > 1 or width % max(n_groups):
        raise ShapeError(f"B is {tuple(b.shape)} and C {tuple(c.shape)}; expected as many groups, which divide {width}")
    if b.dim() == 2 or c.dim() == 2:
        return _constant_groups(x, step, a, b, c, skip)
    count = n_groups.pop()
    size = width // count
    groups = []
    for g in range(count):
        rows = slice(g * size, (g + 1) * size)
        b_g, c_g = (t if t.dim() == 3 else t[:, g % t.shape[1]] for t in (b, c))
        b_rows, c_rows = b_g.transpose(1, 2), c_g.transpose(1, 2)
        groups.append((x[..., rows], step[..., rows], a[rows], b_rows, c_rows, skip[rows]))
    return groups


def _constant_groups(x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor) -> list[_Group]:
    """One group per channel, since B or C differs between channels; slow, and no Mamba in use has it."""

    def rows(tensor: Tensor, channel: int) -> Tensor:
        if tensor.dim() == 2:
            return tensor[channel].expand(*x.shape[:2], -1)
        if tensor.dim() == 4:
            tensor = tensor[:, channel * tensor.shape[1] // x.shape[2]]
        return tensor.transpose(1, 2)

    one = [slice(e, e + 1) for e in range(x.shape[2])]
    return [(x[..., e], step[..., e], a[e], rows(b, e.start), rows(c, e.start), skip[e]) for e in one]


def _scan(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, *, softplus: bool, with_state: bool
) -> tuple[Tensor, Tensor | None]:
    """y: (B, L, E) and, if wanted, the last state."""
    if softplus and not with_state:
        return scan_block(x, step, a, b, c, skip, None, reverse=False), None
    delta = F.softplus(step if step.dtype == torch.float64 else step.float()) if softplus else step
    state = None
    if with_state:
        y, state = scan_from(x, delta, a, b, c, None)
    if not with_state or torch.is_grad_enabled():
        y = selective_scan(x, delta, a, b, c)
    return y + skip.to(y.dtype) * x, state
