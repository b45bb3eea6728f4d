"""The Mamba mixer as a graph: both directions side by side, no kernel, no padding."""

# Shapes: G directions, L positions, D width, E inner width, N state size, K taps.

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikemba.exporting.scan import chunked_scan
from spikemba.model.mamba_block import MambaMixer


class MixerGraph(nn.Module):
    """What a MambaMixer gives for one sequence whose positions are all real, from the same numbers."""

    taps: Tensor  # (G, K, E)
    tap_bias: Tensor  # (G, 1, E)
    update: Tensor  # (G, E, rank + 2 N)
    step: Tensor  # (G, rank, E)
    step_bias: Tensor  # (G, 1, E)
    a: Tensor  # (G, N, E)
    skip: Tensor  # (G, 1, E)

    def __init__(self, mixer: MambaMixer) -> None:
        super().__init__()
        scans = [one for one in (mixer.forward_scan, mixer.backward_scan) if one is not None]
        self.in_proj, self.gate_proj, self.out_proj = mixer.in_proj, mixer.gate_proj, mixer.out_proj
        self.n_directions, self.rank = len(scans), scans[0].dt_proj.in_features
        self.n_states, self.n_taps = scans[0].A_log.shape[1], scans[0].conv1d.weight.shape[-1]
        parts = {
            "taps": [scan.convolution[0][:, 0].t() for scan in scans],
            "tap_bias": [scan.convolution[1][None] for scan in scans],
            "update": [scan.x_proj.weight.t() for scan in scans],
            "step": [scan.dt_proj.weight.t() for scan in scans],
            "step_bias": [scan.dt_proj.bias[None] for scan in scans],
            "a": [-scan.A_log.float().exp().t() for scan in scans],
            "skip": [scan.D[None] for scan in scans],
        }
        for name, tensors in parts.items():
            self.register_buffer(name, torch.stack(tensors).detach())

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,  # noqa: ARG002 - of MambaMixer; every position is real
        gate: Tensor | None = None,
        order: None = None,  # noqa: ARG002
        step_offset: Tensor | None = None,
    ) -> Tensor:
        """x, gate: (1, L, D).  step_offset: (1, L), added to the steps before their softplus.  Returns (1, L, D)."""
        if self.gate_proj is None:
            u, z = self.in_proj(x).chunk(2, dim=-1)
        else:
            u, z = self.in_proj(x), self.gate_proj(gate)
        y = self._scanned(self._both_ways(u), None if step_offset is None else self._both_ways(step_offset[..., None]))
        ahead = y[:1]
        out: Tensor = self.out_proj((ahead if self.n_directions == 1 else ahead + y[1:].flip(1)) * F.silu(z))
        return out

    def _both_ways(self, x: Tensor) -> Tensor:
        """(1, L, W) -> (G, L, W): as it is, and from its end."""
        return x if self.n_directions == 1 else torch.cat((x, x.flip(1)))

    def _scanned(self, u: Tensor, step_offset: Tensor | None) -> Tensor:
        """Convolution, SiLU and scan of each direction. u: (G, L, E) -> (G, L, E)."""
        length, past = u.shape[1], self.n_taps - 1
        padded, total = F.pad(u, (0, 0, past, 0)), self.tap_bias
        for k in range(self.n_taps):
            total = total + padded[:, k : k + length] * self.taps[:, k, None]
        x = F.silu(total)
        low_rank, b, c = torch.bmm(x, self.update).split([self.rank, self.n_states, self.n_states], dim=-1)
        step = torch.bmm(low_rank, self.step) + self.step_bias
        delta = F.softplus(step if step_offset is None else step + step_offset)
        return chunked_scan(x, delta, self.a, b, c) + self.skip * x
