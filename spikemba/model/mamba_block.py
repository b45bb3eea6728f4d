"""The Mamba mixer: projection, causal convolution, selective scan in one or two directions, gate, projection.

One mixer serves the contextual moment reasoner, the relevant Mamba and the video encoder. Parameters keep Mamba's
names (`in_proj`, `conv1d`, `x_proj`, `dt_proj`, `A_log`, `D`, `out_proj`).
"""

# Shapes: B pairs, L positions, D width, E inner width, N state size.

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from spikemba.config import Config, Tree, merge
from spikemba.errors import ConfigError
from spikemba.ops.causal_conv import causal_conv_silu, causal_conv_silu_both, causal_conv_silu_from, gated_sum
from spikemba.ops.selective_scan import scan_block, scan_from

OPEN_GATE_BIAS = 1.2784645427610738
"""SiLU(x) = 1 here: a gate with this bias lets everything through when its input is silent."""

GateSource = Literal["input", "other"]


_DUAL: dict[str, Tree] = {"mamba2": {"state_size": 64}, "hydra": {"state_size": 64, "conv_width": 7}}
"""What kinds whose heads share a decay begin with."""
STATE_SPACES = ("scan", *_DUAL)
"""Kinds with states, and so with steps."""


class MixerConfig(Config):
    """The layers that mix positions: of the moment reasoner, of the relevant Mamba, of VideoMamba."""

    kind: Literal["scan", "mamba2", "hydra", "conv", "attention", "attention_conv"] = "scan"
    """`scan`: Mamba. `mamba2`: Mamba-2, whose states decay by one number per head, so that it runs as matrix products
    and affords more of them; state_size is then 64. `hydra`: its two-way form, with one centred convolution;
    state_size is then 64, conv_width 7. Ablations: `conv` keeps the convolution and leaves out the scan; `attention`
    puts softmax attention of the same width in place of both, `attention_conv` in place of the scan alone."""
    directions: Literal["both", "forward"] = "both"
    """Scan directions. The source names none; a forward scan alone leaves trailing slots without influence."""
    expand: PositiveInt = 2
    """Inner width E as a multiple of the width."""
    state_size: PositiveInt = 16
    """N, numbers kept per inner channel."""
    conv_width: PositiveInt = 4
    """Taps of the convolution, in positions; odd for `hydra`, whose position sees as many before it as after it."""
    step_rank: PositiveInt | None = None
    """Rank of the step size's projection; by default width / 16, rounded up. For `scan` only."""
    head_width: PositiveInt | None = None
    """P, inner channels that share one decay, for `mamba2` and `hydra` only; by default 64, or the largest power of two
    below it that divides E."""
    n_groups: PositiveInt = 1
    """G, groups of heads that share what they write and read by (B and C), for `mamba2` and `hydra` only."""
    n_heads: PositiveInt = 8
    """Heads, for `attention` and `attention_conv` only."""

    @model_validator(mode="before")
    @classmethod
    def _start_from_kind(cls, tree: Any) -> Any:
        """State size and taps as the kind was published with, where they are not given."""
        return merge(_DUAL.get(str(tree.get("kind")), {}), tree) if isinstance(tree, Mapping) else tree

    @model_validator(mode="after")
    def _hydra_has_two_sides(self) -> Self:
        if self.kind == "hydra" and self.directions != "both":
            raise ValueError("hydra reads both directions at once; expected directions 'both', or kind 'mamba2'")
        if self.kind == "hydra" and self.conv_width % 2 == 0:
            raise ValueError(f"hydra's convolution is centred; conv_width is {self.conv_width}, expected an odd number")
        return self

    def n_dual_heads(self, width: int) -> int:
        """H, how many heads `mamba2` and `hydra` have at a width; 0 for others. Raises ValueError where none fit."""
        if self.kind not in _DUAL:
            return 0
        inner = self.expand * width
        head_width = self.head_width or math.gcd(inner, 64)
        if inner % head_width:
            raise ValueError(
                f"mixer.head_width is {head_width}; expected a divisor of the inner width {inner} (expand x width)"
            )
        heads = inner // head_width
        if heads % self.n_groups:
            raise ValueError(f"mixer.n_groups is {self.n_groups}; expected a divisor of the {heads} heads")
        return heads


