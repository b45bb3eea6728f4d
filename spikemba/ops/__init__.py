"""Numerical building blocks: the selective scan, the causal convolution, spiking neurons."""

from spikemba.ops.causal_conv import causal_conv_silu
from spikemba.ops.official import selective_scan_fn
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference
from spikemba.ops.spiking import lif_spikes

__all__ = ["causal_conv_silu", "lif_spikes", "selective_scan", "selective_scan_fn", "selective_scan_reference"]
