"""The selective scan in plain PyTorch: chunks of positions that fit the cache, states recomputed in the backward pass.

Three things make it fast on a CPU. `exp2` runs several times faster than `exp`, so log2(e) is folded into `a`.
The decays and states of one chunk live in two buffers of about CHUNK_BYTES that are allocated once and used again.
The recurrence is one in-place multiply-add per position over contiguous (N, E) rows, and the sums over N and E are
matrix products. Memory is O(L E): the inputs and one state per chunk are kept, never (L, E, N).
"""

# Shapes: B pairs, L positions, E inner width, N state size, K positions in a chunk.

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES = 2 << 20
"""Size of one chunk buffer; measured best between half and twice the second-level cache."""

LOG2_E = math.log2(math.e)


def selective_scan_chunked(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Same arguments and result as `selective_scan_reference`; differentiable once, deterministic."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    y: Tensor = _ChunkedScan.apply(*(tensor.to(dtype) for tensor in (x, delta, a, b, c)))  # type: ignore[no-untyped-call]
    return y.to(x.dtype)


class _ChunkedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        rate = (a.t() * LOG2_E).contiguous()  # (N, E): exp(delta a) = exp2(delta rate)
        drive = delta * x
        chunks = _chunks(x, rate)
        keep = any(ctx.needs_input_grad)
        starts = x.new_empty(len(chunks) if keep else 1, len(x), *rate.shape)  # the state before each chunk
        state = starts[0].zero_()
        decay_buffer, state_buffer = _buffers(2, chunks, x, rate)
        y = torch.empty_like(drive)
        for i, rows in enumerate(chunks):
            decay, states = decay_buffer[:, : _size(rows)], state_buffer[:, : _size(rows)]
            _run_chunk(delta[:, rows], drive[:, rows], rate, b[:, rows], state, decay, states)
            y[:, rows] = torch.matmul(c[:, rows, None], states).squeeze(2)
            if i + 1 < len(chunks):
                state = starts[i + 1 if keep else 0].copy_(states[:, -1])
        ctx.save_for_backward(x, delta, rate, b, c, starts)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, delta, rate, b, c, starts = ctx.saved_tensors
        grad_y = grad_y.contiguous()  # the gradient of a sum is one number seen at every place, which is slow to read
        drive = delta * x
        chunks = _chunks(x, rate)
        grad_decay, grad_drive = torch.empty_like(drive), torch.empty_like(drive)
        grad_b, grad_c, grad_rate = torch.empty_like(b), torch.empty_like(c), torch.zeros_like(rate)
        decay_buffer, state_buffer, grad_buffer = _buffers(3, chunks, x, rate)
        carry = torch.zeros_like(starts[0])  # gradient that the next chunk sends to this one's last state
        for rows, start in zip(reversed(chunks), reversed(starts.unbind(0)), strict=True):
            decay, states, grads = (z[:, : _size(rows)] for z in (decay_buffer, state_buffer, grad_buffer))
            _run_chunk(delta[:, rows], drive[:, rows], rate, b[:, rows], start, decay, states)
            grad_c[:, rows] = torch.matmul(grad_y[:, rows, None], states.transpose(2, 3)).squeeze(2)

            # gradient of each state: its own output's, plus the next state's through its decay
            torch.mul(grad_y[:, rows, None], c[:, rows, :, None], out=grads)
            grad_t, decay_t = grads.unbind(1), decay.unbind(1)
            grad_t[-1].add_(carry)
            for t in range(len(grad_t) - 2, -1, -1):
                grad_t[t].addcmul_(decay_t[t + 1], grad_t[t + 1])
            torch.mul(decay_t[0], grad_t[0], out=carry)

            grad_b[:, rows] = torch.matmul(drive[:, rows, None], grads.transpose(2, 3)).squeeze(2)
            grad_drive[:, rows] = torch.matmul(b[:, rows, None], grads).squeeze(2)

            # gradient of delta * rate: the state's gradient times decay times the state before
            grads.mul_(decay)
            grads[:, 0].mul_(start)
            grads[:, 1:].mul_(states[:, :-1])
            grad_rate += torch.mul(grads, delta[:, rows, None], out=states).sum((0, 1))
            grad_decay[:, rows] = grads.mul_(rate).sum(2)
        # rate carries log2(e); the derivative of exp2 carries its inverse
        grad_delta = grad_decay.div_(LOG2_E).addcmul_(grad_drive, x)
        return grad_drive.mul_(delta), grad_delta, grad_rate.t(), grad_b, grad_c


def _run_chunk(
    delta: Tensor, drive: Tensor, rate: Tensor, b: Tensor, start: Tensor, decay: Tensor, states: Tensor
) -> None:
    """Fill decay and states, both (B, K, N, E), from the state before the chunk, start: (B, N, E)."""
    torch.mul(delta[:, :, None], rate, out=decay)
    decay.exp2_()
    torch.mul(drive[:, :, None], b[..., None], out=states)
    previous = start
    for decay_t, state_t in zip(decay.unbind(1), states.unbind(1), strict=True):
        previous = state_t.addcmul_(decay_t, previous)


def _chunks(x: Tensor, rate: Tensor) -> list[slice]:
    """Consecutive runs of positions whose states fill about CHUNK_BYTES."""
    batch, length, _ = x.shape
    position_bytes = batch * rate.numel() * x.element_size()
    size = min(length, max(4, CHUNK_BYTES // max(1, position_bytes)))
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


def _buffers(count: int, chunks: list[slice], x: Tensor, rate: Tensor) -> list[Tensor]:
    return [x.new_empty(len(x), _size(chunks[0]), *rate.shape) for _ in range(count)]


def _size(rows: slice) -> int:
    return int(rows.stop - rows.start)