@dataclass(frozen=True)
class MixerState:
    """What a stream carries from one call to the next."""

    conv: Tensor
    """(B, K - 1, E): the convolution's last inputs; of Mamba-2 those of b and c too, (B, K - 1, E + 2 G N)."""
    scan: Tensor
    """(B, E, N), of Mamba-2 (B, H, P, N): the scan's state."""


class DirectionalScan(nn.Module):
    """Causal convolution, SiLU and selective scan in one direction.

    The three projections to step size, b and c are what the SpikeMba source calls `UpdateParameters`.
    Source: Gu and Dao 2023, arXiv 2312.00752; initial values as in their code.
    """

    def __init__(self, width: int, config: MixerConfig, *, reverse: bool) -> None:
        super().__init__()
        inner, n = config.expand * width, config.state_size
        rank = config.step_rank or math.ceil(width / 16)
        self.reverse = reverse
        self.conv1d = nn.Conv1d(inner, inner, config.conv_width, groups=inner)
        self.x_proj = nn.Linear(inner, rank + 2 * n, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, n + 1, dtype=torch.float32).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        _initial_step_size(self.dt_proj)

    @property
    def convolution(self) -> tuple[Tensor, Tensor]:
        """Weight, (E, 1, K), and bias, (E,), of the causal convolution."""
        assert self.conv1d.bias is not None
        return self.conv1d.weight, self.conv1d.bias

    def parameters_for(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x: (B, L, E), behind the convolution -> the step before its softplus, (B, L, E), a, b and c of the scan."""
        rank, n = self.dt_proj.in_features, self.A_log.shape[1]
        low_rank, b, c = self.x_proj(x).split([rank, n, n], dim=-1)
        return self._step(low_rank), -self.A_log.float().exp(), b, c

    def _step(self, low_rank: Tensor) -> Tensor:
        """dt_proj, whose bias is added in float32 where the product is in half precision, as Mamba's kernel does."""
        # its few columns lie as rows: with them as they are, BLAS takes several times as long for both gradients
        weight = self.dt_proj.weight.t().contiguous().t()
        if low_rank.dtype not in (torch.bfloat16, torch.float16):
            return F.linear(low_rank, weight, self.dt_proj.bias)
        return F.linear(low_rank, weight).float() + self.dt_proj.bias.float()

    def scan(self, x: Tensor, mask: Tensor | None, step_offset: Tensor | None = None) -> Tensor:
        """x: (B, L, E), behind the convolution.  mask: (B, L) bool, True = real.  Returns (B, L, E).

        step_offset: (B, L), added to the step before its softplus: how much more of a position is written.
        """
        step, a, b, c = self.parameters_for(x)
        step = step if step_offset is None else step + step_offset[..., None]
        return scan_block(x, step, a, b, c, self.D, mask, reverse=self.reverse)

    def forward(self, u: Tensor, mask: Tensor | None, step_offset: Tensor | None = None) -> Tensor:
        """u: (B, L, E).  mask: (B, L) bool, True = real.  step_offset: as in `scan`.  Returns (B, L, E)."""
        return self.scan(causal_conv_silu(u, *self.convolution, mask, reverse=self.reverse), mask, step_offset)

    def along(self, u: Tensor, mask: Tensor | None, order: Tensor) -> Tensor:
        """Convolution and scan over the positions in another order, and the result back in theirs.

        u: (B, L, E).  order: (L,), the positions in the order in which they are read.  Returns (B, L, E).
        """
        mask = None if mask is None else mask[:, order]
        x = causal_conv_silu(u[:, order], *self.convolution, mask)
        y = scan_block(x, *self.parameters_for(x), self.D, mask, reverse=False)
        return y[:, order.argsort()]

    def step_sizes(self, u: Tensor, order: Tensor | None = None) -> Tensor:
        """How far each position moves the state, averaged over the channels. u: (B, L, E), unpadded -> (B, L)."""
        if order is None:
            x = causal_conv_silu(u, *self.convolution, reverse=self.reverse)
            return F.softplus(self.parameters_for(x)[0].float()).mean(-1)
        x = causal_conv_silu(u[:, order], *self.convolution)
        return F.softplus(self.parameters_for(x)[0].float()).mean(-1)[:, order.argsort()]

    @torch.no_grad()
    def step(self, u: Tensor, state: MixerState | None) -> tuple[Tensor, MixerState]:
        """u: (B, L, E), the positions that follow those of the calls before.  Returns (B, L, E) and the new state."""
        x, conv = causal_conv_silu_from(u, *self.convolution, None if state is None else state.conv)
        step, a, b, c = self.parameters_for(x)
        y, scan = scan_from(x, F.softplus(step.float()), a, b, c, None if state is None else state.scan)
        return y + self.D * x, MixerState(conv, scan)


class MambaMixer(nn.Module):
    """out_proj((forward scan + backward scan)(in_proj(x)) * SiLU(gate)).

    The gate is the second half of in_proj(x), as in Mamba ("input"), or a projection of another sequence ("other").
    Vim's second version: the two directions share only the projections in and out.
    """

    def __init__(self, width: int, config: MixerConfig, *, gate: GateSource = "input", gate_bias: float = 0.0) -> None:
        super().__init__()
        inner = config.expand * width
        self.in_proj = nn.Linear(width, 2 * inner if gate == "input" else inner, bias=False)
        self.gate_proj = gate_projection(width, inner, gate_bias) if gate == "other" else None
        self.forward_scan = DirectionalScan(width, config, reverse=False)
        self.backward_scan = DirectionalScan(width, config, reverse=True) if config.directions == "both" else None
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        gate: Tensor | None = None,
        order: Tensor | None = None,
        step_offset: Tensor | None = None,
    ) -> Tensor:
        """x: (B, L, D), already normalised.  mask: (B, L) bool, True = real.  gate: (B, L, D), for "other" only.
        order: (L,), how the backward scan reads the positions; None: from the last to the first.
        step_offset: (B, L), added to the steps before their softplus; without `order` only.

        Returns (B, L, D). Real positions must stand together: padding between them leaks through the convolution.
        """
        if self.gate_proj is None:
            # two products instead of one and its halves: what follows reads and writes whole rows
            u, z = (F.linear(x, half) for half in self.in_proj.weight.chunk(2))
        else:
            u, z = self.in_proj(x), self.gate_proj(gate)
        if self.backward_scan is None:
            y, back = self.forward_scan(u, mask, step_offset), None
        elif order is not None:
            y, back = self.forward_scan(u, mask), self.backward_scan.along(u, mask, order)
        else:
            both = self.forward_scan.convolution, self.backward_scan.convolution
            ahead, behind = causal_conv_silu_both(u, *both, mask)
            y = self.forward_scan.scan(ahead, mask, step_offset)
            back = self.backward_scan.scan(behind, mask, step_offset)
        out: Tensor = self.out_proj(gated_sum(y, back, z))
        return out

    def step_sizes(self, x: Tensor, order: Tensor | None = None) -> Tensor:
        """What each position adds to the state, (B, L): the step size, averaged over channels and directions.

        x, order: as in forward, without padding.
        """
        inner = self.out_proj.in_features
        u = F.linear(x, self.in_proj.weight[:inner])
        found = self.forward_scan.step_sizes(u)
        if self.backward_scan is not None:
            found = (found + self.backward_scan.step_sizes(u, order)) / 2
        return found

    @torch.no_grad()
    def step(self, x: Tensor, state: MixerState | None, gate: Tensor | None = None) -> tuple[Tensor, MixerState]:
        """The next positions of a stream: forward's output for them, and what to hand to the next call.

        x, gate: (B, L, D), one position or more, without padding.  state: from the call before, None at the start.
        Raises ConfigError when the mixer also scans backward, which no stream can.
        """
        if self.backward_scan is not None:
            raise ConfigError("mixer", ["directions: 'both' reads the future; a stream needs 'forward'"])
        if self.gate_proj is None:
            u, z = self.in_proj(x).chunk(2, dim=-1)
        else:
            u, z = self.in_proj(x), self.gate_proj(gate)
        y, state = self.forward_scan.step(u, state)
        out: Tensor = self.out_proj(gated_sum(y, None, z))
        return out, state


