"""What encoders with a network have in common: its device, its precision, and the pixels that it expects."""

from typing import Any

import torch
from torch import Tensor, nn

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.weights import placed
from spikemba.weight_files import weights_digest


class PlacedModel:
    """An encoder's network where it runs."""

    options: EncoderOptions
    weights: str
    """SHA-256 of the tensors as loaded."""
    model: Any
    device: torch.device
    dtype: torch.dtype
    mean: Tensor
    std: Tensor
    """(3, 1, 1) of RGB values from 0 to 1."""

    def place(self, model: nn.Module, pixels: tuple[Tensor, Tensor], options: EncoderOptions) -> None:
        """Bring the network where the options say.  pixels: mean and deviation that it expects.

        Raises SpikeMbaError when this machine has not the device or the precision.
        """
        self.options, self.weights = options, weights_digest(model)
        self.model, self.device, self.dtype = placed(model, options)
        self.mean, self.std = (value.to(self.device) for value in pixels)
