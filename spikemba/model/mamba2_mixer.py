"""The Mamba-2 mixer: projection, causal convolution, scan by matrix products in one or two directions, gated norm.

Parameters keep Mamba-2's names (`in_proj`, `conv1d`, `dt_bias`, `A_log`, `D`, `norm`, `out_proj`), so that published
weights of one direction load as they are; a second direction has its own below `backward_scan`.
Source: Dao and Gu 2024, arXiv 2405.21060, section 7; initial values as in their code.
"""

# Shapes: B pairs, L positions, D width, E inner width, H heads of P channels, G groups of heads, N state size.

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikemba.errors import ConfigError
from spikemba.model.mamba_block import GateSource, MixerConfig, MixerState, gate_projection, spread_steps
from spikemba.ops.causal_conv import causal_conv_silu, causal_conv_silu_both, causal_conv_silu_from, gated_sum
from spikemba.ops.dual_scan import dual_scan, dual_scan_from
from spikemba.ops.precision import at_least_float32, in_full_precision

LARGEST_RATE = 16.0
"""A head's states decay at first by exp(-rate x step), the rate drawn evenly from 1 to this."""


class GatedNorm(nn.Module):
    """RMSNorm over the channels of a group, and the gate: norm(x silu(z)), or norm(x) silu(z) where the norm is first.

    Behind a norm that is last, how far a gate is open as a whole makes no difference, only where more than elsewhere.
    """

    def __init__(self, width: int, n_groups: int = 1, *, norm_first: bool, eps: float = 1e-5) -> None:
        super().__init__()
        self.n_groups, self.norm_first, self.eps = n_groups, norm_first, eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, other: Tensor | None, z: Tensor) -> Tensor:
        """x, z: (B, L, E).  other: (B, L, E), added to x.  Returns (B, L, E), normalised in float32."""
        with in_full_precision(x):
            wide, z = at_least_float32(x), at_least_float32(z)
            other = None if other is None else at_least_float32(other)
            if self.norm_first:
                found = gated_sum(self._norm(wide if other is None else wide + other), None, z)
            else:
                found = self._norm(gated_sum(wide, other, z))
        return found.to(x.dtype)

    def _norm(self, x: Tensor) -> Tensor:
        if self.n_groups == 1:
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
        parts = x.unflatten(-1, (self.n_groups, -1))
        return F.rms_norm(parts, parts.shape[-1:], None, self.eps).flatten(-2) * self.weight