class DirectionalConv(nn.Module):
    """What DirectionalScan does beside its scan, D * silu(conv(u)), in one direction."""

    def __init__(self, width: int, n_taps: int, *, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        self.conv1d = nn.Conv1d(width, width, n_taps, groups=width)
        self.D = nn.Parameter(torch.ones(width))

    def forward(self, u: Tensor, mask: Tensor | None) -> Tensor:
        """u: (B, L, E).  mask: (B, L) bool, True = real.  Returns (B, L, E), zero at padding."""
        assert self.conv1d.bias is not None
        return self.D * causal_conv_silu(u, self.conv1d.weight, self.conv1d.bias, mask, reverse=self.reverse)


class Convolutions(nn.Module):
    """Both directions summed, so that a position sees the K - 1 before and after it; or the forward one alone."""

    def __init__(self, width: int, config: MixerConfig) -> None:
        super().__init__()
        self.ahead = DirectionalConv(width, config.conv_width, reverse=False)
        both = config.directions == "both"
        self.behind = DirectionalConv(width, config.conv_width, reverse=True) if both else None

    def forward(self, u: Tensor, mask: Tensor | None) -> Tensor:
        """u: (B, L, E).  mask: (B, L) bool, True = real.  Returns (B, L, E), zero at padding."""
        y: Tensor = self.ahead(u, mask)
        return y if self.behind is None else y + self.behind(u, mask)


class ConvMixer(nn.Module):
    """MambaMixer without its scans, the ablation that shows what they add to the convolutions before them."""

    def __init__(self, width: int, config: MixerConfig, *, gate: GateSource = "input", gate_bias: float = 0.0) -> None:
        super().__init__()
        inner = config.expand * width
        self.in_proj = nn.Linear(width, 2 * inner if gate == "input" else inner, bias=False)
        self.gate_proj = gate_projection(width, inner, gate_bias) if gate == "other" else None
        self.conv = Convolutions(inner, config)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None, gate: Tensor | None = None) -> Tensor:
        """Arguments and result as of MambaMixer, but for orders and steps, which only scans have."""
        if self.gate_proj is None:
            u, z = self.in_proj(x).chunk(2, dim=-1)
        else:
            u, z = self.in_proj(x), self.gate_proj(gate)
        out: Tensor = self.out_proj(gated_sum(self.conv(u, mask), None, z))
        return out


