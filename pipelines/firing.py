"""Watches the neurons: how often each layer fires, and how many of its channels never do."""

from collections.abc import Mapping

import torch
from torch import Tensor

from spikemba.batch import Prediction

HEALTHY = (0.01, 0.6)
"""Firing rates below are near death, above near saturation."""


class FiringMeter:
    """Averages the firing rates of every layer over the batches of an epoch."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._n_batches = 0

    def update(self, prediction: Prediction) -> None:
        """Take in one batch."""
        self._n_batches += 1
        for block, spikes in enumerate(prediction.spikes):
            for layer, rate in spikes.layer_rates.items():
                name = f"block{block}.{layer}"
                self._sums[name] = self._sums.get(name, torch.zeros_like(rate)) + rate.detach()

    def summary(self) -> dict[str, dict[str, float]]:
        """Per layer: `rate`, the mean share of steps that fire, and `dead`, the share of channels that never did."""
        return {
            name: {"rate": float(total.mean()) / self._n_batches, "dead": float((total == 0).float().mean())}
            for name, total in self._sums.items()
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
