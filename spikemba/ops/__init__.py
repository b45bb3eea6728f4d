"""Numerical building blocks: the selective scan, Mamba-2's, the causal convolution, spiking neurons.

In:    tensors.
Out:   tensors, the same from every backend; native/ holds the C kernels.
First: selective_scan.py, the plain recurrence and the choice of a backend.
"""

from spikemba.ops.causal_conv import causal_conv_silu
from spikemba.ops.dual_scan import dual_scan, dual_scan_reference
from spikemba.ops.official import selective_scan_fn
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference
from spikemba.ops.spiking import lif_spikes

__all__ = [
    "causal_conv_silu",
    "dual_scan",
    "dual_scan_reference",
    "lif_spikes",
    "selective_scan",
    "selective_scan_fn",
    "selective_scan_reference",
]
