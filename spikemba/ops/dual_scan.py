"""The scan of Mamba-2, whose state decays by one number per head: as matrix products over chunks of positions.

    h[t] = exp(delta[t] a) h[t-1] + delta[t] b[t] x[t]^T,     y[t] = c[t] h[t]

One decay for all of a head's states makes the scan within a chunk a product with a masked matrix (state-space duality):

    y[t] = sum over s <= t of  (c[t] . b[s])  exp(a delta[s+1] + ... + a delta[t])  delta[s] x[s]

and between chunks only the state at their ends goes on. As in `selective_scan`, a position whose delta is 0 copies the
state and adds nothing. Source: Dao and Gu 2024, arXiv 2405.21060, sections 3, 5 and 6; b is first order (Euler).
"""

# Shapes: B pairs, L positions, H heads, P head width, G groups, N state size; K chunks of Q positions.

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikemba.errors import ShapeError
from spikemba.ops.precision import at_least_float32, in_full_precision
from spikemba.ops.shapes import check_device, check_floating, fitted

CHUNK = 64
"""Q. Up to twice as many positions are one chunk: a product with their matrix costs less than handing on states."""


def dual_scan_reference(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The recurrence as it is written, one position after another; the chunks are tested against it.

    x: (B, L, H, P).  delta: (B, L, H), >= 0.  a: (H,), negative.  b, c: (B, L, G, N), G divides H.
    state: (B, H, P, N), what the positions before have left; None at the start.
    Returns y: (B, L, H, P) in x's dtype, and the state after the last position, in float32, in float64 if x is.
    Raises ShapeError when the shapes do not fit each other.
    """
    _check_shapes(x, delta, a, b, c)
    dtype, heads = x.dtype, x.shape[2]
    x, delta, a, b, c = (at_least_float32(one) for one in (x, delta, a, b, c))
    b, c = (one.repeat_interleave(heads // one.shape[2], dim=2) for one in (b, c))
    h = _first_state(x, b, state)
    ys = []
    for x_t, delta_t, b_t, c_t in zip(*(one.unbind(1) for one in (x, delta, b, c)), strict=True):
        drive = delta_t[..., None, None] * x_t[..., None] * b_t[:, :, None]  # (B, H, P, N)
        h = torch.exp(delta_t * a)[..., None, None] * h + drive
        ys.append((h * c_t[:, :, None]).sum(-1))
    return torch.stack(ys, dim=1).to(dtype), h


def dual_scan(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, *, reverse: bool = False, chunk: int = CHUNK
) -> Tensor:
    """The scan of whole sequences, by matrix products. Arguments as of `dual_scan_reference`.

    reverse: from the last position to the first.  chunk: Q, how many positions one product covers at the least.
    Returns y: (B, L, H, P) in x's dtype, computed in float32 (float64 for float64 inputs).
    """
    _check_shapes(x, delta, a, b, c)
    return _scan(x, delta, a, b, c, None, reverse, chunk)[0].to(x.dtype)


def dual_scan_from(
    x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None, *, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """The scan of positions that follow others: y, and the state to hand to the next call, (B, H, P, N).

    state: what the call before returned, None at the start. For streaming, and for sequences read in parts.
    """
    _check_shapes(x, delta, a, b, c)
    y, after = _scan(x, delta, a, b, c, _first_state(at_least_float32(x), b, state), False, chunk)
    assert after is not None
    return y.to(x.dtype), after


def _scan(
    x: Tensor,
    delta: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    state: Tensor | None,
    reverse: bool,
    chunk: int,
) -> tuple[Tensor, Tensor | None]:
    """y in float32 or float64, and the last state where one was given."""
    with in_full_precision(x):
        x, delta, a, b, c = (at_least_float32(one) for one in (x, delta, a, b, c))
        batch, length = x.shape[:2]
        n_chunks = 1 if length <= 2 * chunk else math.ceil(length / chunk)
        size = math.ceil(length / n_chunks)
        x, delta, b, c = (_in_chunks(one, n_chunks, size) for one in (x, delta, b, c))
        # in float64: behind many positions the sums are large, and what they differ by from one to the next is small
        log_decay = (delta.double() * a.double()).transpose(1, 2)
        total = _sums(log_decay, reverse)  # (B K, H, Q)
        y: Tensor = _Within.apply(x, delta, log_decay, total.detach(), b, c, reverse)
        if n_chunks > 1 or state is not None:
            between, state = _between(x, delta, total, b, c, state, n_chunks, reverse)
            y = y + between
        y = y.transpose(1, 2).reshape(batch, n_chunks * size, *x.shape[2:])[:, :length]
        return y, state


def _in_chunks(x: Tensor, n_chunks: int, size: int) -> Tensor:
    """(B, L, ...) -> (B K, Q, ...), with zeros behind the last position."""
    missing = n_chunks * size - x.shape[1]
    if missing:
        x = F.pad(x, [0, 0] * (x.dim() - 2) + [0, missing])
    return x.reshape(len(x) * n_chunks, size, *x.shape[2:]) if n_chunks > 1 else x


def _sums(log_decay: Tensor, reverse: bool) -> Tensor:
    """What has decayed from the chunk's first edge up to each position, it included."""
    if reverse:
        return log_decay.flip(2).cumsum(2).flip(2)
    return log_decay.cumsum(2)


class _Within(torch.autograd.Function):
    """What the positions of a chunk give to each other: W = tril(exp(total[t] - total[s])), y = (c b^T * W) (delta x).

    By hand, so that both passes make no more copies of the Q x Q matrices than they need.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, delta: Tensor, log_decay: Tensor, total: Tensor, b: Tensor, c: Tensor, reverse: bool
    ) -> Tensor:
        """x: (B K, Q, H, P), log_decay: (B K, H, Q), total: its sums, without a gradient -> (B K, H, Q, P)."""
        batch, size, heads, width = x.shape
        driven = x.new_empty(batch, heads, size, width)
        torch.mul(x.transpose(1, 2), delta.transpose(1, 2)[..., None], out=driven)
        decay = (total[..., :, None] - total[..., None, :]).to(x.dtype).exp_()
        decay = decay.triu_() if reverse else decay.tril_()  # what overflows is on the other side
        likeness = torch.matmul(_of_groups(c), _of_groups(b).mT)  # (B K, G, Q, Q)
        weights = _per_group(decay, likeness) * likeness[:, :, None]
        ctx.save_for_backward(x, delta, b, c, driven, decay, likeness)
        ctx.reverse, ctx.wide = reverse, log_decay.dtype
        return torch.matmul(weights.view(decay.shape), driven)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, delta, log_decay, b and c."""
        x, delta, b, c, driven, decay, likeness = ctx.saved_tensors
        with in_full_precision(x):
            grad = grads[0].contiguous()
            weights = (_per_group(decay, likeness) * likeness[:, :, None]).view(decay.shape)
            grad_driven = torch.matmul(weights.mT, grad).transpose(1, 2)
            del weights
            grad_x = torch.empty_like(x)
            torch.mul(grad_driven, delta[..., None], out=grad_x)
            grad_delta = torch.linalg.vecdot(grad_driven, x)
            grad_weights = torch.matmul(grad, driven.mT).mul_(decay)
            of_likeness = _per_group(grad_weights, likeness).sum(2)
            of_decay = _per_group(grad_weights, likeness).mul_(likeness[:, :, None]).view(decay.shape)
            grad_log_decay = _passed(of_decay, ctx.reverse).to(ctx.wide)
            grad_c = torch.matmul(of_likeness, _of_groups(b)).transpose(1, 2)
            grad_b = torch.matmul(of_likeness.mT, _of_groups(c)).transpose(1, 2)
        return grad_x, grad_delta, grad_log_decay, None, grad_b, grad_c, None


def _passed(of_decay: Tensor, reverse: bool) -> Tensor:
    """For every position the sum over the pairs (t, s) that pass it, s < position <= t. of_decay: (B K, H, Q, Q).

    Row sums less column sums, added up, are the same, but what a position gives to itself, often most of all, is in
    both and leaves its rounding behind: too much for a gradient of head decays in float32.
    """
    ones = of_decay.new_ones(of_decay.shape[2:])
    from_here = torch.matmul(ones.tril() if reverse else ones.triu(), of_decay)
    return (from_here.triu_(1) if reverse else from_here.tril_(-1)).sum(3)


def _of_groups(x: Tensor) -> Tensor:
    """(B K, Q, G, N) -> (B K, G, Q, N)."""
    return x.transpose(1, 2)


def _per_group(of_heads: Tensor, of_groups: Tensor) -> Tensor:
    """(B K, H, ...) -> (B K, G, H / G, ...); the heads of a group stand together."""
    found: Tensor = of_heads.unflatten(1, (of_groups.shape[1], -1))
    return found


def _between(
    x: Tensor, delta: Tensor, total: Tensor, b: Tensor, c: Tensor, state: Tensor | None, n_chunks: int, reverse: bool
) -> tuple[Tensor, Tensor]:
    """What the positions of a chunk get from those before it, (B K, H, Q, P), and the state behind the last chunk."""
    groups, dtype = b.shape[2], x.dtype
    whole = total[..., :1] if reverse else total[..., -1:]  # (B K, H, 1)
    kept = delta * (whole - total).exp().to(dtype).transpose(1, 2)
    driven = (x * kept[..., None]).transpose(1, 2).unflatten(1, (groups, -1))  # (B K, G, H / G, Q, P)
    added = torch.matmul(driven.mT, _of_groups(b)[:, :, None]).flatten(1, 2)  # (B K, H, P, N)
    added, decay = (
        one.unflatten(0, (len(one) // n_chunks, n_chunks)) for one in (added, whole.exp().to(dtype)[..., None])
    )
    h = torch.zeros_like(added[:, 0]) if state is None else state
    before = []
    for k in reversed(range(n_chunks)) if reverse else range(n_chunks):
        before.append(h)
        h = decay[:, k] * h + added[:, k]
    states = torch.stack(before[::-1] if reverse else before, dim=1).flatten(0, 1).unflatten(1, (groups, -1))
    read = torch.matmul(_of_groups(c)[:, :, None], states.mT).flatten(1, 2)  # (B K, H, Q, P)
    return total.exp().to(dtype)[..., None] * read, h


def _first_state(x: Tensor, b: Tensor, state: Tensor | None) -> Tensor:
    """The given state, or zeros, as (B, H, P, N) in x's dtype."""
    shape = (len(x), *x.shape[2:], b.shape[-1])
    return x.new_zeros(shape) if state is None else fitted("state", state, shape, x).to(x.dtype)


def _check_shapes(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> None:
    """Raises ShapeError, naming the argument, when the scan's inputs do not fit each other."""
    if x.dim() != 4 or x.shape[1] == 0:
        raise ShapeError(f"x is {tuple(x.shape)}; expected (B, L, H, P) with L >= 1")
    heads = x.shape[2]
    for name, tensor, expected in (("delta", delta, tuple(x.shape[:3])), ("a", a, (heads,))):
        if tensor.shape != expected:
            raise ShapeError(f"{name} is {tuple(tensor.shape)}; expected {expected}")
    if b.dim() != 4 or b.shape[:2] != x.shape[:2] or not b.shape[2] or heads % b.shape[2]:
        expected_b = f"({x.shape[0]}, {x.shape[1]}, G, N) with G groups of the {heads} heads"
        raise ShapeError(f"b is {tuple(b.shape)}; expected {expected_b}")
    if c.shape != b.shape:
        raise ShapeError(f"c is {tuple(c.shape)}; expected {tuple(b.shape)}")
    for name, tensor in {"x": x, "delta": delta, "a": a, "b": b, "c": c}.items():
        check_floating(name, tensor)
        check_device(name, tensor, x)