class Mamba2Direction(nn.Module):
    """Causal convolution of x, b and c together, SiLU, and the scan of state-space duality in one direction."""

    def __init__(self, width: int, config: MixerConfig, *, reverse: bool) -> None:
        """Raises ConfigError when heads do not divide the inner width, or groups the heads."""
        super().__init__()
        heads = n_heads(width, config)
        self.reverse = reverse
        self.inner, self.n_groups = config.expand * width, config.n_groups
        channels = self.inner + 2 * config.n_groups * config.state_size
        self.conv1d = nn.Conv1d(channels, channels, config.conv_width, groups=channels)
        self.dt_bias = nn.Parameter(spread_steps(heads))
        self.A_log = nn.Parameter((1 + (LARGEST_RATE - 1) * torch.rand(heads)).log())
        self.D = nn.Parameter(torch.ones(heads))

    @property
    def convolution(self) -> tuple[Tensor, Tensor]:
        """Weight, (E + 2 G N, 1, K), and bias of the convolution."""
        assert self.conv1d.bias is not None
        return self.conv1d.weight, self.conv1d.bias

    def scan(self, xbc: Tensor, dt: Tensor, mask: Tensor | None, step_offset: Tensor | None = None) -> Tensor:
        """xbc: (B, L, E + 2 G N), behind the convolution.  dt: (B, L, H), before its softplus.

        mask: (B, L) bool, True = real.  step_offset: (B, L), added to dt.  Returns (B, L, E).
        """
        return self._scan(xbc, dt, mask, step_offset, self.reverse)

    def along(self, xbc: Tensor, dt: Tensor, mask: Tensor | None, order: Tensor) -> Tensor:
        """Convolution and scan over the positions in another order, and the result back in theirs.

        xbc: (B, L, E + 2 G N), before the convolution.  order: (L,), the positions as they are read.
        """
        mask = None if mask is None else mask[:, order]
        xbc = causal_conv_silu(xbc[:, order], *self.convolution, mask)
        return self._scan(xbc, dt[:, order], mask, None, False)[:, order.argsort()]

    def mean_steps(self, dt: Tensor) -> Tensor:
        """How far each position moves the state, averaged over the heads. dt: (B, L, H) -> (B, L)."""
        return self._delta(dt, None, None).mean(-1)

    @torch.no_grad()
    def follow(self, xbc: Tensor, dt: Tensor, state: MixerState | None) -> tuple[Tensor, MixerState]:
        """The positions that follow those of the calls before: (B, L, E), and the new state."""
        conv, scan = (None, None) if state is None else (state.conv, state.scan)
        xbc, conv = causal_conv_silu_from(xbc, *self.convolution, conv)
        x, b, c = self._apart(xbc)
        y, scan = dual_scan_from(x, self._delta(dt, None, None), self._rates(), b, c, scan)
        return (y + self.D[:, None] * x).flatten(2), MixerState(conv, scan)

    def _scan(self, xbc: Tensor, dt: Tensor, mask: Tensor | None, step_offset: Tensor | None, reverse: bool) -> Tensor:
        x, b, c = self._apart(xbc)
        y = dual_scan(x, self._delta(dt, mask, step_offset), self._rates(), b, c, reverse=reverse)
        return torch.addcmul(y, x, self.D[:, None].to(y.dtype)).flatten(2)

    def _apart(self, xbc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: (B, L, H, P), b and c: (B, L, G, N)."""
        n = (xbc.shape[-1] - self.inner) // 2
        x, b, c = xbc.split([self.inner, n, n], dim=-1)
        groups = (self.n_groups, -1)
        return x.unflatten(-1, (len(self.D), -1)), b.unflatten(-1, groups), c.unflatten(-1, groups)

    def _delta(self, dt: Tensor, mask: Tensor | None, step_offset: Tensor | None) -> Tensor:
        return positive_steps(dt, self.dt_bias, mask, step_offset)

    def _rates(self) -> Tensor:
        return -at_least_float32(self.A_log).exp()


class Mamba2Mixer(Mamba2Direction):
    """out_proj(norm((forward scan + backward scan) * SiLU(gate))), the convolved x, b, c and dt of one in_proj.

    The mixer is itself the forward direction, so that its parameters have their published names. A gate by another
    sequence ("other") stands behind the norm, which would take its amount away again.
    """

    def __init__(self, width: int, config: MixerConfig, *, gate: GateSource = "input", gate_bias: float = 0.0) -> None:
        """Raises ConfigError when heads do not divide the inner width, or groups the heads."""
        super().__init__(width, config, reverse=False)
        inner, channels, heads = self.inner, self.conv1d.in_channels, len(self.D)
        self.sizes = [inner if gate == "input" else 0, channels, heads]
        self.in_proj = nn.Linear(width, sum(self.sizes), bias=False)
        self.gate_proj = gate_projection(width, inner, gate_bias) if gate == "other" else None
        both = config.directions == "both"
        self.backward_scan = Mamba2Direction(width, config, reverse=True) if both else None
        self.norm = GatedNorm(inner, config.n_groups, norm_first=gate == "other")
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        gate: Tensor | None = None,
        order: Tensor | None = None,
        step_offset: Tensor | None = None,
    ) -> Tensor:
        """Arguments and result as of MambaMixer: x, gate: (B, L, D).  mask: (B, L) bool, True = real.  order: (L,).
        step_offset: (B, L), added to the steps before their softplus; without `order` only.
        """
        z, xbc, dt = self._project(x, gate)
        if self.backward_scan is None:
            y = self.scan(causal_conv_silu(xbc, *self.convolution, mask), dt, mask, step_offset)
            back = None
        elif order is not None:
            y = self.scan(causal_conv_silu(xbc, *self.convolution, mask), dt, mask)
            back = self.backward_scan.along(xbc, dt, mask, order)
        else:
            ahead, behind = causal_conv_silu_both(xbc, self.convolution, self.backward_scan.convolution, mask)
            y = self.scan(ahead, dt, mask, step_offset)
            back = self.backward_scan.scan(behind, dt, mask, step_offset)
        out: Tensor = self.out_proj(self.norm(y, back, z))
        return out

    def step_sizes(self, x: Tensor, order: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """What each position adds to the state, (B, L): the step size, averaged over heads and directions.

        x: (B, L, D).  order: as in forward; a position's step does not depend on it here.
        """
        dt = F.linear(x, self.in_proj.weight[-len(self.D) :])
        found = self.mean_steps(dt)
        return found if self.backward_scan is None else (found + self.backward_scan.mean_steps(dt)) / 2

    @torch.no_grad()
    def step(self, x: Tensor, state: MixerState | None, gate: Tensor | None = None) -> tuple[Tensor, MixerState]:
        """The next positions of a stream: forward's output for them, and what to hand to the next call.

        x, gate: (B, L, D), one position or more, without padding.  state: from the call before, None at the start.
        Raises ConfigError when the mixer also scans backward, which no stream can.
        """
        if self.backward_scan is not None:
            raise ConfigError("mixer", ["directions: 'both' reads the future; a stream needs 'forward'"])
        z, xbc, dt = self._project(x, gate)
        y, state = self.follow(xbc, dt, state)
        out: Tensor = self.out_proj(self.norm(y, None, z))
        return out, state

    def _project(self, x: Tensor, gate: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """z: (B, L, E), xbc: (B, L, E + 2 G N), dt: (B, L, H)."""
        z, xbc, dt = (F.linear(x, part) for part in self.in_proj.weight.split(self.sizes))
        return z if self.gate_proj is None else self.gate_proj(gate), xbc, dt


def positive_steps(dt: Tensor, bias: Tensor, mask: Tensor | None, offset: Tensor | None) -> Tensor:
    """softplus(dt + offset + bias), in float32 also for half precision; 0 at padding, so that it does nothing.

    dt: (B, L, H).  bias: (H,).  mask: (B, L) bool.  offset: (B, L).
    """
    dt = dt if offset is None else dt + offset[..., None]
    with in_full_precision(dt):
        delta = F.softplus(at_least_float32(dt) + bias)
        return delta if mask is None else delta * mask[..., None]


def n_heads(width: int, config: MixerConfig) -> int:
    """H. Raises ConfigError when the configuration's heads and groups do not fit the width."""
    try:
        return config.n_dual_heads(width)
    except ValueError as fault:
        raise ConfigError("mixer", [str(fault)]) from None