class AttentionMixer(nn.Module):
    """Multi-head softmax attention with the mixer's inputs, gate and output: the ablation without a state space.

    `attention_conv` reads queries, keys and values behind the mixer's convolutions, at the width of the input.
    """

    def __init__(self, width: int, config: MixerConfig, *, gate: GateSource = "input", gate_bias: float = 0.0) -> None:
        super().__init__()
        inner = config.expand * width
        self.n_heads = config.n_heads
        self.conv = Convolutions(width, config) if config.kind == "attention_conv" else None
        self.qkv_proj = nn.Linear(width, 3 * inner)
        self.gate_proj = gate_projection(width, inner, gate_bias)
        self.reads_other = gate == "other"
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None, gate: Tensor | None = None) -> Tensor:
        """Arguments and result as of ConvMixer; cost grows with the square of L."""
        read = x if self.conv is None else self.conv(x, mask)
        q, k, v = (z.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for z in self.qkv_proj(read).chunk(3, dim=-1))
        attend = None if mask is None else mask[:, None, None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=attend).transpose(1, 2).flatten(2)
        out: Tensor = self.out_proj(y * F.silu(self.gate_proj(gate if self.reads_other else x)))
        return out


def gate_projection(width: int, inner: int, bias: float) -> nn.Linear:
    """What makes a gate of another sequence; bias: its initial one."""
    projection = nn.Linear(width, inner)
    nn.init.constant_(projection.bias, bias)
    return projection


@torch.no_grad()
def _initial_step_size(dt_proj: nn.Linear) -> None:
    """A bias of `spread_steps`, and weights that keep the variance of what they read, as Mamba does."""
    bound = dt_proj.in_features**-0.5
    nn.init.uniform_(dt_proj.weight, -bound, bound)
    dt_proj.bias.copy_(spread_steps(dt_proj.out_features))


def spread_steps(n: int, smallest: float = 1e-3, largest: float = 0.1, floor: float = 1e-4) -> Tensor:
    """(n,) whose softplus is spread log-uniformly over [smallest, largest] seconds of state time."""
    spread = torch.rand(n) * math.log(largest / smallest) + math.log(smallest)
    step = spread.exp().clamp(min=floor)
    return step + torch.log(-torch.expm1(-step))  # the inverse of softplus
