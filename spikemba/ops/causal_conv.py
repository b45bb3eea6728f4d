"""Depthwise causal convolution, SiLU and mask in one step, in the (B, L, E) layout that the scan reads."""

# Shapes: B pairs, L positions, E inner width, K taps.

import torch.nn.functional as F
from torch import Tensor


def causal_conv_silu(
    x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None = None, *, reverse: bool = False
) -> Tensor:
    """silu(conv(x * mask)) * mask, where position t sees t and the K - 1 positions before it.

    x: (B, L, E).  weight: (E, 1, K), as torch's Conv1d and Mamba's checkpoints hold it.  bias: (E,).
    mask: (B, L) bool, True = real.  reverse: position t sees t and the positions after it.
    The second mask is needed: bias and SiLU make padding non-zero again.

    Shifted multiply-adds, because a depthwise Conv1d would transpose to (B, E, L) and back for the same sums.
    """
    if mask is not None:
        x = x * mask[..., None]
    taps = weight.shape[-1]
    length = x.shape[1]
    padded = F.pad(x, (0, 0, 0, taps - 1) if reverse else (0, 0, taps - 1, 0))
    total = bias.expand_as(x)
    for k, tap in enumerate(weight[:, 0].unbind(1)):
        first = taps - 1 - k if reverse else k
        total = total.addcmul(padded[:, first : first + length], tap)
    out = F.silu(total)
    return out if mask is None else out * mask[..., None]
