"""The selective scan in plain PyTorch: tiles that fit the cache, states recomputed in the backward pass.

Three things make it fast on a CPU. `exp2` runs several times faster than `exp`, so log2(e) is folded into `a`.
The decays and states of one tile, some pairs by some positions, live in two buffers that are allocated once and used
again. The recurrence is one in-place multiply-add per position over rows of (N, E), and the sums over N and E are
matrix products. Memory is O(L E): the inputs and one state per chunk of positions are kept, never (L, E, N).
"""

# Shapes: B pairs, L positions, E inner width, N state size; a tile is G pairs by K positions.

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROW_BYTES = 128 << 10
"""Size of a tile's states at one position, for each thread: PyTorch gives a thread no less than that."""

TILE_BYTES = 2 << 20
"""Size of a tile's states, for each thread; measured best with second-level caches of a megabyte."""

LOG2_E = math.log2(math.e)


def selective_scan_chunked(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Same arguments and result as `selective_scan_reference`; differentiable once, deterministic."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    y: Tensor = _ChunkedScan.apply(*(tensor.to(dtype) for tensor in (x, delta, a, b, c)))
    return y.to(x.dtype)


class _Tile(NamedTuple):
    all: Tensor  # (G, K, N, E)
    at: tuple[Tensor, ...]  # the same numbers at each position, K x (G, N, E)


class _ChunkedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        a = a.t().contiguous()  # (N, E)
        rate = a * LOG2_E
        size = _tile_size(x, a)
        keep = any(ctx.needs_input_grad)
        n_starts = -(-x.shape[1] // size[1]) + 1 if keep else 1
        starts = x.new_empty(n_starts, len(x), *a.shape)  # the state before each chunk of positions, and the last
        tiles = _tiles(_buffers(2, size, a), a)
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        for group in _groups(x, size):
            state = starts[0, group].zero_()
            for i, (x_k, delta_k, b_k, c_k, y_k) in enumerate(_chunks(group, size, x, delta, b, c, y)):
                decay, states = tiles(*y_k.shape[:2])
                _run(delta_k, delta_k * x_k, rate, b_k, state, decay, states)
                y_k.copy_(torch.matmul(c_k, states.all))
                state = starts[i + 1 if keep else 0, group].copy_(states.at[-1])
        ctx.save_for_backward(x, delta, a, b, c, starts)
        ctx.size = size
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        x, delta, a, b, c, starts = ctx.saved_tensors
        rate = a * LOG2_E
        inputs = x, delta, b, c
        grad_of_inputs = [torch.empty_like(z, memory_format=torch.contiguous_format) for z in inputs]
        buffers = _buffers(4, ctx.size, a)
        grad_a = buffers[3].zero_()  # summed up over the tiles, each place of a tile for itself
        tiles = _tiles(buffers, a)
        for group in _groups(x, ctx.size):
            chunks = zip(
                _chunks(group, ctx.size, *inputs, grad_y),
                _chunks(group, ctx.size, *grad_of_inputs),
                starts[:-1, group].unbind(0),
                strict=True,
            )
            carry = torch.zeros_like(starts[0, group])  # gradient that the next chunk sends to this one's last state
            for (x_k, delta_k, b_k, c_k, grad_y_k), outputs, start in reversed(list(chunks)):
                grad_x_k, grad_delta_k, grad_b_k, grad_c_k = outputs
                decay, states, grads, grad_a_k = tiles(*x_k.shape[:2])
                drive_k = delta_k * x_k
                _run(delta_k, drive_k, rate, b_k, start, decay, states)
                grad_y_k = grad_y_k.contiguous()  # that of a sum is one number seen at every place, slow to read
                grad_c_k.copy_(torch.matmul(grad_y_k, states.all.mT))

                # gradient of each state: its own output's, plus the next state's through its decay
                torch.mul(grad_y_k, c_k.mT, out=grads.all)
                last = grads.at[-1].add_(carry)
                for grad_t, decay_t in zip(grads.at[-2::-1], decay.at[:0:-1], strict=True):
                    last = grad_t.addcmul_(decay_t, last)
                torch.mul(decay.at[0], last, out=carry)

                grad_b_k.copy_(torch.matmul(drive_k, grads.all.mT))
                grad_drive = torch.matmul(b_k, grads.all)
                torch.mul(grad_drive, delta_k, out=grad_x_k)

                # gradient of delta * a: the state's gradient times decay times the state before
                grads.all.mul_(decay.all)
                grads.at[0].mul_(start)
                grads.all[:, 1:].mul_(states.all[:, :-1])
                grad_a_k.all.addcmul_(grads.all, delta_k)
                torch.sum(grads.all.mul_(a), 2, keepdim=True, out=grad_delta_k)
                grad_delta_k.addcmul_(grad_drive, x_k)
        grad_x, grad_delta, grad_b, grad_c = grad_of_inputs
        return grad_x, grad_delta, grad_a.view(-1, *a.shape).sum(0).t(), grad_b, grad_c


def _run(delta: Tensor, drive: Tensor, rate: Tensor, b: Tensor, start: Tensor, decay: _Tile, states: _Tile) -> None:
    """Fill a tile's decays and states from the state before it, start: (G, N, E).

    delta, drive: (G, K, 1, E).  rate: (N, E), a in units of log 2.  b: (G, K, 1, N).
    """
    torch.mul(delta, rate, out=decay.all)
    decay.all.exp2_()
    torch.mul(drive, b.mT, out=states.all)
    previous = start
    for decay_t, state_t in zip(decay.at, states.at, strict=True):
        previous = state_t.addcmul_(decay_t, previous)


def _tile_size(x: Tensor, a: Tensor) -> tuple[int, int]:
    """How many pairs, whose states at a position are about ROW_BYTES, by how many positions."""
    pair_bytes = max(1, a.numel() * x.element_size()) / torch.get_num_threads()
    n_pairs = max(1, min(len(x), int(ROW_BYTES / pair_bytes)))
    return n_pairs, min(x.shape[1], max(4, int(TILE_BYTES / (n_pairs * pair_bytes))))


def _groups(x: Tensor, size: tuple[int, int]) -> list[slice]:
    return [slice(first, first + size[0]) for first in range(0, len(x), size[0])]


def _chunks(group: slice, size: tuple[int, int], *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors' parts for each tile of a group: (B, L, ·) -> (G, K, 1, ·)."""
    return zip(*(tensor[group].unsqueeze(2).split(size[1], dim=1) for tensor in tensors), strict=True)


def _buffers(count: int, size: tuple[int, int], a: Tensor) -> list[Tensor]:
    """Room for that many tiles, in one piece: the allocator keeps what it has given before, not several large ones."""
    return list(a.new_empty(count, math.prod(size) * a.numel()).unbind(0))


def _tiles(buffers: list[Tensor], a: Tensor) -> Callable[[int, int], list[_Tile]]:
    """A function of G and K that sees the buffers, or the beginnings of them, as tiles."""

    @cache
    def tiles(n_pairs: int, n_positions: int) -> list[_Tile]:
        shape = n_pairs, n_positions, *a.shape
        views = [buffer[: math.prod(shape)].view(shape) for buffer in buffers]
        return [_Tile(view, view.unbind(1)) for view in views]

    return tiles
