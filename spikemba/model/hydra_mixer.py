"""The Hydra mixer: Mamba-2's scan in both directions at once, as the product with one quasiseparable matrix.

What a position gets from those before it, from those after it and from itself has parameters of its own, and the two
directions share x, its centred convolution and the decays. Parameters keep Hydra's names (`in_proj`, `conv1d`,
`dt_bias`, `A_log`, `D`, `fc_D`, `norm`, `out_proj`), so that published weights load as they are.
Source: Hwang, Lahoti, Dao and Gu 2024, arXiv 2407.09941, section 3; initial values as in their code.
"""

# Shapes: B pairs, L positions, D width, E inner width, H heads of P channels, G groups of heads, N state size.

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikemba.errors import ConfigError
from spikemba.model.mamba2_mixer import GatedNorm, n_heads, positive_steps
from spikemba.model.mamba_block import GateSource, MixerConfig, MixerState, gate_projection, spread_steps
from spikemba.ops.causal_conv import causal_conv_silu
from spikemba.ops.dual_scan import dual_scan
from spikemba.ops.precision import at_least_float32


class HydraMixer(nn.Module):
    """out_proj(norm(shifted forward scan + shifted backward scan + (fc_D(x) + D) x) * SiLU(gate)).

    A scan shifted by one gives a position what the one before it has read, so that no position is counted twice.
    """

    def __init__(self, width: int, config: MixerConfig, *, gate: GateSource = "input", gate_bias: float = 0.0) -> None:
        """Raises ConfigError when heads do not divide the inner width, or groups the heads."""
        super().__init__()
        inner, heads = config.expand * width, n_heads(width, config)
        self.inner, self.n_groups = inner, config.n_groups
        channels = inner + 4 * config.n_groups * config.state_size
        self.sizes = [inner if gate == "input" else 0, channels, 2 * heads]
        self.in_proj = nn.Linear(width, sum(self.sizes), bias=False)
        self.gate_proj = gate_projection(width, inner, gate_bias) if gate == "other" else None
        self.conv1d = nn.Conv1d(channels, channels, config.conv_width, groups=channels, padding=config.conv_width // 2)
        self.dt_bias = nn.Parameter(spread_steps(heads))
        self.A_log = nn.Parameter(torch.zeros(heads))
        self.D = nn.Parameter(torch.ones(heads))
        self.fc_D = nn.Linear(inner, heads, bias=False)
        self.norm = GatedNorm(inner, norm_first=True)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        gate: Tensor | None = None,
        order: Tensor | None = None,
        step_offset: Tensor | None = None,
    ) -> Tensor:
        """Arguments and result as of MambaMixer: x, gate: (B, L, D).  mask: (B, L) bool, True = real.
        step_offset: (B, L), added to the steps before their softplus.
        Raises ConfigError for an order: the matrix has one, and its other half is read from the last to the first.
        """
        if order is not None:
            raise ConfigError("mixer", ["hydra reads from both ends; expected reversal 'spatio_temporal'"])
        z, xbc, dt = (F.linear(x, part) for part in self.in_proj.weight.split(self.sizes))
        z = z if self.gate_proj is None else self.gate_proj(gate)
        y = self._mixed(self._convolved(xbc, mask), self._steps(dt, mask, step_offset))
        out: Tensor = self.out_proj(self.norm(y, None, z))
        return out

    def step_sizes(self, x: Tensor, order: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """What each position adds to the states, (B, L): the step size, averaged over heads and directions.

        x: (B, L, D).  order: of MambaMixer's; nothing here.
        """
        return self._steps(F.linear(x, self.in_proj.weight[-2 * len(self.D) :]), None, None).mean(-1)

    def step(
        self,
        x: Tensor,  # noqa: ARG002
        state: MixerState | None,  # noqa: ARG002
        gate: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, MixerState]:
        """Raises ConfigError: half of the matrix is the future, which a stream does not have."""
        raise ConfigError("mixer", ["kind: 'hydra' reads the future; a stream needs 'scan' or 'mamba2', 'forward'"])

    def _convolved(self, xbc: Tensor, mask: Tensor | None) -> Tensor:
        """silu of the convolution that sees as many positions before as after, (B, L, E + 4 G N).

        Not cleared at padding, which steps of 0 leave out.
        """
        length, half = xbc.shape[1], self.conv1d.kernel_size[0] // 2
        if mask is not None:
            xbc = xbc * mask[..., None]
        assert self.conv1d.bias is not None
        # a causal convolution of what is moved by half its taps
        return causal_conv_silu(F.pad(xbc, (0, 0, 0, half)), self.conv1d.weight, self.conv1d.bias)[:, half:][:, :length]

    def _steps(self, dt: Tensor, mask: Tensor | None, step_offset: Tensor | None) -> Tensor:
        """(B, L, 2 H): of the forward scan's heads, then of the backward one's."""
        return positive_steps(dt, self.dt_bias.repeat(2), mask, step_offset)

    def _mixed(self, xbc: Tensor, delta: Tensor) -> Tensor:
        """xbc: (B, L, E + 4 G N), behind the convolution.  delta: (B, L, 2 H).  Returns (B, L, E)."""
        n = (xbc.shape[-1] - self.inner) // 4
        x, *of_scans = xbc.split([self.inner, n, n, n, n], dim=-1)
        b, c, b_back, c_back = (one.unflatten(-1, (self.n_groups, -1)) for one in of_scans)
        itself = F.linear(x, self.fc_D.weight) + self.D
        x = x.unflatten(-1, (len(self.D), -1))
        ahead, behind = delta.chunk(2, dim=-1)
        a = -at_least_float32(self.A_log).exp()
        y = dual_scan(x, ahead, a, b, c)
        back = dual_scan(x, behind, a, b_back, c_back, reverse=True)
        y = F.pad(y[:, :-1], (0, 0, 0, 0, 1, 0)) + F.pad(back[:, 1:], (0, 0, 0, 0, 0, 1))
        return torch.addcmul(y, x, itself[..., None].to(y.dtype)).flatten(2)
