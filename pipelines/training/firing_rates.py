"""Watches the neurons: how often each layer fires, and how many of its channels never do."""

from __future__ import annotations  # listing runs reads HEALTHY without torch

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from spikemba.batch import Prediction

HEALTHY = (0.01, 0.6)
"""Firing rates below are near death, above near saturation."""


def rates(prediction: Prediction) -> dict[str, Tensor]:
    """Share of steps at which each channel of each layer fired, (D,), by `block<i>.<layer>`."""
    return {
        f"block{block}.{layer}": rate.detach()
        for block, spikes in enumerate(prediction.spikes)
        for layer, rate in spikes.layer_rates.items()
    }


def summary(means: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """Per layer: `rate`, the mean share of steps that fire, and `dead`, the share of channels that never did."""
    return {
        name: {"rate": float(mean.mean()), "dead": float((mean == 0).float().mean())} for name, mean in means.items()
    }


def warnings(summary: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What to tell a person about layers that hardly fire or fire nearly always."""
    low, high = HEALTHY
    found = []
    for name, values in summary.items():
        if values["rate"] < low:
            found.append(
                f"{name} fires at {values['rate']:.1%} of the steps: try a lower "
                "model.spiking_saliency.neuron.threshold, or loss.firing_rate=0.1"
            )
        elif values["rate"] > high:
            found.append(f"{name} fires at {values['rate']:.1%} of the steps: try a higher neuron.threshold")
    return found
