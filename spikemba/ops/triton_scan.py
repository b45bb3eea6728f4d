"""The selective scan as Triton kernels, for GPUs without mamba-ssm; needs no CUDA compiler.

Off unless $SPIKEMBA_TRITON is 1: it is tested in Triton's interpreter on a CPU, against the reference, and has not been
timed on a GPU. A program runs through the positions of one pair with BLOCK channels; the state before every CHUNK
positions is kept, and the backward pass computes the states between again.
"""

# Shapes: B pairs, L positions, E inner width, N state size (a power of two inside).

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 32
CHUNK = 16
LOG2_E = 1.4426950408889634


def selective_scan_triton(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Same arguments and result as `selective_scan_reference`, computed in float32."""
    tensors = (tensor.float().contiguous() for tensor in (x, delta, a, b, c))
    y: Tensor = _TritonScan.apply(*tensors)
    return y.to(x.dtype)


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    x,
    delta,
    rate,
    b,
    c,
    y,
    starts,
    length,
    width,
    states,
    n_chunks,
    BLOCK: tl.constexpr,
    N: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # 64 bits: with 32, every offset below would wrap in an array of more than 2^31 numbers
    pair, block = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    e, n = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    real_e, real_n = e < width, n < states
    both = real_e[:, None] & real_n[None, :]
    a = tl.load(rate + e[:, None] * states + n[None, :], mask=both, other=0.0)
    h = tl.zeros((BLOCK, N), dtype=tl.float32)
    t = 0
    while t < length:  # not `for`: the interpreter cannot take an argument as a bound under numpy >= 2.4
        if t % CHUNK == 0:
            kept = ((pair * n_chunks + t // CHUNK) * width + e[:, None]) * states + n[None, :]
            tl.store(starts + kept, h, mask=both)
        row = pair * length + t
        x_t = tl.load(x + row * width + e, mask=real_e, other=0.0)
        d_t = tl.load(delta + row * width + e, mask=real_e, other=0.0)
        b_t = tl.load(b + row * states + n, mask=real_n, other=0.0)
        c_t = tl.load(c + row * states + n, mask=real_n, other=0.0)
        h = tl.exp2(d_t[:, None] * a) * h + (d_t * x_t)[:, None] * b_t[None, :]
        tl.store(y + row * width + e, tl.sum(h * c_t[None, :], axis=1), mask=real_e)
        t += 1


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    x, delta, rate, b, c, grad_y, starts, scratch, grad_x, grad_delta, grad_rate, grad_b, grad_c,
    batch, length, width, states, n_chunks, n_blocks, BLOCK: tl.constexpr, N: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    pair, block = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    e, n = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    real_e, real_n = e < width, n < states
    both = real_e[:, None] & real_n[None, :]
    a = tl.load(rate + e[:, None] * states + n[None, :], mask=both, other=0.0)
    own = scratch + (pair * n_blocks + block) * (CHUNK + 1) * BLOCK * N
    cell = tl.arange(0, BLOCK)[:, None] * N + n[None, :]
    carry = tl.zeros((BLOCK, N), dtype=tl.float32)
    sum_rate = tl.zeros((BLOCK, N), dtype=tl.float32)
    chunk = n_chunks - 1
    while chunk >= 0:
        first = chunk * CHUNK
        count = tl.minimum(CHUNK, length - first)
        kept = ((pair * n_chunks + chunk) * width + e[:, None]) * states + n[None, :]
        h = tl.load(starts + kept, mask=both, other=0.0)
        tl.store(own + cell, h)
        i = 0
        while i < count:
            row = pair * length + first + i
            x_t = tl.load(x + row * width + e, mask=real_e, other=0.0)
            d_t = tl.load(delta + row * width + e, mask=real_e, other=0.0)
            b_t = tl.load(b + row * states + n, mask=real_n, other=0.0)
            h = tl.exp2(d_t[:, None] * a) * h + (d_t * x_t)[:, None] * b_t[None, :]
            tl.store(own + (i + 1) * BLOCK * N + cell, h)
            i += 1
        tl.debug_barrier()
        i = count - 1
        while i >= 0:
            row = pair * length + first + i
            x_t = tl.load(x + row * width + e, mask=real_e, other=0.0)
            d_t = tl.load(delta + row * width + e, mask=real_e, other=0.0)
            g_t = tl.load(grad_y + row * width + e, mask=real_e, other=0.0)
            b_t = tl.load(b + row * states + n, mask=real_n, other=0.0)
            c_t = tl.load(c + row * states + n, mask=real_n, other=0.0)
            after = tl.load(own + (i + 1) * BLOCK * N + cell)
            before = tl.load(own + i * BLOCK * N + cell)
            grad_h = carry + g_t[:, None] * c_t[None, :]
            part = (block * batch * length + row) * states + n
            tl.store(grad_c + part, tl.sum(g_t[:, None] * after, axis=0), mask=real_n)
            tl.store(grad_b + part, tl.sum(grad_h * (d_t * x_t)[:, None], axis=0), mask=real_n)
            by_b = tl.sum(grad_h * b_t[None, :], axis=1)
            carry = grad_h * tl.exp2(d_t[:, None] * a)
            exponent = carry * before
            sum_rate += exponent * d_t[:, None]
            by_rate = tl.sum(exponent * a, axis=1) * 0.6931471805599453
            tl.store(grad_x + row * width + e, by_b * d_t, mask=real_e)
            tl.store(grad_delta + row * width + e, by_b * x_t + by_rate, mask=real_e)
            i -= 1
        tl.debug_barrier()
        chunk -= 1
    tl.store(grad_rate + (pair * width + e[:, None]) * states + n[None, :], sum_rate, mask=both)


class _TritonScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        (batch, length, width), states = x.shape, a.shape[1]
        rate = a * LOG2_E
        n_chunks, n_blocks = -(-length // CHUNK), -(-width // BLOCK)
        starts, y = x.new_empty(batch, n_chunks, width, states), torch.empty_like(x)
        sizes = length, width, states, n_chunks, BLOCK, triton.next_power_of_2(states), CHUNK
        _forward[(batch, n_blocks)](x, delta, rate, b, c, y, starts, *sizes)
        ctx.save_for_backward(x, delta, rate, b, c, starts)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, delta, rate, b, c, starts = ctx.saved_tensors
        (batch, length, width), states = x.shape, rate.shape[1]
        n_chunks, n_blocks, size = starts.shape[1], -(-width // BLOCK), triton.next_power_of_2(states)
        scratch = x.new_empty(batch, n_blocks, CHUNK + 1, BLOCK, size)
        grad_x, grad_delta, grad_rate = torch.empty_like(x), torch.empty_like(x), x.new_empty(batch, width, states)
        grad_b, grad_c = x.new_empty(2, n_blocks, batch, length, states)
        outputs = grad_x, grad_delta, grad_rate, grad_b, grad_c
        sizes = batch, length, width, states, n_chunks, n_blocks, BLOCK, size, CHUNK
        inputs = x, delta, rate, b, c, grad_y.contiguous(), starts, scratch
        _backward[(batch, n_blocks)](*inputs, *outputs, *sizes)
        return grad_x, grad_delta, grad_rate.sum(0), grad_b.sum(0), grad_c.sum(0)
