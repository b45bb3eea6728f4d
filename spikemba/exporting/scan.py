"""The selective scan as a graph of fixed size for any length: chunks side by side, then doublings over chunks.

All chunks take their positions one after another at once, from a state of zero; log-depth doublings hand each chunk the
state in which the one before it ends; the positions are taken again from there. Every factor is exp of a number that is
at most 0, a decay, and no decay is ever divided by, so no length overflows.
"""

# Shapes: G directions, L positions, E inner width, N state size, C chunks of K positions.

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 16
"""K."""
DOUBLINGS = 14
LONGEST = CHUNK << DOUBLINGS
"""Positions that a graph scans, at most: 72 hours in clips of a second."""


def chunked_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """h[t] = exp(delta[t] a) h[t-1] + delta[t] b[t] x[t], y[t] = c[t] h[t], without a loop over a length.

    x, delta: (G, L, E), delta >= 0.  a: (G, N, E), negative.  b, c: (G, L, N), with L up to LONGEST.
    Returns y: (G, L, E).
    """
    n_directions, n, width = map(int, a.shape)  # numbers, so that no node of the graph asks for them
    # Two chunks at least, since an axis of length 1 is special to torch.export. Nothing negative is divided, since ONNX
    # rounds towards zero.
    missing = (x.shape[1] // CHUNK + 2) * CHUNK - x.shape[1]
    # padded positions move no state: their delta is 0
    padded = F.pad(torch.cat((delta, delta * x, b, c), dim=-1), (0, 0, 0, missing))
    chunks = padded.reshape(n_directions, -1, CHUNK, 2 * (width + n))
    delta, drive, b, c = chunks.split([width, width, n, n], dim=-1)  # each (G, C, K, ...)
    # one split each in place of many selections: every node of a graph has its price
    steps, drives, reads = (z[..., None, :].split(1, dim=2) for z in (delta, drive, c))
    a = a[:, None, None]
    decays = [torch.exp(step * a) for step in steps]  # each (G, C, 1, N, E)
    drives = [write * drive for write, drive in zip(b[..., None].split(1, dim=2), drives, strict=True)]

    state = drives[0]
    for decay, drive in zip(decays[1:], drives[1:], strict=True):
        state = decay * state + drive
    start = _starts(torch.exp(delta.sum(2, keepdim=True)[..., None, :] * a), state)

    ys, state = [], start
    for decay, drive, read in zip(decays, drives, reads, strict=True):
        state = decay * state + drive
        ys.append(torch.matmul(read, state))  # (G, C, 1, 1, E)
    y = torch.cat(ys, dim=2).reshape(n_directions, -1, width)
    return F.pad(y, (0, 0, 0, -missing))  # a slice would let the graph ask whether there is that much


def _starts(decay: Tensor, end: Tensor) -> Tensor:
    """The state in which each chunk begins, from what each decays and adds by itself; all are (G, C, 1, N, E).

    After i doublings `end` is what the last 2^i chunks add; with them all it is the true state.
    Source: Hillis and Steele 1986, data parallel algorithms.
    """
    place = torch.arange(end.shape[1], device=end.device)
    for i in range(DOUBLINGS):
        before = place - (1 << i)
        there, inside = before.clamp(min=0), (before >= 0).to(end.dtype)[:, None, None, None]
        end = end + decay * end[:, there] * inside
        decay = decay * decay[:, there]
    return F.pad(end, (0, 0, 0, 0, 0, 0, 1, -1))
